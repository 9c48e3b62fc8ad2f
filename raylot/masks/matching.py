"""How alike two masks are if hidden units may swap their places.

Two networks that differ only in the order of their hidden units compute the same, so that tickets
may be one subnetwork though their masks differ. Units are matched as Ainsworth et al. 2023 (Git
Re-Basin) match weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from raylot.training import Masks

#: A layer's mask: ``units x inputs x positions``, 0 or 1. The inputs are the units of the layer
#: before; a convolution's kernel, or what a flattened channel has become, gives the positions.
_Layer = npt.NDArray[np.float32]


def matched_overlaps(masks: Sequence[Masks], chain: Sequence[str]) -> list[float]:
    """Returns the overlap of every pair of masks after the hidden units of one are matched.

    A layer's units are matched so that most survivors, incoming and outgoing, are shared, while the
    units of the other layers stay where they are; layer by layer from the input, again and again,
    until no more are shared. Matching starts with each unit in its place, so that no overlap is
    below the plain one. With one hidden layer the overlap is the largest that there is; with more
    it may stop below. It has no chance level: also random masks are matched as well as they can be.

    Args:
        masks: one per ticket, all of one network.
        chain: the names of the weights in the order in which they act, see
            `raylot.networks.chain`.

    Returns:
        Jaccard overlaps in [0, 1] over the whole network, in the order of
        ``itertools.combinations``.
    """
    layers = [_layers(mask, chain) for mask in masks]
    return [_matched(a, b) for a, b in itertools.combinations(layers, 2)]


def _layers(masks: Masks, chain: Sequence[str]) -> list[_Layer]:
    found: list[_Layer] = []
    for name in chain:
        mask = masks[name].cpu().numpy().astype(np.float32)
        inputs = len(found[-1]) if found else mask.shape[1]
        found.append(mask.reshape(len(mask), inputs, -1))
    return found


def _matched(a: list[_Layer], b: list[_Layer]) -> float:
    from scipy.optimize import linear_sum_assignment  # takes half a second

    b, hidden = list(b), range(len(a) - 1)
    before, shared = -1.0, _shared(a, b)
    while shared > before:
        for layer in hidden:
            gains = _pairings(a[layer], b[layer])
            gains += _pairings(a[layer + 1].swapaxes(0, 1), b[layer + 1].swapaxes(0, 1))
            order = linear_sum_assignment(gains, maximize=True)[1]
            b[layer], b[layer + 1] = b[layer][order], b[layer + 1][:, order]
        before, shared = shared, _shared(a, b)
    union = sum(float(layer.sum()) for layer in (*a, *b)) - shared
    return shared / union if union else 1.0


def _pairings(a: _Layer, b: _Layer) -> _Layer:
    """Returns how many survivors each unit of one mask would share with each of the other."""
    gains: _Layer = a.reshape(len(a), -1) @ b.reshape(len(b), -1).T
    return gains


def _shared(a: list[_Layer], b: list[_Layer]) -> float:
    return sum(float((one * other).sum()) for one, other in zip(a, b, strict=True))
