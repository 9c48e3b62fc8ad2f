"""Lays out a network's parameters for the fast engine."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from raylot.training.fast.vectors import LANES
from raylot.training.flat import Masks

_CACHE_LINE = 64


def aligned(size: int, dtype: Any = np.float32) -> np.ndarray:
    """Returns a flat array of zeros that begins at a cache line, so no vector lies in two lines."""
    itemsize = np.dtype(dtype).itemsize
    room = np.zeros(size * itemsize + _CACHE_LINE, np.uint8)
    start = -room.ctypes.data % _CACHE_LINE
    return room[start : start + size * itemsize].view(dtype)


@dataclass(frozen=True)
class Layout:
    """The units of a network that take part, and its parameters in the kernels' order.

    Units without a path to the output take no part: no gradient reaches them, and they change
    nothing. Their parameters stay as they are.

    The first layer is padded with units of zero weights until vectors are full.

    Attributes:
        names: of each layer's weight and bias, as in ``network.named_parameters()``.
        units: per layer, the indices of the units that take part; in the last layer all.
    """

    names: list[tuple[str, str]]
    units: list[np.ndarray]

    @classmethod
    def of(
        cls, network: nn.Module, layers: list[nn.Linear], masks: Masks | None, *, compact: bool
    ) -> Layout:
        """Returns the layout of a network under masks; pruned weights have their final values.

        Args:
            network: the whole network.
            layers: the network's linear layers.
            masks: survivors.
            compact: whether to leave out units without a path to the output.
        """
        by_id = {id(p): name for name, p in network.named_parameters()}
        names = [(by_id[id(layer.weight)], by_id[id(layer.bias)]) for layer in layers]
        units = [np.arange(layer.out_features) for layer in layers]
        if compact and masks is not None:
            for above in range(len(layers) - 1, 0, -1):
                weight = layers[above].weight.detach()
                mask = masks.get(names[above][0])
                if mask is None:
                    break
                used = (mask | (weight != 0)).numpy()[units[above]].any(axis=0)
                units[above - 1] = np.flatnonzero(used)
        return cls(names, units)

    @functools.cached_property
    def widths(self) -> np.ndarray:
        """Units per layer: int64."""
        widths = np.array([len(units) for units in self.units], dtype=np.int64)
        widths[0] = max(1, -(-widths[0] // LANES)) * LANES
        return widths

    def first(self, tensors: Mapping[str, Tensor]) -> np.ndarray:
        """Copies the first layer's weights, ``inputs x units``, flat."""
        weights = _array(tensors[self.names[0][0]])
        first = aligned(weights.shape[1] * self.widths[0], weights.dtype)
        rows = first.reshape(-1, self.widths[0])
        rows[:, : len(self.units[0])] = weights[self.units[0]].T
        return first

    def rest(self, tensors: Mapping[str, Tensor]) -> np.ndarray:
        """Copies all other parameters, flat."""
        bias = _array(tensors[self.names[0][1]])
        parts = [np.zeros(self.widths[0], bias.dtype)]
        parts[0][: len(self.units[0])] = bias[self.units[0]]
        for layer, (weight, bias_name) in enumerate(self.names[1:], start=1):
            above, below = self.units[layer], self.units[layer - 1]
            part = np.zeros((len(above), self.widths[layer - 1]), bias.dtype)
            part[:, : len(below)] = _array(tensors[weight])[above[:, None], below]
            parts += [part.ravel(), _array(tensors[bias_name])[above]]
        return np.concatenate(parts)

    def store(self, first: np.ndarray, rest: np.ndarray, into: Mapping[str, Tensor]) -> None:
        """Undoes `first` and `rest`; parameters of other units stay as they are."""
        units = self.units[0]
        _array(into[self.names[0][0]])[units] = first.reshape(-1, self.widths[0])[:, : len(units)].T
        _array(into[self.names[0][1]])[units] = rest[: len(units)]
        at = self.widths[0]
        for layer, (weight, bias) in enumerate(self.names[1:], start=1):
            above, below = self.units[layer], self.units[layer - 1]
            width = self.widths[layer - 1]
            part = rest[at : at + len(above) * width].reshape(len(above), width)
            _array(into[weight])[above[:, None], below] = part[:, : len(below)]
            at += part.size
            _array(into[bias])[above] = rest[at : at + len(above)]
            at += len(above)


def _array(tensor: Tensor) -> np.ndarray:
    """Returns an array that shares a tensor's memory."""
    return tensor.detach().numpy()
