"""Plasticity of a snapshot, seen in its structure: activations, weights and gradients.

All is measured on a fixed probe of training inputs of the task that follows. What the network
then makes of that task (test and online accuracy, learning speed, trainability gap) is measured
by training it: see ``trials/stream.py``.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import activation

from raylot.data import Task
from raylot.names import WHOLE_NETWORK
from raylot.pruning import prunable_weights
from raylot.randomness import RandomKey

_ACTIVATIONS = tuple(
    kind
    for kind in vars(activation).values()
    if isinstance(kind, type)
    and issubclass(kind, nn.Module)
    and kind not in (nn.Module, nn.MultiheadAttention)
    and kind.__module__ == activation.__name__
)


def dead_fraction(activations: Tensor) -> float:
    """Fraction of units that are zero on the whole probe, in [0, 1].

    Args:
        activations: ``examples x units``.
    """
    return float((activations == 0).all(dim=0).double().mean())


def dormant_fraction(activations: Tensor, threshold: float) -> float:
    """Fraction of tau-dormant units, in [0, 1] (Sokar et al. 2023).

    A unit is dormant if its mean |activation| is at most threshold times its layer's mean of
    that; in a layer that is silent altogether all are.

    Args:
        activations: ``examples x units``.
        threshold: tau, in [0, 1].
    """
    score = activations.double().abs().mean(dim=0)
    return float((score <= threshold * score.mean()).double().mean())


def effective_rank(matrix: Tensor) -> float:
    """exp of the entropy of the normalised singular values (Roy & Vetterli 2007).

    Args:
        matrix: ``examples x units``.

    Returns:
        From 1 to min(examples, units); 0 for a matrix of zeros.
    """
    values = torch.linalg.svdvals(matrix.double())
    total = values.sum()
    if total == 0:
        return 0.0
    shares = values[values > 0] / total
    return float(torch.exp(-(shares * shares.log()).sum()))


@dataclass(frozen=True)
class _Metric:
    """How one metric looks at one layer, and how layers make up the whole network's value."""

    of_layer: Callable[[Tensor, Any], float]
    combine: Callable[[list[float], list[int]], float]


def _weighted_mean(values: list[float], sizes: list[int]) -> float:
    return sum(v * n for v, n in zip(values, sizes, strict=True)) / sum(sizes)


def _mean(values: list[float], sizes: list[int]) -> float:
    return sum(values) / len(values)


def _root_sum_of_squares(values: list[float], sizes: list[int]) -> float:
    return math.hypot(*values)


#: Of a hidden layer's activations, ``examples x units``.
ACTIVATION_METRICS: dict[str, _Metric] = {
    "dead_fraction": _Metric(lambda a, options: dead_fraction(a), _weighted_mean),
    "dormant_fraction": _Metric(
        lambda a, options: dormant_fraction(a, options.dormant_threshold), _weighted_mean
    ),
    "effective_rank": _Metric(lambda a, options: effective_rank(a), _mean),
}

#: Of a prunable layer's weights: Euclidean norm, and mean absolute value.
WEIGHT_METRICS: dict[str, _Metric] = {
    "weight_norm": _Metric(lambda w, options: float(w.double().norm()), _root_sum_of_squares),
    "weight_magnitude": _Metric(lambda w, options: float(w.double().abs().mean()), _weighted_mean),
}

#: Of the gradient of a prunable layer's weights, of the mean loss over the probe.
GRADIENT_METRICS: dict[str, _Metric] = {
    "gradient_norm": _Metric(lambda g, options: float(g.double().norm()), _root_sum_of_squares),
}


def measure(network: nn.Module, task: Task, options: Any, key: RandomKey) -> list[dict[str, Any]]:
    """Measures a network's structure on a probe of a task's training split.

    Args:
        network: any module whose nonlinearities are modules (``nn.ReLU``, not ``F.relu``); where
            there are none, metrics of activations are left out. Left unchanged.
        task: the task it is about to be trained on, on the same device.
        options: `raylot.config.PlasticityOptions`: size of the probe, threshold for dormancy.
        key: decides which examples the probe holds.

    Returns:
        Rows with layer, metric and value: per layer, named after its weight's module, and for
        ``layer="all"``: shares over all units, ranks as mean over layers, norms of all weights
        together.
    """
    size = min(options.probe_size, len(task.train_labels))
    chosen = key.generator().permutation(len(task.train_labels))[:size]
    index = torch.from_numpy(chosen).to(task.train_labels.device)
    was_training = network.training
    network.eval()
    with _recorded_activations(network) as activations:
        loss = F.cross_entropy(
            network(task.scale(task.train_inputs[index])), task.train_labels[index]
        )
    weights = {name.removesuffix(".weight"): w for name, w in prunable_weights(network).items()}
    gradients = torch.autograd.grad(loss, list(weights.values()))
    network.train(was_training)
    values = {name: weight.detach() for name, weight in weights.items()}
    return [
        *_rows(ACTIVATION_METRICS, activations, options, lambda a: a.shape[1]),
        *_rows(WEIGHT_METRICS, values, options, Tensor.numel),
        *_rows(GRADIENT_METRICS, dict(zip(weights, gradients, strict=True)), options, Tensor.numel),
    ]


def _rows(
    metrics: dict[str, _Metric],
    layers: dict[str, Tensor],
    options: Any,
    size: Callable[[Tensor], int],
) -> Iterator[dict[str, Any]]:
    if not layers:
        return
    sizes = [size(tensor) for tensor in layers.values()]
    finite = all(bool(tensor.isfinite().all()) for tensor in layers.values())
    for name, metric in metrics.items():
        values = [
            metric.of_layer(tensor, options) if finite else math.nan for tensor in layers.values()
        ]
        for layer, value in zip(layers, values, strict=True):
            yield {"layer": layer, "metric": name, "value": value}
        yield {"layer": WHOLE_NETWORK, "metric": name, "value": metric.combine(values, sizes)}


@contextlib.contextmanager
def _recorded_activations(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collects outputs of activation modules as ``examples x units``, by the layer they follow.

    A channel counts as a unit; its positions count as examples.
    """
    weights = prunable_weights(network)
    names = {
        id(module): name for name, module in network.named_modules() if f"{name}.weight" in weights
    }
    recorded: dict[str, Tensor] = {}
    latest = ""

    def note_layer(module: nn.Module, args: Any, output: Tensor) -> None:
        nonlocal latest
        latest = names[id(module)]

    def note_activation(module: nn.Module, args: Any, output: Tensor) -> None:
        channels_last = output.detach().movedim(1, -1)
        recorded[latest] = channels_last.reshape(-1, channels_last.shape[-1])

    handles = []
    for module in network.modules():
        if id(module) in names:
            handles.append(module.register_forward_hook(note_layer))
        elif isinstance(module, _ACTIVATIONS):
            handles.append(module.register_forward_hook(note_activation))
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
