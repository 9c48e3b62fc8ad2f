"""Churn: how much a training step changes the outputs for inputs that it did not see."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from raylot.networks.copies import copied
from raylot.plasticity.metric import Row, whole_network_row
from raylot.plasticity.one_step import steps_from_here
from raylot.plasticity.probe import Subject


def churn_rows(subject: Subject) -> Iterable[Row]:
    """Returns the mean |change of an output| by one training step on other examples, at least 0.

    The unit is that of the outputs: logits, of the classes shown so far. The mean is over outputs,
    reference inputs and batches; each batch has its own step from the snapshot, see
    `steps_from_here`. Reference inputs are those of the probe, at most half of the task's training
    examples; batches, of the stream's ``batch_size``, come from the others, so no reference input
    is in a batch.

    Tang et al. (2025, arXiv 2506.00592) see churn grow as the NTK loses rank. They measure it
    during training, between two consecutive networks.

    Raises:
        ValueError: it is unknown how the network is trained, or there is only one example.
    """
    training, probe, order = subject.training, subject.probe, subject.order
    if training is None:
        raise ValueError("training: must be given, as churn is that of a training step")
    if len(order) < 2:
        raise ValueError("the task has no second training example")
    kept = min(len(probe.labels), len(order) // 2)
    reference, others = probe.inputs[:kept], order[kept:]
    size = min(training.batch_size, len(others))
    batches = others[: len(others) // size * size].view(-1, size)[: subject.options.churn_batches]
    network = copied(probe.network)
    with torch.no_grad():
        before = network(reference)[:, : subject.task.shown].clone()
    changes = []
    with steps_from_here(network, subject.task, training, probe.masks) as step:
        for batch in batches:
            step(*subject.examples(batch))
            with torch.no_grad():
                after = network(reference)[:, : subject.task.shown]
                changes.append((after - before).double().abs().mean())
    value = float(torch.stack(changes).mean())
    if not math.isfinite(value):
        subject.note("churn: NaN, as not all outputs are finite")
        value = math.nan
    return [whole_network_row("churn", value)]
