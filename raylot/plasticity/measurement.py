"""All structural metrics of one network on the probe of one task."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from raylot import plugins
from raylot.config import PlasticityOptions
from raylot.data import Task
from raylot.names import WHOLE_NETWORK
from raylot.plasticity.activations import (
    ACTIVATION_METRICS,
    LayerActivations,
    recorded_activations,
)
from raylot.plasticity.curvature import sharpness
from raylot.plasticity.dense_hessian import dense_hessian
from raylot.plasticity.gradients import GRADIENT_METRICS
from raylot.plasticity.kernel import KERNEL_METRICS, empirical_ntk, kernel_spectrum
from raylot.plasticity.metric import Layer, Metric, Tell, number_or_nan, rows, weighted_mean
from raylot.plasticity.weights import DISTANCE_METRICS, WEIGHT_METRICS
from raylot.pruning import prunable_weights
from raylot.randomness import RandomKey
from raylot.training import Masks

Rows = Iterator[dict[str, Any]]

_NO_ACTIVATIONS = (
    "no activation function was seen in the network, so dead and dormant units, their signs and "
    "ranks were not measured (seen are modules such as nn.ReLU and functions such as F.relu)"
)


@dataclass(frozen=True, eq=False)
class Probe:
    """What a plugin's metric of the whole network looks at.

    Attributes:
        network: a copy, in evaluation mode; its draws depend on the run's seed alone.
        inputs: some training inputs of the task that follows, as the network sees them:
            ``examples x ...``, float32.
        labels: theirs: ``examples``, int64.
        options: the run's.
        masks: survivors by parameter name; of a dense network there are none.
        initial: the network's state at initialisation, if known.
    """

    network: nn.Module
    inputs: Tensor
    labels: Tensor
    options: PlasticityOptions
    masks: Masks
    initial: Mapping[str, Tensor] | None


def measure(
    network: nn.Module,
    task: Task,
    options: PlasticityOptions,
    key: RandomKey,
    *,
    initial: Mapping[str, Tensor] | None = None,
    masks: Masks | None = None,
    tell: Tell = warnings.warn,
) -> list[dict[str, Any]]:
    """Measures a network's structure on a probe of a task's training split.

    Args:
        network: any module; a copy of it is measured, and the global random state is left as it
            is. `recorded_activations` says which activations are seen; where there are none,
            their metrics are left out.
        task: the task it is about to be trained on, on the same device.
        options: size of the probe, threshold for dormancy, examples of the NTK and iterations for
            the sharpness (with 0 of these they are left out), and metrics of plugins.
        key: decides which examples the probe holds.
        initial: the network's state at initialisation; without it distance_from_init is left out.
        masks: survivors of a pruned network; other weights count in no metric of weights,
            gradients or curvature. A layer without survivors has norms of 0, and NaN for means.
        tell: gets a line for each metric that could not be computed, and why. Its value is NaN.

    Returns:
        Rows with layer, metric and value: per layer, named after its weight's module, and for
        ``layer="all"``: fractions and means over all units or weights, ranks as mean over layers,
        norms and distance of all weights together. Metrics of curvature only for ``"all"``. What
        cannot be computed from numbers that are not finite is NaN. Those of plugins come last of
        their kind.

    Raises:
        ValueError: masks or initial do not fit the network.
    """
    network = copy.deepcopy(network).eval()
    weights = prunable_weights(network)
    trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
    masks = _masks_beside(trainable, masks)
    inputs, labels = _probe(task, options.probe_size, key)
    with _reproducible(labels.device, key), _twice_differentiable():
        with recorded_activations(network) as activations:
            loss = F.cross_entropy(network(inputs), labels)
        gradients = torch.autograd.grad(
            loss, list(weights.values()), retain_graph=True, allow_unused=True,
            materialize_grads=True,
        )  # fmt: skip
        curvature = [
            *_sharpness_rows(network, inputs, labels, loss, trainable, options, key, masks, tell),
            *_kernel_rows(network, inputs[: options.ntk_examples], masks, tell),
        ]
        added = list(_network_rows(network, inputs, labels, options, masks, initial, tell))
    if not activations:
        tell(_NO_ACTIVATIONS)
    values = {name: weight.detach() for name, weight in weights.items()}
    moved = {} if initial is None else _moved(values, initial)
    return [
        *_activation_rows(activations, options, tell),
        *_weight_rows(
            _with_added(WEIGHT_METRICS, "weights", options), values, options, masks, tell
        ),
        *_weight_rows(DISTANCE_METRICS, moved, options, masks, tell),
        *_weight_rows(
            _with_added(GRADIENT_METRICS, "gradients", options),
            dict(zip(weights, gradients, strict=True)),
            options,
            masks,
            tell,
        ),
        *curvature,
        *added,
    ]


def _probe(task: Task, size: int, key: RandomKey) -> tuple[Tensor, Tensor]:
    chosen = key.generator().permutation(len(task.train_labels))[:size]
    index = torch.from_numpy(chosen).to(task.train_labels.device)
    return task.scale(task.train_inputs[index]), task.train_labels[index]


def _masks_beside(trainable: Mapping[str, Tensor], masks: Masks | None) -> Masks:
    """Masks on the devices of what they mask."""
    unknown = set(masks or {}) - set(trainable)
    if unknown:
        raise ValueError(f"masks: {', '.join(sorted(unknown))} is no trainable parameter")
    return {name: mask.to(trainable[name].device) for name, mask in (masks or {}).items()}


def _moved(weights: Mapping[str, Tensor], initial: Mapping[str, Tensor]) -> dict[str, Tensor]:
    missing = set(weights) - set(initial)
    if missing:
        raise ValueError(f"initial: must hold {', '.join(sorted(missing))}")
    return {name: w.double() - initial[name].to(w.device).double() for name, w in weights.items()}


@contextlib.contextmanager
def _reproducible(device: torch.device, key: RandomKey) -> Iterator[None]:
    """Inside, gradients are on, and draws by the network depend on the key alone."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        # Each generator by itself: torch.manual_seed takes milliseconds where there is no GPU.
        seed = key.child("network").torch_seed()
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        yield


