"""How far apart masks are: over a training, and between two trainings."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from torch import nn

from raylot.config.ticket_options import Scope
from raylot.masks.pruning import full_masks, prune
from raylot.networks.prunable import Prunable
from raylot.training import Masks

#: What a mask is compared with: that of the epoch before, or that after the last epoch of the same
#: training, or that after the last epoch of the pair's other training.
BEFORE, FINAL, OTHER = "before", "final", "other"


def hamming(a: Masks, b: Masks) -> float:
    """Returns the share of all prunable weights that are in one of two masks alone, in [0, 1]."""
    different = sum(int((a[name] ^ b[name]).sum()) for name in a)
    return different / sum(mask.numel() for mask in a.values())


def chance_hamming(a: Masks, b: Masks) -> float:
    """Returns the expected distance of random masks that keep as many weights of each layer.

    For one density d in all layers and both masks it is 2 d (1 - d).
    """
    different = 0.0
    for name, mask in a.items():
        n, kept_a, kept_b = mask.numel(), int(mask.sum()), int(b[name].sum())
        different += (kept_a * (n - kept_b) + kept_b * (n - kept_a)) / n
    return different / sum(mask.numel() for mask in a.values())


class MaskWatch:
    """Draws masks of the largest magnitudes before a training and after each of its epochs.

    Each sparsity is reached at once, from all weights.

    Attributes:
        masks: sparsity and scope -> the masks before the training, after its first epoch, and so
            on.
    """

    def __init__(self, network: nn.Module, prunable: Prunable, sparsities: Iterable[float]) -> None:
        """Draws the masks before the training.

        Args:
            network: that is about to be trained.
            prunable: which of its weights are pruned.
            sparsities: fractions of the weights that masks remove.
        """
        self._full = full_masks(network, prunable)
        self.masks: dict[tuple[float, Scope], list[Masks]] = {
            place: [] for place in itertools.product(sparsities, get_args(Scope))
        }
        self(network)

    def __call__(self, network: nn.Module) -> bool:
        """Draws the masks of a network after an epoch; returns False, as its training goes on."""
        sizes = {name: network.get_parameter(name).detach().abs() for name in self._full}
        for (sparsity, scope), drawn in self.masks.items():
            drawn.append(prune(sizes, self._full, sparsity, 1, 1, scope))
        return False


def distances_over_training(masks: Sequence[Masks]) -> list[dict[str, Any]]:
    """Returns how far masks moved in each epoch, and how far each was from where they ended.

    Args:
        masks: before the training and after each of its epochs.

    Returns:
        Rows with epoch (0: before the training), compared_with (``"before"``: the epoch before,
        the distance of early-bird tickets, You et al. 2020; ``"final"``: after the last epoch),
        distance and chance, see `hamming` and `chance_hamming`.
    """
    steps = enumerate(itertools.pairwise(masks), start=1)
    pairs = [(epoch, BEFORE, before, after) for epoch, (before, after) in steps]
    pairs += [(epoch, FINAL, mask, masks[-1]) for epoch, mask in enumerate(masks[:-1])]
    return [
        {"epoch": epoch, "compared_with": what, **distance(a, b)} for epoch, what, a, b in pairs
    ]


def distance(a: Masks, b: Masks) -> dict[str, float]:
    """Returns the distance of two masks beside its chance level."""
    return {"distance": hamming(a, b), "chance": chance_hamming(a, b)}
