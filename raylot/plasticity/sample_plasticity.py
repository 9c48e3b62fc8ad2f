"""Sample plasticity: how much of an example's loss one training step on it removes."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from raylot.networks.copies import copied
from raylot.plasticity.metric import Row, whole_network_row
from raylot.plasticity.one_step import steps_from_here
from raylot.plasticity.probe import Subject
from raylot.training.losses import loss_of

#: The least loss by which another is divided, in nats.
_LEAST = 1e-8


def sample_plasticity(before: Tensor, after: Tensor) -> float:
    """Returns the mean of 1 - L_after / L_before, each clipped to [0, 1].

    1: a step removes the whole loss; 0: it removes nothing, or makes it larger. Losses below 1e-8
    nats count as 1e-8. Elsayed & Mahmood (2024, UPGD, arXiv 2404.00781).

    Args:
        before: losses of examples before a step on each, ``examples``.
        after: the same losses after it.
    """
    removed = 1 - after.double() / before.double().clamp_min(_LEAST)
    return float(removed.clamp(0, 1).mean())


def sample_plasticity_rows(subject: Subject) -> Iterable[Row]:
    """Returns the sample plasticity on the first examples of the probe.

    Each example is a batch of its own and has its own step from the snapshot, see
    `steps_from_here`; UPGD's authors average over the steps of a training instead, so theirs
    depends on how far the training went. Both losses are without label smoothing.

    Raises:
        ValueError: it is unknown how the network is trained.
    """
    training, probe = subject.training, subject.probe
    if training is None:
        raise ValueError("training: must be given, as sample plasticity is that of a training step")
    count = subject.options.sample_plasticity_examples
    network = copied(probe.network)
    before, after = [], []
    with steps_from_here(network, subject.task, training, probe.masks) as step:
        for inputs, labels in zip(
            probe.inputs[:count].split(1), probe.labels[:count].split(1), strict=True
        ):
            before.append(loss_of(subject.task, step(inputs, labels), labels))
            with torch.no_grad():
                after.append(loss_of(subject.task, network(inputs), labels))
    losses, changed = torch.stack(before), torch.stack(after)
    if not bool(losses.isfinite().all() and changed.isfinite().all()):
        subject.note("sample_plasticity: NaN, as not all losses are finite")
        return [whole_network_row("sample_plasticity", math.nan)]
    return [whole_network_row("sample_plasticity", sample_plasticity(losses, changed))]
