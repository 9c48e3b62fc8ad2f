"""Bit flipping: some input bits are constant within a task, and others from task to task."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from raylot.config import ShiftOptions
from raylot.datasets._threshold_network import threshold_targets
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks.task import Task


def make(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Makes a period of the slowly changing regression problem (Dohare et al. 2024).

    The first ``flipping_bits`` bits of all examples, training and test, are the same. With
    ``flips`` ``all`` they are drawn anew for each task (cfg/prob.json of
    shibhansh/loss-of-plasticity), with ``one`` one of them flips from task to task (the paper's
    text, and cfg/flip_one_prob.json). The other bits of each example are drawn anew. The network
    that gives the targets is the same for all tasks of a seed. The data set decides how many bits
    and examples there are.

    Raises:
        OptionError: the data set is no regression on flat inputs.
    """
    if not dataset.is_regression or len(dataset.input_shape) != 1:
        raise OptionError(
            "shift=bit_flipping: must go with dataset slowly_changing_regression, not inputs of "
            f"shape {dataset.input_shape} in {dataset}"
        )
    flipping = _flipping_bits(options, key, t)
    train, test = (
        _examples(len(labels), dataset.input_shape[0], flipping, key.child(split, t))
        for split, labels in (("train", dataset.train_labels), ("test", dataset.test_labels))
    )
    device = dataset.train_labels.device

    def targets(bits: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(threshold_targets(bits, key.child("network").generator()))

    return replace(
        dataset,
        train_inputs=torch.from_numpy(train).to(device),
        train_labels=targets(train).to(device),
        test_inputs=torch.from_numpy(test).to(device),
        test_labels=targets(test).to(device),
    )


def _flipping_bits(options: ShiftOptions, key: RandomKey, t: int) -> np.ndarray:
    """Returns the bits that all examples of task t share."""
    count = options.flipping_bits
    first = key.child("bits", 0 if options.flips == "one" else t).generator()
    bits = first.integers(2, size=count, dtype=np.uint8)
    if options.flips == "one":
        # How often each bit has flipped tells its value, so no task needs the ones before.
        flipped = key.child("flips").generator().integers(count, size=t)
        bits ^= (np.bincount(flipped, minlength=count) % 2).astype(np.uint8)
    return bits


def _examples(count: int, bits: int, flipping: np.ndarray, key: RandomKey) -> np.ndarray:
    drawn = key.generator().integers(2, size=(count, bits), dtype=np.uint8)
    drawn[:, : len(flipping)] = flipping
    return drawn
