"""Measures all structural metrics of a network on a probe of one task."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from raylot.config import PlasticityOptions
from raylot.config.plasticity_options import ProbeOptions
from raylot.foundation import registry
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.networks.copies import copied
from raylot.networks.prunable import prunable_weights
from raylot.plasticity.activations import ACTIVATION_METRICS, recorded_activations
from raylot.plasticity.curvature import sharpness
from raylot.plasticity.dense_hessian import dense_hessian
from raylot.plasticity.kernel import KERNEL_METRICS, empirical_ntk, kernel_spectrum
from raylot.plasticity.metric import (
    Layer,
    Metric,
    Note,
    attempt,
    rows,
    weighted_mean,
    whole_network_row,
)
from raylot.plasticity.weights import DISTANCE_METRICS, GRADIENT_METRICS, WEIGHT_METRICS
from raylot.tasks import Task
from raylot.tasks.task import check_task
from raylot.training import Masks
from raylot.training.evaluation import exact_convolutions
from raylot.training.losses import loss_of

Row = dict[str, Any]

#: raylot's own metrics of weights, of dormant units, and the other ones of units and gradients.
GROUPS: dict[str, tuple[str, ...]] = {
    "weights": (*WEIGHT_METRICS, *DISTANCE_METRICS),
    "dormant": ("dormant_fraction",),
    "structure": (
        *(name for name in ACTIVATION_METRICS if name != "dormant_fraction"),
        *GRADIENT_METRICS,
    ),
}
ALL_BUILT_IN = tuple(name for group in GROUPS.values() for name in group)


@dataclass(frozen=True, eq=False)
class Probe:
    """The view of a snapshot that metrics get; a plugin's metric of the network gets a copy.

    Attributes:
        network: a copy, in evaluation mode; its draws depend on the run's seed alone.
        inputs: some training inputs of the next task, as the network sees them:
            ``examples x ...``, float32.
        labels: their labels: ``examples``, int64; in regression ``examples x targets``, float32.
        options: ``probe_size`` and ``dormant_threshold`` of the study.
        masks: survivors by parameter name; a dense network has none.
        initial: the network's state at initialisation, if known.
    """

    network: nn.Module
    inputs: Tensor
    labels: Tensor
    options: ProbeOptions
    masks: Masks
    initial: Mapping[str, Tensor] | None

    @property
    def trainable(self) -> dict[str, nn.Parameter]:
        """The trainable parameters, by name."""
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}

    def copy(self) -> Probe:
        """Copies everything, so that a plugin can write into it."""
        others = copy.deepcopy((self.inputs, self.labels, self.options, self.masks, self.initial))
        return Probe(copied(self.network), *others)


def measure(
    network: nn.Module,
    task: Task,
    options: PlasticityOptions,
    key: RandomKey,
    *,
    initial: Mapping[str, Tensor] | None = None,
    masks: Masks | None = None,
    note: Note | None = None,
    built_in: Collection[str] = ALL_BUILT_IN,
) -> list[Row]:
    """Measures a network's structure on a probe of a task's training split.

    Args:
        network: any module from inputs to logits; left unchanged, as is the global random state.
            `recorded_activations` says what its hidden layers are.
        task: the task on which the network will be trained next, on the same device.
        options: size of the probe, threshold for dormancy, examples of the NTK and iterations for
            the sharpness (0 leaves these out), and metrics of plugins.
        key: decides which examples the probe holds.
        initial: the network's state at initialisation; without it distance_from_init is left out.
        masks: survivors of a pruned network. Metrics of weights, gradients and curvature leave out
            all other weights. A layer without survivors has norms of 0, and NaN for means.
        note: called with a line for everything that cannot be computed, which says why. None: each
            line becomes a Python warning.
        built_in: which of raylot's own metrics of activations, weights and gradients to measure.

    Returns:
        Rows with layer, metric and value: per layer, named after its weight's module, and for
        ``layer="all"``: fractions and means over all units or weights, ranks as mean over layers,
        norms and distance of all weights together. Metrics of curvature only for ``"all"``. A
        metric is NaN if its numbers are not finite, or if it raises an error, a plugin's metric
        too. Metrics of plugins come last of their kind.

    Raises:
        ValueError: masks or initial do not fit the network, or the network cannot be copied.
        Exception: what the network itself raises in a forward pass on the probe.
    """
    check_task(task)
    reasons: list[str] = []
    with _apart(network, task.train_labels.device, key):
        chosen = key.generator().permutation(len(task.train_labels))[: options.probe_size]
        index = torch.from_numpy(chosen).to(task.train_labels.device)
        inputs, labels = task.scale(task.train_inputs[index]), task.train_labels[index]
        measured = copied(network).float().eval()
        own = [("metric", name) for name in options.metrics or ()]
        seen = ProbeOptions(
            probe_size=options.probe_size,
            dormant_threshold=options.dormant_threshold,
            plugin_options=registry.only(options.plugin_options, own),
        )
        probe = Probe(measured, inputs, labels, seen, _placed(measured, masks), initial)
        found = _measured(probe, task, options, key, reasons.append, built_in)
    for reason in dict.fromkeys(reasons):
        if note is None:
            warnings.warn(reason, stacklevel=2)
        else:
            note(reason)
    return found


def _measured(
    probe: Probe,
    task: Task,
    options: PlasticityOptions,
    key: RandomKey,
    note: Note,
    built_in: Collection[str],
) -> list[Row]:
    """Measures everything on a probe; may change the probe's network."""
    of_activations = _metrics(ACTIVATION_METRICS, "activations", options, built_in)
    of_weights = _metrics(WEIGHT_METRICS, "weights", options, built_in)
    of_gradients = _metrics(GRADIENT_METRICS, "gradients", options, built_in)
    of_distances = {n: metric for n, metric in DISTANCE_METRICS.items() if n in built_in}
    weights = _weights(probe.network, note) if of_weights or of_gradients or of_distances else {}
    values = {name: weight.detach() for name, weight in weights.items()}
    with recorded_activations(probe.network) as layers:
        loss = loss_of(task, probe.network(probe.inputs), probe.labels)
    if of_activations and not layers:
        note(
            "metrics of activations: left out, as no activation function of PyTorch's and no "
            "recurrent module computed anything"
        )
    gradients = _gradients(loss, weights, note) if of_gradients else {}
    curvature = [
        *_sharpness_rows(probe, loss, options.sharpness_iterations, key, note),
        *_kernel_rows(probe, options.ntk_examples, note),
    ]
    added = list(_network_rows(probe, options, note))
    found: list[Row] = []
    if of_activations:
        outputs = [layer.outputs for layer in layers.values()]
        found += rows(
            of_activations, layers, [layer.units for layer in layers.values()],
            _are_finite("activations", outputs, note), probe.options, note,
        )  # fmt: skip
    found += _weight_rows("weights", of_weights, values, probe, note)
    if of_distances and probe.initial is not None:
        moved = _moved(values, probe.initial)
        found += _weight_rows("weights", of_distances, moved, probe, note)
    found += _weight_rows("gradients", of_gradients, gradients, probe, note)
    return [*found, *curvature, *added]


