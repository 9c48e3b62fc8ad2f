"""All structural metrics of one network on the probe of one task."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from raylot.config import PlasticityOptions
from raylot.foundation import registry
from raylot.foundation.errors import OptionError
from raylot.foundation.names import WHOLE_NETWORK
from raylot.foundation.randomness import RandomKey
from raylot.networks.copies import copied
from raylot.networks.prunable import prunable_weights
from raylot.plasticity.activations import (
    ACTIVATION_METRICS,
    LayerActivations,
    recorded_activations,
)
from raylot.plasticity.curvature import sharpness
from raylot.plasticity.dense_hessian import dense_hessian
from raylot.plasticity.gradients import GRADIENT_METRICS
from raylot.plasticity.kernel import KERNEL_METRICS, empirical_ntk, kernel_spectrum
from raylot.plasticity.metric import Layer, Metric, Note, attempt, rows, weighted_mean
from raylot.plasticity.weights import DISTANCE_METRICS, WEIGHT_METRICS
from raylot.tasks import Task
from raylot.tasks.task import check_task
from raylot.training import Masks

Rows = Iterator[dict[str, Any]]


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

    All of it is the metric's own: what it writes there changes nothing else.
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
    note: Note | None = None,
) -> list[dict[str, Any]]:
    """Measures a network's structure on a probe of a task's training split.

    Args:
        network: any module from inputs to logits. It is measured on a copy and left unchanged, as
            is the global random state. `recorded_activations` says what its hidden layers are.
        task: the task it is about to be trained on, on the same device.
        options: size of the probe, threshold for dormancy, examples of the NTK and iterations for
            the sharpness (with 0 of these they are left out), and metrics of plugins.
        key: decides which examples the probe holds.
        initial: the network's state at initialisation; without it distance_from_init is left out.
        masks: survivors of a pruned network; other weights count in no metric of weights,
            gradients or curvature. A layer without survivors has norms of 0, and NaN for means.
        note: called with one line for everything that could not be computed, which says why. None:
            each is a Python warning.

    Returns:
        Rows with layer, metric and value: per layer, named after its weight's module, and for
        ``layer="all"``: fractions and means over all units or weights, ranks as mean over layers,
        norms and distance of all weights together. Metrics of curvature only for ``"all"``. What
        cannot be computed is NaN: all metrics of numbers that are not finite, and any metric that
        raises, a plugin's too. Metrics of plugins come last of their kind.

    Raises:
        ValueError: masks or initial do not fit the network, or the network cannot be copied.
        Exception: what the network itself raises in a forward pass on the probe.
    """
    check_task(task)
    reasons: list[str] = []
    with _apart(network, task.train_labels.device, key):
        inputs, labels = _probe(task, options.probe_size, key)
        found = _measured(
            copied(network).float().eval(), inputs, labels, options, key, initial, masks,
            reasons.append,
        )  # fmt: skip
    for reason in dict.fromkeys(reasons):
        if note is None:
            warnings.warn(reason, stacklevel=2)
        else:
            note(reason)
    return found


def _measured(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    options: PlasticityOptions,
    key: RandomKey,
    initial: Mapping[str, Tensor] | None,
    masks: Masks | None,
    note: Note,
) -> list[dict[str, Any]]:
    """As `measure`, of a network that may be changed, on a probe."""
    weights = _weights(network, note)
    trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
    masks = _masks_beside(trainable, masks)
    values = {name: weight.detach() for name, weight in weights.items()}
    moved = {} if initial is None else _moved(values, initial)
    with recorded_activations(network) as activations:
        loss = F.cross_entropy(network(inputs), labels)
    if not activations:
        note(
            "metrics of activations: left out, as no activation function of PyTorch's and no "
            "recurrent module computed anything"
        )
    gradients = _gradients(loss, weights, note)
    curvature = [
        *_sharpness_rows(network, inputs, labels, loss, trainable, options, key, masks, note),
        *_kernel_rows(network, inputs[: options.ntk_examples], masks, note),
    ]
    added = list(_network_rows(network, inputs, labels, options, masks, initial, note))
    of_weights = _with_added(WEIGHT_METRICS, "weights", options)
    of_gradients = _with_added(GRADIENT_METRICS, "gradients", options)
    return [
        *_activation_rows(activations, options, note),
        *_weight_rows("weights", of_weights, values, options, masks, note),
        *_weight_rows("weights", DISTANCE_METRICS, moved, options, masks, note),
        *_weight_rows("gradients", of_gradients, gradients, options, masks, note),
        *curvature,
        *added,
    ]


def _probe(task: Task, size: int, key: RandomKey) -> tuple[Tensor, Tensor]:
    chosen = key.generator().permutation(len(task.train_labels))[:size]
    index = torch.from_numpy(chosen).to(task.train_labels.device)
    return task.scale(task.train_inputs[index]), task.train_labels[index]


def _weights(network: nn.Module, note: Note) -> dict[str, nn.Parameter]:
    try:
        return prunable_weights(network)
    except OptionError:  # there are none
        note("metrics of weights and gradients: left out, as no linear or convolution layer trains")
        return {}


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
def _apart(network: nn.Module, device: torch.device, key: RandomKey) -> Iterator[None]:
    """Gradients inside, whatever the caller has; draws depend on the key alone."""
    devices = [device] if device.type == "cuda" else []
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        # The other attention kernels have no second derivative, which the sharpness needs.
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(module, nn.RNNBase) for module in network.modules()):
            # cuDNN differentiates recurrent modules in training mode only.
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        # Each generator by itself: torch.manual_seed takes milliseconds where there is no GPU.
        seed = key.child("network").torch_seed()
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        yield


def _gradients(loss: Tensor, weights: Mapping[str, Tensor], note: Note) -> dict[str, Tensor]:
    """Of the loss in each weight; NaN if they cannot be computed."""
    if not weights:
        return {}
    found = attempt(
        "metrics of gradients", note,
        lambda: torch.autograd.grad(
            loss, list(weights.values()), retain_graph=True, allow_unused=True,
            materialize_grads=True,
        ),
    )  # fmt: skip
    if found is None:
        return {name: torch.full_like(weight, math.nan) for name, weight in weights.items()}
    return dict(zip(weights, found, strict=True))


def _are_finite(observed: str, tensors: Iterable[Tensor], note: Note) -> bool:
    if all(bool(tensor.isfinite().all()) for tensor in tensors):
        return True
    note(f"metrics of {observed}: NaN, as not all {observed} are finite")
    return False


def _activation_rows(
    layers: Mapping[str, LayerActivations], options: PlasticityOptions, note: Note
) -> Rows:
    sizes = [layer.outputs.shape[1] for layer in layers.values()]
    finite = _are_finite("activations", [layer.outputs for layer in layers.values()], note)
    metrics = _with_added(ACTIVATION_METRICS, "activations", options)
    return rows(metrics, layers, sizes, finite, options, note)


def _weight_rows(
    observed: str,
    metrics: Mapping[str, Metric[Tensor]],
    tensors: Mapping[str, Tensor],
    options: PlasticityOptions,
    masks: Masks,
    note: Note,
) -> Rows:
    live = {
        name.removesuffix(".weight"): tensor[masks[name]] if name in masks else tensor
        for name, tensor in tensors.items()
    }
    sizes = [tensor.numel() for tensor in live.values()]
    finite = _are_finite(observed, live.values(), note)
    return rows(metrics, live, sizes, finite, options, note)


def _sharpness_rows(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    loss: Tensor,
    trainable: Mapping[str, Tensor],
    options: PlasticityOptions,
    key: RandomKey,
    masks: Masks,
    note: Note,
) -> Rows:
    iterations = options.sharpness_iterations
    if not iterations:
        return

    def compute() -> float:
        product = dense_hessian(network, inputs, labels)
        return sharpness(loss, trainable, iterations, key.child("sharpness"), masks, product)

    value = attempt("sharpness", note, compute)
    if value is not None and math.isnan(value):
        note("sharpness: NaN, as the curvature of the loss is not finite")
    value = math.nan if value is None else value
    yield {"layer": WHOLE_NETWORK, "metric": "sharpness", "value": value}


def _kernel_rows(network: nn.Module, inputs: Tensor, masks: Masks, note: Note) -> Rows:
    if not len(inputs):
        return

    both = " and ".join(KERNEL_METRICS)

    def compute() -> Tensor | None:
        kernel = empirical_ntk(network, inputs, masks)
        if bool(kernel.isfinite().all()):
            return kernel_spectrum(kernel)
        note(f"{both}: NaN, as the empirical NTK is not finite")
        return None

    spectrum = attempt(both, note, compute)
    for name, of_spectrum in KERNEL_METRICS.items():
        value = math.nan if spectrum is None else of_spectrum(spectrum)
        yield {"layer": WHOLE_NETWORK, "metric": name, "value": value}


def _added(options: PlasticityOptions, of: registry.Observed) -> dict[str, registry.AddedMetric]:
    """The metrics of plugins that look at one kind of thing."""
    found = {name: registry.get("metric", name) for name in options.metrics or ()}
    return {name: metric for name, metric in found.items() if metric.of == of}


def _with_added(
    metrics: Mapping[str, Metric[Layer]], of: registry.Observed, options: PlasticityOptions
) -> dict[str, Metric[Layer]]:
    """Metrics that are built in, and those of plugins that look at the same."""
    added = {
        name: Metric[Layer](
            functools.partial(_of_copy, name, metric.function),
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
    note: Note,
) -> Rows:
    metrics = _added(options, "network")
    finite = not metrics or _are_finite("parameters", network.parameters(), note)
    for name, metric in metrics.items():
        probe = Probe(
            copied(network), inputs.clone(), labels.clone(), options, _copies(masks),
            None if initial is None else _copies(initial),
        )  # fmt: skip
        value = attempt(name, note, _number, name, metric.function, probe) if finite else None
        value = math.nan if value is None else value
        yield {"layer": WHOLE_NETWORK, "metric": name, "value": value}


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _of_copy(name: str, function: Callable[..., Any], layer: Any, options: Any) -> float:
    """What a plugin's metric returns for a layer, whatever it does to what it gets."""
    return _number(name, function, copy.deepcopy(layer), options)


def _number(name: str, function: Callable[..., Any], *arguments: Any) -> float:
    """What a plugin's metric returns, as a float."""
    value = function(*arguments)
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if not isinstance(value, Real):
        raise TypeError(f"a metric must return a number; {name} returned a {type(value).__name__}")
    return float(value)