@contextlib.contextmanager
def _twice_differentiable() -> Iterator[None]:
    """Inside, attention is computed step by step: PyTorch's fast kernels have no Hessian.

    PyTorch's fast path for whole transformer layers would also hide their activations.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _activation_rows(
    layers: Mapping[str, LayerActivations], options: PlasticityOptions, tell: Tell
) -> Rows:
    sizes = [layer.outputs.shape[1] for layer in layers.values()]
    finite = all(bool(layer.outputs.isfinite().all()) for layer in layers.values())
    metrics = _with_added(ACTIVATION_METRICS, "activations", options)
    return rows(metrics, layers, sizes, finite, options, tell)


def _weight_rows(
    metrics: Mapping[str, Metric[Tensor]],
    tensors: Mapping[str, Tensor],
    options: PlasticityOptions,
    masks: Masks,
    tell: Tell,
) -> Rows:
    live = {
        name.removesuffix(".weight"): tensor[masks[name]] if name in masks else tensor
        for name, tensor in tensors.items()
    }
    sizes = [tensor.numel() for tensor in live.values()]
    finite = all(bool(tensor.isfinite().all()) for tensor in live.values())
    return rows(metrics, live, sizes, finite, options, tell)


def _sharpness_rows(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    loss: Tensor,
    trainable: Mapping[str, Tensor],
    options: PlasticityOptions,
    key: RandomKey,
    masks: Masks,
    tell: Tell,
) -> Rows:
    def largest_eigenvalue() -> float:
        product = dense_hessian(network, inputs, labels)
        start, iterations = key.child("sharpness"), options.sharpness_iterations
        return sharpness(loss, trainable, iterations, start, masks, product)

    if options.sharpness_iterations:
        value = number_or_nan("sharpness", tell, largest_eigenvalue)
        yield {"layer": WHOLE_NETWORK, "metric": "sharpness", "value": value}


def _kernel_rows(network: nn.Module, inputs: Tensor, masks: Masks, tell: Tell) -> Rows:
    if not len(inputs):
        return

    @functools.cache
    def spectrum() -> Tensor | None:
        kernel = empirical_ntk(network, inputs, masks)
        return kernel_spectrum(kernel) if kernel.isfinite().all() else None

    def measured(of_spectrum: Callable[[Tensor], float]) -> float:
        found = spectrum()
        return math.nan if found is None else of_spectrum(found)

    for name, of_spectrum in KERNEL_METRICS.items():
        value = number_or_nan(name, tell, measured, of_spectrum)
        yield {"layer": WHOLE_NETWORK, "metric": name, "value": value}


def _added(options: PlasticityOptions, of: plugins.Observed) -> dict[str, plugins.AddedMetric]:
    """The metrics of plugins that look at one kind of thing."""
    found = {name: plugins.get("metric", name) for name in options.metrics or ()}
    return {name: metric for name, metric in found.items() if metric.of == of}


def _with_added(
    metrics: Mapping[str, Metric[Layer]], of: plugins.Observed, options: PlasticityOptions
) -> dict[str, Metric[Layer]]:
    """Metrics that are built in, and those of plugins that look at the same."""
    added = {
        name: Metric[Layer](
            functools.partial(_number, name, metric.function),
            functools.partial(_number, name, metric.combine or weighted_mean),
        )
        for name, metric in _added(options, of).items()
    }
    return {**metrics, **added}


def _network_rows(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    options: PlasticityOptions,
    masks: Masks,
    initial: Mapping[str, Tensor] | None,
    tell: Tell,
) -> Rows:
    finite = all(bool(p.isfinite().all()) for p in network.parameters())
    for name, metric in _added(options, "network").items():
        probe = Probe(
            copy.deepcopy(network), inputs.clone(), labels.clone(), options, masks, initial
        )
        measured = functools.partial(_number, name, metric.function)
        value = number_or_nan(name, tell, measured, probe) if finite else math.nan
        yield {"layer": WHOLE_NETWORK, "metric": name, "value": value}


def _number(name: str, function: Callable[..., Any], *arguments: Any) -> float:
    """What a plugin's metric returns, as a float."""
    value = function(*arguments)
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if not isinstance(value, Real):
        raise TypeError(f"a metric must return a number; {name} returned a {type(value).__name__}")
    return float(value)
