"""Means of the gradient over a training."""

from __future__ import annotations

import torch
from torch import Tensor

from raylot.training.flat import FlatParameters


class GradientMeans:
    """Means over steps of |gradient| and of gradient x weight, as far as they are asked for."""

    def __init__(self, flat: FlatParameters, *, magnitudes: bool, products: bool) -> None:
        self._flat = flat
        self._steps = 0
        self._magnitudes = torch.zeros_like(flat.gradient) if magnitudes else None
        self._products = torch.zeros_like(flat.gradient) if products else None

    def add(self) -> None:
        """Adds the gradient and the weights of a step that has not been taken yet."""
        self._steps += 1
        if self._magnitudes is not None:
            self._magnitudes.add_(self._flat.gradient.abs())
        if self._products is not None:
            self._products.addcmul_(self._flat.gradient, self._flat.vector.detach())

    @property
    def magnitudes(self) -> dict[str, Tensor] | None:
        """The mean |gradient| per parameter."""
        return self._mean(self._magnitudes)

    @property
    def products(self) -> dict[str, Tensor] | None:
        """The mean gradient x weight per parameter."""
        return self._mean(self._products)

    def _mean(self, sums: Tensor | None) -> dict[str, Tensor] | None:
        return None if sums is None else self._flat.unflatten(sums / max(1, self._steps))
