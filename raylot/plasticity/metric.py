"""How a metric looks at a layer, and how layers make up the value of the whole network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from raylot.config import PlasticityOptions
from raylot.names import WHOLE_NETWORK

Layer = TypeVar("Layer")


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


def rows(
    metrics: Mapping[str, Metric[Layer]],
    layers: Mapping[str, Layer],
    sizes: Sequence[int],
    finite: bool,
    options: PlasticityOptions,
) -> Iterator[dict[str, Any]]:
    """A row with layer, metric and value per metric and layer, and per metric for all layers.

    Args:
        metrics: by name.
        layers: what was observed of each, by name; without layers there are no rows.
        sizes: units or weights of each layer.
        finite: whether all that was observed is; otherwise every value is NaN.
        options: parameters of the metrics.
    """
    if not layers:
        return
    for name, metric in metrics.items():
        values = [
            metric.of_layer(layer, options) if finite else math.nan for layer in layers.values()
        ]
        for layer_name, value in zip(layers, values, strict=True):
            yield {"layer": layer_name, "metric": name, "value": value}
        yield {"layer": WHOLE_NETWORK, "metric": name, "value": metric.combine(values, sizes)}
