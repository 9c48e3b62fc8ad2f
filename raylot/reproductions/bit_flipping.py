"""Slowly changing regression by five units (Dohare et al. 2024, Nature 632).

Published, in the plots of the authors' code (shibhansh/loss-of-plasticity,
lop/slowly_changing_regression/plots, 100 runs of a million examples): 20 input bits of which 15 are
drawn anew every 10,000 examples and 5 for each example; the target is a fixed network of 100
threshold units; the learner has five ReLU units and plain SGD on one example at a time. The squared
error, over 20,000 examples, first falls and then rises with every step size: at 0.01 from 0.62 to
about 1.25, at 0.003 from 0.71 to about 1.08, at 0.001 from 0.84 down to 0.72 and up to 0.87. A
linear learner's is 0.88. The robust part is which step sizes end worse than the linear learner.

Here: the same, with Kaiming's uniform initialisation in the output layer too, where the authors
have a gain of 1; fewer runs. All numbers are read off plots, to 0.05.
"""

from __future__ import annotations

from raylot.reproductions._experiment import Experiment, Published, Reading, above, number
from raylot.reproductions._readings import along_stream, minus

_PLOT = "lop/slowly_changing_regression/plots, read off to 0.05"

#: The squared error of the linear learner, from the same plots.
_LINEAR = 0.88

#: Tasks of 10,000 examples: the plots' first and last bins are of two.
_FIRST, _LAST = range(2), range(98, 100)


def _error(lr: float, tasks: range) -> Reading:
    return along_stream("train_loss", tasks, lr=lr)


def _at(lr: float, first: float, last: float) -> tuple[Published, ...]:
    return (
        number(
            f"squared error at step size {lr:g}, first 20,000 examples",
            _error(lr, _FIRST),
            first,
            _PLOT,
            spread=0.05,
            runs=100,
        ),
        number(
            f"squared error at step size {lr:g}, last 20,000 of a million",
            _error(lr, _LAST),
            last,
            _PLOT,
            spread=0.05,
            runs=100,
        ),
        above(
            f"rise of the squared error at step size {lr:g}",
            minus(_error(lr, _LAST), _error(lr, _FIRST)),
            "same plot",
        ),
    )


EXPERIMENT = Experiment(
    question="Do five units lose plasticity on the slowly changing regression problem?",
    source=(
        "Dohare et al. 2024, Loss of plasticity in deep continual learning, Nature 632, "
        "arXiv 2306.13812"
    ),
    options={
        "dataset": "slowly_changing_regression",
        "scaling": "raw",
        "shifts": "bit_flipping",
        "hidden": "5",
        "initialisation": "kaiming_uniform",
        "optimizer": "sgd",
        "search": "lr=0.01,0.003,0.001",
        "batch_size": 1,
        "epochs": 1,
        "tasks": 100,
        "snapshots": "0",
        "probe_tasks": 0,
        "seeds": "0-29",
    },
    full={"seeds": "0-99"},
    reduced="30 seeds instead of 100",
    otherwise="Kaiming's gain in the output layer too, where the authors have 1",
    measured="about 3 core-minutes on an AMD EPYC",
    published=(
        *_at(0.01, 0.62, 1.25),
        above(
            "squared error at step size 0.01 at the end, worse than a linear learner's",
            _error(0.01, _LAST),
            f"linear learner {_LINEAR}; same plots",
            bound=_LINEAR,
        ),
        *_at(0.003, 0.71, 1.08),
        *_at(0.001, 0.84, 0.87)[:2],
    ),
)