def _weights(network: nn.Module, note: Note) -> dict[str, nn.Parameter]:
    try:
        return prunable_weights(network)
    except OptionError:  # there are none
        note("metrics of weights and gradients: left out, as no linear or convolution layer trains")
        return {}


def _placed(network: nn.Module, masks: Masks | None) -> Masks:
    """Moves masks to the devices of the weights that they mask."""
    trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
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
    """Computes gradients inside, whatever the caller's mode; the key alone decides draws."""
    devices = [device] if device.type == "cuda" else []
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(exact_convolutions())
        # The other attention kernels have no second derivative, which the sharpness needs.
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(module, nn.RNNBase) for module in network.modules()):
            # cuDNN differentiates recurrent modules in training mode only.
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        # Seeds each generator: torch.manual_seed takes milliseconds where there is no GPU.
        seed = key.child("network").torch_seed()
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        yield


def _gradients(loss: Tensor, weights: Mapping[str, Tensor], note: Note) -> dict[str, Tensor]:
    """Returns the gradient of the loss in each weight; NaN if it cannot be computed."""
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


def _weight_rows(
    observed: registry.Observed,
    metrics: Mapping[str, Metric[Tensor]],
    tensors: Mapping[str, Tensor],
    probe: Probe,
    note: Note,
) -> list[Row]:
    """Returns rows of layers' live weights or gradients."""
    if not metrics:
        return []
    live = {
        name.removesuffix(".weight"): tensor[probe.masks[name]] if name in probe.masks else tensor
        for name, tensor in tensors.items()
    }
    sizes = [tensor.numel() for tensor in live.values()]
    finite = _are_finite(observed, live.values(), note)
    return list(rows(metrics, live, sizes, finite, probe.options, note))


