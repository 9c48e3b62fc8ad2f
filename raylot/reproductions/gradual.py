"""Gradual change removes most of the loss of plasticity (Liu & Mou 2026, arXiv 2602.09234).

Published: networks that learn random labels of images, one labelling after another, lose the
ability to learn the next one when the labelling changes at once, and lose it far less when it
changes gradually: among other ways by training on a growing share of the new task's examples and a
shrinking one of the old task's. Their code (anon627-conf/plasticity-gradual-env) has 5,120 images
of MNIST, perceptrons of four layers of 256 units with layer normalisation, Adam at 1e-3 with its
state carried along, and 100 labellings of 80 epochs each; the gradual change takes 160 more.
Figures for their curves could not be looked up, so the claims are the abstract's: the loss "can be
substantially reduced", here read as by more than half.

Here: scikit-learn's 1,437 digits of 8x8 pixels, two layers of 100 units with layer normalisation,
and 20 labellings. Both networks take 60 epochs on each, of which the gradual change takes the first
30, so that they train equally long. What a network has lost is measured on labellings that it has
never seen: how much less accurate it is while it learns them than a fresh network.
"""

from __future__ import annotations

import pandas as pd

from raylot.reproductions._experiment import Experiment, Read, Reading, above
from raylot.reproductions._readings import probe_gap

_ABSTRACT = 'abstract: "substantially reduced"'


def _lost(task: int, gradual: float) -> Reading:
    return probe_gap(task, "online_accuracy", gradual=gradual)


def _removed(task: int) -> Reading:
    """The share of the loss that a gradual change removes."""

    def reading(read: Read) -> pd.Series[float]:
        return (1 - _lost(task, 0.5)(read) / _lost(task, 0.0)(read)).dropna()

    return reading


EXPERIMENT = Experiment(
    question="Do networks lose less plasticity when tasks change gradually?",
    source=(
        "Liu & Mou 2026, Do neural networks lose plasticity in a gradually changing world?, "
        "arXiv 2602.09234"
    ),
    options={
        "dataset": "digits",
        "scaling": "standardize",
        "shifts": "random_labels",
        "search": "gradual=0,0.5",
        "hidden": "100,100",
        "norm": "layer",
        "lr": 1e-3,
        "epochs": 60,
        "carry_optimizer": True,
        "tasks": 21,
        "snapshots": "0,10,20",
        "probe_tasks": 2,
        "seeds": "0-4",
    },
    reduced=(
        "digits of 8x8 pixels instead of 5,120 of MNIST, two layers of 100 units instead of four "
        "of 256, 20 tasks instead of 100"
    ),
    otherwise=(
        "the gradual change lies within the 60 epochs of a task, where the authors train 160 more "
        "epochs than their 80"
    ),
    stages=("streams", "probes"),
    measured="about 10 core-minutes on an AMD EPYC",
    published=(
        above(
            "accuracy while learning a new labelling, fresh network minus that after 10 tasks that "
            "change at once",
            _lost(10, 0.0),
            "abstract: plasticity is lost",
        ),
        above(
            "share of that loss which a gradual change removes, after 10 tasks",
            _removed(10),
            _ABSTRACT,
            bound=0.5,
        ),
        above(
            "the same after 20 tasks",
            _removed(20),
            _ABSTRACT,
            bound=0.5,
        ),
    ),
)
