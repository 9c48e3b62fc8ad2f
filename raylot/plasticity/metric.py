"""Defines metrics: a value for each layer, and the combination for the whole network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from raylot.config.plasticity_options import ProbeOptions
from raylot.foundation import registry
from raylot.foundation.names import WHOLE_NETWORK

#: A value of ``metric`` in ``layer``.
Row = dict[str, Any]

Layer = TypeVar("Layer")
Value = TypeVar("Value")

#: Called with a line that says what could not be computed, and why.
Note = Callable[[str], None]


@dataclass(frozen=True)
class Metric(Generic[Layer]):
    """A metric of single layers.

    Attributes:
        of_layer: returns its value from the observations of a layer.
        combine: returns the whole network's value from the layers' values and sizes.
    """

    of_layer: Callable[[Layer, ProbeOptions], float]
    combine: Callable[[Sequence[float], Sequence[int]], float]


def weighted_mean(values: Sequence[float], sizes: Sequence[int]) -> float:
    """Returns the mean over all units or weights; NaN if there are none."""
    total = sum(sizes)
    if not total:
        return math.nan
    return sum(v * n for v, n in zip(values, sizes, strict=True) if n) / total


def mean(values: Sequence[float], sizes: Sequence[int]) -> float:
    """Returns the mean over layers."""
    return sum(values) / len(values)


def root_sum_of_squares(values: Sequence[float], sizes: Sequence[int]) -> float:
    """Returns the Euclidean norm of all layers together, from the norm of each."""
    return math.hypot(*values)


def attempt(what: str, note: Note, compute: Callable[..., Value], *arguments: Any) -> Value | None:
    """Returns what a computation returns; if it raises an error, notes that and returns None.

    Args:
        what: the metrics that are NaN in this case.
        note: called with the reason.
        compute: called with the arguments.
        arguments: the arguments.
    """
    try:
        return compute(*arguments)
    except Exception as error:
        note(f"{what}: NaN, as computing it raised {registry.describe_error(error)}")
        return None


def rows(
    metrics: Mapping[str, Metric[Layer]],
    layers: Mapping[str, Layer],
    sizes: Sequence[int],
    finite: bool,
    options: ProbeOptions,
    note: Note,
) -> Iterator[Row]:
    """Yields a row (layer, metric, value) per metric and layer, and per metric for the network.

    Args:
        metrics: metrics by name.
        layers: the observations of each layer, by name; without layers there are no rows.
        sizes: number of units or weights of each layer.
        finite: whether everything observed is finite; if not, every value is NaN.
        options: parameters of the metrics.
        note: called with the reason if a metric raises an error; its value is then NaN.
    """
    if not layers:
        return
    for name, metric in metrics.items():
        values = [
            attempt(name, note, metric.of_layer, layer, options) if finite else math.nan
            for layer in layers.values()
        ]
        for layer_name, value in zip(layers, values, strict=True):
            # A user may have named a layer like the whole network.
            own_name = f"{layer_name}#1" if layer_name == WHOLE_NETWORK else layer_name
            yield {"layer": own_name, "metric": name, "value": _number_or_nan(value)}
        known = [value for value in values if value is not None]
        # The value of some layers would look like the value of all layers.
        is_whole = len(known) == len(values)
        whole = attempt(name, note, metric.combine, known, sizes) if is_whole else None
        yield whole_network_row(name, whole)


def are_finite(observed: str, tensors: Iterable[Tensor], note: Note) -> bool:
    """Returns whether all numbers are finite; if not, notes that metrics of them are NaN."""
    if all(bool(tensor.isfinite().all()) for tensor in tensors):
        return True
    note(f"metrics of {observed}: NaN, as not all {observed} are finite")
    return False


def whole_network_row(metric: str, value: float | None) -> Row:
    """Returns the row of a metric of the whole network; NaN for None."""
    return {"layer": WHOLE_NETWORK, "metric": metric, "value": _number_or_nan(value)}


def _number_or_nan(value: float | None) -> float:
    return math.nan if value is None else value
