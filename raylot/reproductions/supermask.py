"""Masks that make an untrained network good (Zhou et al. 2019, arXiv 1905.01067).

Published: LeNet-300-100 is trained on MNIST, and in one shot the weights of largest final |w| that
have kept their sign survive. Those weights at their initial values, without any training, reach
more than 80% at the best sparsity; with each weight replaced by a constant of its sign, 86% (the
abstract's number).

Here: the best of several sparsities, judged on the test split, as published. The constants are
there from the start (``--initialisation signed_constant``), so that the training that finds the
mask begins with them; the authors train from Glorot's normal distribution, and replace the
survivors afterwards. A constant here is +-sqrt(2 / fan_in), Kaiming's; theirs is the standard
deviation of the layer's Glorot initialisation, sqrt(2 / (fan_in + fan_out)).
"""

from __future__ import annotations

from raylot.reproductions._experiment import FROM_MEMORY, Experiment, Reading, above, number
from raylot.reproductions._readings import best_of_supermasks, minus

_NOTES = "a reader's notes on section 5, which agree with what is remembered"


def _best(initialisation: str) -> Reading:
    return best_of_supermasks(initialisation=initialisation)


EXPERIMENT = Experiment(
    question="How accurate is a network that is pruned and never trained?",
    source="Zhou et al. 2019, Deconstructing lottery tickets, arXiv 1905.01067",
    options={
        "dataset": "mnist",
        "scaling": "unit",
        "shifts": "stationary",
        "network": "lenet_300_100",
        "search": "initialisation=glorot_normal,signed_constant",
        "lr": 1.2e-3,
        "batch_size": 60,
        "epochs": 5,
        "tasks": 1,
        "snapshots": "0",
        "search_task": "own",
        "criterion": "large_final_same_sign",
        "sparsities": "0.4,0.6,0.75,0.9",
        "rounds": 1,
        "output_rate": 0.5,
        "tickets": 1,
        "untrained_masks": 0,
        "random_masks": 0,
        "reinit_tickets": 0,
        "supermasks": 1,
        "probe_tasks": 0,
        "seeds": "0-2",
    },
    full={
        "epochs": 55,
        "sparsities": "0.2,0.36,0.49,0.59,0.67,0.79,0.87,0.93,0.96",
        "seeds": "0-4",
    },
    reduced="5 epochs instead of 55, 4 sparsities, and 3 seeds instead of 5",
    otherwise=(
        "the signed constants are the initial weights, and do not replace them afterwards; they "
        "are Kaiming's +-sqrt(2 / fan_in), where the authors take the standard deviation of each "
        "layer's Glorot initialisation"
    ),
    stages=("streams", "tickets"),
    measured="about 2 core-minutes on an AMD EPYC",
    published=(
        above(
            "accuracy at the initial weights, at the best sparsity",
            _best("glorot_normal"),
            f"more than 80%; {_NOTES}",
            bound=0.8,
        ),
        number(
            "accuracy at signed constants, at the best sparsity",
            _best("signed_constant"),
            0.86,
            f"abstract; of 5 runs, {FROM_MEMORY}",
            runs=5,
        ),
        above(
            "signed constants minus initial weights",
            minus(_best("signed_constant"), _best("glorot_normal")),
            f"higher; abstract, and {_NOTES}",
        ),
    ),
)
