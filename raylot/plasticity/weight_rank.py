"""Ranks of weight matrices, as fractions of what they could be."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import torch
from torch import Tensor

from raylot.plasticity.metric import Metric, Row, are_finite, rows, weighted_mean
from raylot.plasticity.probe import Subject
from raylot.plasticity.spectrum import effective_rank, numerical_rank, singular_values


class WeightMatrix:
    """A layer's weights as a matrix: the weight's first dimension x all others."""

    def __init__(self, weights: Tensor) -> None:
        """Takes weights of any shape, pruned ones set to 0; float32."""
        self.matrix = weights.flatten(1)

    @property
    def most(self) -> int:
        """The largest rank that the matrix can have."""
        return min(self.matrix.shape)

    @cached_property
    def singular_values(self) -> Tensor:
        return singular_values(self.matrix)

    @property
    def numerical_rank(self) -> int:
        """The rank of what was stored in float32: smaller singular values are rounding."""
        rounding = max(self.matrix.shape) * torch.finfo(torch.float32).eps
        return numerical_rank(self.singular_values, rounding)


#: Metrics of a layer's live weights as a matrix, in [0, 1]: its rank over the largest that it can
#: have. For the whole network, the layers' ranks are added up, and so are the largest ones.
#:
#: The numerical rank is that of Elsayed & Mahmood (2024, UPGD); their code takes a convolution's
#: rank kernel by kernel instead, at most 3 for kernels of 3 x 3. The effective rank (Roy & Vetterli
#: 2007) falls long before a singular value reaches 0.
RANK_METRICS: dict[str, Metric[WeightMatrix]] = {
    "weight_rank_fraction": Metric(lambda w, options: w.numerical_rank / w.most, weighted_mean),
    "weight_effective_rank_fraction": Metric(
        lambda w, options: effective_rank(w.singular_values) / w.most, weighted_mean
    ),
}


def weight_rank_rows(subject: Subject) -> Iterable[Row]:
    """Returns the rank metrics of each linear or convolution layer, and of all together."""
    probe, masks = subject.probe, subject.probe.masks
    layers = {
        name.removesuffix(".weight"): WeightMatrix(
            torch.where(masks[name], weight, 0) if name in masks else weight
        )
        for name, weight in ((n, w.detach()) for n, w in probe.prunable(subject.note).items())
    }
    matrices = [layer.matrix for layer in layers.values()]
    finite = are_finite("weights", matrices, subject.note)
    most = [layer.most for layer in layers.values()]
    return rows(RANK_METRICS, layers, most, finite, probe.options, subject.note)