def _sharpness_rows(
    probe: Probe, loss: Tensor, iterations: int, key: RandomKey, note: Note
) -> Iterator[Row]:
    if not iterations:
        return

    def compute() -> float:
        product = dense_hessian(probe.network, probe.inputs, probe.labels)
        start = key.child("sharpness")
        return sharpness(loss, probe.trainable, iterations, start, probe.masks, product)

    value = attempt("sharpness", note, compute)
    if value is not None and math.isnan(value):
        note("sharpness: NaN, as the curvature of the loss is not finite")
    yield whole_network_row("sharpness", value)


def _kernel_rows(probe: Probe, examples: int, note: Note) -> Iterator[Row]:
    inputs = probe.inputs[:examples]
    if not len(inputs):
        return
    both = " and ".join(KERNEL_METRICS)

    def compute() -> Tensor | None:
        kernel = empirical_ntk(probe.network, inputs, probe.masks)
        if bool(kernel.isfinite().all()):
            return kernel_spectrum(kernel)
        note(f"{both}: NaN, as the empirical NTK is not finite")
        return None

    spectrum = attempt(both, note, compute)
    for name, of_spectrum in KERNEL_METRICS.items():
        yield whole_network_row(name, None if spectrum is None else of_spectrum(spectrum))


def _network_rows(probe: Probe, options: PlasticityOptions, note: Note) -> Iterator[Row]:
    metrics = _added("network", options)
    finite = not metrics or _are_finite("parameters", probe.network.parameters(), note)
    for name, metric in metrics.items():
        value = None
        if finite:
            value = attempt(name, note, _number, name, metric.function, probe.copy())
        yield whole_network_row(name, value)


def _added(of: registry.Observed, options: PlasticityOptions) -> dict[str, registry.AddedMetric]:
    """Returns the metrics of plugins that look at one kind of thing."""
    found = {name: registry.get("metric", name) for name in options.metrics or ()}
    return {name: metric for name, metric in found.items() if metric.of == of}


def _metrics(
    metrics: Mapping[str, Metric[Layer]],
    of: registry.Observed,
    options: PlasticityOptions,
    built_in: Collection[str],
) -> dict[str, Metric[Layer]]:
    """Returns the wanted built-in metrics, and those of plugins that look at the same thing."""
    added = {
        name: Metric[Layer](
            functools.partial(_of_copy, name, metric.function),
            functools.partial(_number, name, metric.combine or weighted_mean),
        )
        for name, metric in _added(of, options).items()
    }
    return {**{name: own for name, own in metrics.items() if name in built_in}, **added}


def _of_copy(name: str, function: Callable[..., Any], layer: Any, options: Any) -> float:
    """Calls a plugin's metric with a copy of a layer, as it might write into it."""
    return _number(name, function, copy.deepcopy(layer), options)


def _number(name: str, function: Callable[..., Any], *arguments: Any) -> float:
    """Calls a plugin's metric and makes sure that it returns a number."""
    value = function(*arguments)
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if not isinstance(value, Real):
        raise TypeError(f"metric {name}: must return a number, not a {type(value).__name__}")
    return float(value)
