"""Measures all structural metrics of a network on a probe of one task."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from raylot.config import PlasticityOptions, TrainingOptions
from raylot.config.plasticity_options import ProbeOptions
from raylot.foundation import registry
from raylot.foundation.randomness import RandomKey
from raylot.networks.copies import copied
from raylot.plasticity.activations import (
    ACTIVATION_METRICS,
    activation_rows,
    recorded_activations,
)
from raylot.plasticity.churn import churn_rows
from raylot.plasticity.curvature import sharpness
from raylot.plasticity.dense_hessian import dense_hessian
from raylot.plasticity.duplicates import duplicate_rows
from raylot.plasticity.hessian_spectrum import HESSIAN_METRICS, hessian_rows
from raylot.plasticity.kernel import (
    KERNEL_METRICS,
    TRACE_KERNEL_METRICS,
    kernel_rows,
    pseudo_ntk,
    trace_kernel_rows,
)
from raylot.plasticity.metric import (
    Layer,
    Metric,
    Note,
    Row,
    are_finite,
    attempt,
    rows,
    weighted_mean,
    whole_network_row,
)
from raylot.plasticity.probe import Probe, Subject
from raylot.plasticity.sample_plasticity import sample_plasticity_rows
from raylot.plasticity.saturation import saturation_rows
from raylot.plasticity.weight_rank import RANK_METRICS, weight_rank_rows
from raylot.plasticity.weights import DISTANCE_METRICS, GRADIENT_METRICS, WEIGHT_METRICS
from raylot.tasks import Task
from raylot.tasks.task import check_task
from raylot.training import Masks
from raylot.training.losses import loss_of
from raylot.training.repeatable import exact_convolutions, own_random_state

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

#: Further measures, left out unless they are asked for -> their metrics, and what measures them.
FURTHER: dict[str, tuple[tuple[str, ...], Callable[[Subject], Iterable[Row]]]] = {
    "duplicates": (("duplicate_fraction",), duplicate_rows),
    "saturation": (("saturated_fraction",), saturation_rows),
    "weight_rank": (tuple(RANK_METRICS), weight_rank_rows),
    "churn": (("churn",), churn_rows),
    "sample_plasticity": (("sample_plasticity",), sample_plasticity_rows),
    "hessian": (tuple(HESSIAN_METRICS), hessian_rows),
    "trace_ntk": (tuple(TRACE_KERNEL_METRICS), trace_kernel_rows),
}


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
    measures: Collection[str] = (),
    training: TrainingOptions | None = None,
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
        measures: which of `FURTHER` to measure too.
        training: how the network is trained; churn and sample plasticity need it.

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
        order = torch.from_numpy(key.generator().permutation(len(task.train_labels)))
        order = order.to(task.train_labels.device)
        index = order[: options.probe_size]
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
        subject = Subject(probe, task, order, options, key, training, reasons.append)
        for name in measures:
            found += _further(name, subject)
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
    weights = probe.prunable(note) if of_weights or of_gradients or of_distances else {}
    values = {name: weight.detach() for name, weight in weights.items()}
    with recorded_activations(probe.network) as layers:
        loss = loss_of(task, probe.network(probe.inputs), probe.labels)
    gradients = _gradients(loss, weights, note) if of_gradients else {}
    curvature = [
        *_sharpness_rows(probe, task, loss, options.sharpness_iterations, key, note),
        *kernel_rows(KERNEL_METRICS, pseudo_ntk, probe, task.shown, options.ntk_examples, note),
    ]
    added = list(_network_rows(probe, options, note))
    found = activation_rows(of_activations, layers, probe.options, note)
    found += _weight_rows("weights", of_weights, values, probe, note)
    if of_distances and probe.initial is not None:
        moved = _moved(values, probe.initial)
        found += _weight_rows("weights", of_distances, moved, probe, note)
    found += _weight_rows("gradients", of_gradients, gradients, probe, note)
    return [*found, *curvature, *added]


def _further(name: str, subject: Subject) -> list[Row]:
    """Returns the rows of a further measure; if it raises an error, NaN for the whole network."""
    metrics, measure_it = FURTHER[name]
    found = attempt(" and ".join(metrics), subject.note, lambda: list(measure_it(subject)))
    return [whole_network_row(one, None) for one in metrics] if found is None else found


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
    with contextlib.ExitStack() as stack:
        stack.enter_context(own_random_state(device, key))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(exact_convolutions())
        # The other attention kernels have no second derivative, which the sharpness needs.
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(module, nn.RNNBase) for module in network.modules()):
            # cuDNN differentiates recurrent modules in training mode only.
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
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
    finite = are_finite(observed, live.values(), note)
    return list(rows(metrics, live, sizes, finite, probe.options, note))


def _sharpness_rows(
    probe: Probe, task: Task, loss: Tensor, iterations: int, key: RandomKey, note: Note
) -> Iterator[Row]:
    if not iterations:
        return

    def compute() -> float:
        product = None
        if task.shown is None:
            product = dense_hessian(probe.network, probe.inputs, probe.labels)
        start = key.child("sharpness")
        return sharpness(loss, probe.trainable, iterations, start, probe.masks, product)

    value = attempt("sharpness", note, compute)
    if value is not None and math.isnan(value):
        note("sharpness: NaN, as the curvature of the loss is not finite")
    yield whole_network_row("sharpness", value)


def _network_rows(probe: Probe, options: PlasticityOptions, note: Note) -> Iterator[Row]:
    metrics = _added("network", options)
    finite = not metrics or are_finite("parameters", probe.network.parameters(), note)
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
