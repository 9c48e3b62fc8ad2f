"""Linear mode connectivity: the barrier between two trained networks (Frankle et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from raylot.foundation.randomness import RandomKey
from raylot.networks import with_state
from raylot.networks.prunable import listed_names
from raylot.tasks import Task
from raylot.training import evaluate, evaluation_mode
from raylot.training.repeatable import exact_convolutions, own_random_state

#: What is evaluated along the line.
ERRORS = ("test_error", "test_loss", "train_loss")


def why_not_interpolated(a: nn.Module, b: nn.Module) -> str | None:
    """Returns why no network lies between two, for the end of a sentence; None if some do.

    Weights can be interpolated, and statistics of batch normalisation computed anew. What a module
    of a user's own keeps beside them has no value between two.
    """
    changed = [name for name in _changed_buffers(a, b) if name not in _statistics(a)]
    return f"they differ in {listed_names(changed)}, beside their weights" if changed else None


@torch.no_grad()
def errors_along(
    a: nn.Module, b: nn.Module, task: Task, *, points: int, key: RandomKey, batch_size: int
) -> list[dict[str, float]]:
    """Evaluates the networks on the straight line between two, at even distances, ends included.

    Running statistics of batch normalisation that differ between the two are computed anew at every
    point, ends included: those of the two networks, interpolated, would belong to none between.
    They are means over batches of the training split, without augmentation.

    Args:
        a: one network, on the task's device.
        b: another one of the same architecture.
        task: on which errors are evaluated.
        points: how many networks, at least 2.
        key: decides the batches, and the training examples whose loss is evaluated.
        batch_size: of the batches, as in the training.

    Returns:
        For each point test_error (fraction of the test split), test_loss, and train_loss (nats; of
        as many training examples as the test split has). NaN if not finite.
    """
    order = torch.from_numpy(key.generator().permutation(len(task.train_labels)))
    order = order.to(task.train_labels.device)
    some = order[: len(task.test_labels)]
    on_training_split = replace(
        task, test_inputs=task.train_inputs[some], test_labels=task.train_labels[some]
    )
    changed = {*_changed_buffers(a, b)}
    norms = {module for buffer, module in _statistics(a).items() if buffer in changed}
    found = []
    with own_random_state(order.device, key):
        for share in np.linspace(0, 1, points):
            network = _between(a, b, float(share))
            if norms:
                _recompute(network, norms, task, order.split(batch_size))
            found.append(_errors(network, task, on_training_split))
    return found


def barriers(along: Sequence[dict[str, float]]) -> dict[str, float]:
    """Returns how much higher each error rises between two networks than their mean.

    Args:
        along: the errors from one network to the other, see `errors_along`.

    Returns:
        For each error its mean of both networks, and as ``test_error_barrier`` and so on the
        highest one along the line minus this mean; at least 0, and NaN if one is NaN, as test error
        is in regression.
    """
    means = {name: (along[0][name] + along[-1][name]) / 2 for name in ERRORS}
    highest = {name: float(np.max([point[name] for point in along])) for name in ERRORS}
    return means | {f"{name}_barrier": highest[name] - means[name] for name in ERRORS}


def _errors(network: nn.Module, task: Task, on_training_split: Task) -> dict[str, float]:
    on_test = evaluate(network, task)
    train_loss = evaluate(network, on_training_split).loss
    test_error = math.nan if on_test.accuracy is None else 1 - on_test.accuracy
    return dict(zip(ERRORS, (test_error, on_test.loss, train_loss), strict=True))


def _between(a: nn.Module, b: nn.Module, share: float) -> nn.Module:
    """Returns a copy of a network with its weights moved a share of the way to another's."""
    state, other = a.state_dict(), b.state_dict()
    weights = {name for name, _ in a.named_parameters(remove_duplicate=False)}
    moved = {name: torch.lerp(state[name], other[name], share) for name in weights & state.keys()}
    return with_state(a, {**state, **moved})


def _changed_buffers(a: nn.Module, b: nn.Module) -> list[str]:
    others = dict(b.named_buffers())
    return [name for name, own in a.named_buffers() if not torch.equal(own, others[name])]


def _statistics(network: nn.Module) -> dict[str, str]:
    """Returns the names of running statistics of batch normalisation -> their module's name."""
    return {
        f"{name}.{buffer}" if name else buffer: name
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm)
        for buffer, _ in module.named_buffers(recurse=False)
    }


def _recompute(network: nn.Module, norms: set[str], task: Task, batches: Sequence[Tensor]) -> None:
    """Computes running statistics anew, each as its mean over batches of the training split."""
    with evaluation_mode(network), exact_convolutions():
        for name in norms:
            module = network.get_submodule(name)
            assert isinstance(module, _BatchNorm)
            module.reset_running_stats()
            module.momentum = None  # PyTorch then takes means over all batches
            module.training = True
        for batch in batches:
            if len(batch) == len(batches[0]):  # a smaller one would count as much as the others
                network(task.scale(task.train_inputs[batch]))
