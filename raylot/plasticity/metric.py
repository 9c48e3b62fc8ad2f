"""How a metric looks at a layer, and how layers make up the value of the whole network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from raylot.config import PlasticityOptions
from raylot.foundation import registry
from raylot.foundation.names import WHOLE_NETWORK

Layer = TypeVar("Layer")
Value = TypeVar("Value")

#: Takes one line that says what could not be computed, and why.
Note = Callable[[str], None]


@dataclass(frozen=True)
class Metric(Generic[Layer]):
    """A metric of single layers.

    Attributes:
        of_layer: its value for what was observed of one layer.
        combine: the whole network's value, from the layers' values and sizes.
    """

    of_layer: Callable[[Layer, PlasticityOptions], float]
    combine: Callable[[Sequence[float], Sequence[int]], float]


def weighted_mean(values: Sequence[float], sizes: Sequence[int]) -> float:
    """Mean over all units or weights; empty layers do not count, NaN if all are empty."""
    total = sum(sizes)
    if not total:
        return math.nan
    return sum(v * n for v, n in zip(values, sizes, strict=True) if n) / total


def mean(values: Sequence[float], sizes: Sequence[int]) -> float:
    """Mean over layers."""
    return sum(values) / len(values)


def root_sum_of_squares(values: Sequence[float], sizes: Sequence[int]) -> float:
    """Euclidean norm of all layers together, from the norm of each."""
    return math.hypot(*values)


def attempt(what: str, note: Note, compute: Callable[..., Value], *arguments: Any) -> Value | None:
    """What a computation returns; if it raises, None, and the reason is noted.

    Args:
        what: the metrics that then are NaN.
        note: takes the reason.
        compute: called with the arguments.
        arguments: its.
    """
    try:
        return compute(*arguments)
    except Exception as error:
        note(f"{what}: NaN, as computing it raised {registry.described(error)}")
        return None


def rows(
    metrics: Mapping[str, Metric[Layer]],
    layers: Mapping[str, Layer],
    sizes: Sequence[int],
    finite: bool,
    options: PlasticityOptions,
    note: Note,
) -> Iterator[dict[str, Any]]:
    """A row with layer, metric and value per metric and layer, and per metric for all layers.

    Args:
        metrics: by name.
        layers: what was observed of each, by name; without layers there are no rows.
        sizes: units or weights of each layer.
        finite: whether all that was observed is; otherwise every value is NaN.
        options: parameters of the metrics.
        note: takes the reason if a metric raises; its value is then NaN.
    """
    if not layers:
        return
    for name, metric in metrics.items():
        values = [
            attempt(name, note, metric.of_layer, layer, options) if finite else math.nan
            for layer in layers.values()
        ]
        for layer_name, value in zip(layers, values, strict=True):
            # A layer that a user has named like the whole network must not pass for it.
            own_name = f"{layer_name}#1" if layer_name == WHOLE_NETWORK else layer_name
            yield {"layer": own_name, "metric": name, "value": _number_or_nan(value)}
        known = [value for value in values if value is not None]
        # A whole without some of its layers would look like one of all of them.
        is_whole = len(known) == len(values)
        whole = attempt(name, note, metric.combine, known, sizes) if is_whole else None
        yield {"layer": WHOLE_NETWORK, "metric": name, "value": _number_or_nan(whole)}


def _number_or_nan(value: float | None) -> float:
    return math.nan if value is None else value
