"""Online permuted MNIST with a narrow network (Dohare et al. 2024, Nature 632).

Published, in the plots of the authors' code (shibhansh/loss-of-plasticity,
lop/permuted_mnist/plots/mnist_accuracy.png, 30 runs): three hidden layers of 100 units, plain SGD
at 0.003, every example of MNIST seen once per task in a batch of its own, and before each task the
pixels permuted once more. Online accuracy is 92.1% in the first task, has its peak of 93.3% about
the second, and falls to about 89.3% by task 75 and 88% by task 125. The numbers are read off a
plot, to 0.2 points.

Here: the same, with Kaiming's uniform initialisation in the output layer too, where the authors
have a gain of 1; fewer runs.
"""

from __future__ import annotations

from raylot.reproductions._experiment import Experiment, Reading, above, number
from raylot.reproductions._readings import along_stream, minus

_PLOT = "lop/permuted_mnist/plots/mnist_accuracy.png, read off to 0.2 points"


def _accuracy(first: int, last: int) -> Reading:
    """Online accuracy in tasks that are counted from 1, as in the plot."""
    return along_stream("online_accuracy", range(first - 1, last))


EXPERIMENT = Experiment(
    question="Does a narrow network lose plasticity on online permuted MNIST?",
    source=(
        "Dohare et al. 2024, Loss of plasticity in deep continual learning, Nature 632, "
        "arXiv 2306.13812"
    ),
    options={
        "dataset": "mnist",
        "scaling": "unit",
        "shifts": "permuted_pixels",
        "compounding": True,
        "hidden": "100,100,100",
        "initialisation": "kaiming_uniform",
        "optimizer": "sgd",
        "lr": 0.003,
        "batch_size": 1,
        "epochs": 1,
        "tasks": 127,
        "snapshots": "0",
        "probe_tasks": 0,
        "seeds": "0-2",
    },
    full={"tasks": 150, "seeds": "0-29"},
    reduced="127 tasks and 3 seeds instead of 150 and 30",
    otherwise="Kaiming's gain in the output layer too, where the authors have 1",
    measured="about 6 core-minutes on an AMD EPYC, at 15 microseconds per step",
    published=(
        number("online accuracy in task 1", _accuracy(1, 1), 0.921, _PLOT, spread=0.002, runs=30),
        number(
            "online accuracy in task 2, its peak",
            _accuracy(2, 2),
            0.933,
            _PLOT,
            spread=0.002,
            runs=30,
        ),
        number(
            "online accuracy in tasks 74 to 76",
            _accuracy(74, 76),
            0.893,
            _PLOT,
            spread=0.002,
            runs=30,
        ),
        number(
            "online accuracy in tasks 124 to 126",
            _accuracy(124, 126),
            0.88,
            _PLOT,
            spread=0.002,
            runs=30,
        ),
        above(
            "online accuracy in task 2 minus that in tasks 74 to 76",
            minus(_accuracy(2, 2), _accuracy(74, 76)),
            "plasticity is lost; same plot",
        ),
    ),
)
