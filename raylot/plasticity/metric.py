"""How a metric looks at a layer, and how layers make up the value of the whole network."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from raylot.config import PlasticityOptions
from raylot.names import WHOLE_NETWORK
from raylot.text import one_line

Layer = TypeVar("Layer")

#: Takes one line about something that could not be measured, and why.
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Metric(Generic[Layer]):
    """A metric of single layers.

    Attributes:
        of_layer: its value for what was observed of one layer.
        combine: the whole network's value, from the layers' values and sizes.
    """

    of_layer: Callable[[Layer, PlasticityOptions], float]
    combine: Callable[[Sequence[float], Sequence[int]], float]


def number_or_nan(name: str, tell: Tell, function: Callable[..., float], *arguments: Any) -> float:
    """What a metric's function returns; NaN, and a line for the user, if it raises an error.

    Args:
        name: of the metric.
        tell: gets the line.
        function: computes the metric.
        arguments: of the function.
    """
    try:
        return function(*arguments)
    except Exception as error:
        tell(f"{name} was not measured ({type(error).__name__}: {one_line(error)})")
        return math.nan


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


def rows(
    metrics: Mapping[str, Metric[Layer]],
    layers: Mapping[str, Layer],
    sizes: Sequence[int],
    finite: bool,
    options: PlasticityOptions,
    tell: Tell,
) -> Iterator[dict[str, Any]]:
    """A row with layer, metric and value per metric and layer, and per metric for all layers.

    Args:
        metrics: by name.
        layers: what was observed of each, by name; without layers there are no rows.
        sizes: units or weights of each layer.
        finite: whether all that was observed is; otherwise every value is NaN.
        options: parameters of the metrics.
        tell: hears of metrics that could not be computed, whose values are NaN.
    """
    if not layers:
        return
    for name, metric in metrics.items():
        measured = functools.partial(number_or_nan, name, tell)
        values = [
            measured(metric.of_layer, layer, options) if finite else math.nan
            for layer in layers.values()
        ]
        for layer_name, value in zip(layers, values, strict=True):
            yield {"layer": layer_name, "metric": name, "value": value}
        whole = measured(metric.combine, values, sizes)
        yield {"layer": WHOLE_NETWORK, "metric": name, "value": whole}
