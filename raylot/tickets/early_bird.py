"""Finds the epoch after which a training would not change its mask any more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from torch import nn

from raylot.masks.distance import hamming
from raylot.training import Masks


class EarlyBird:
    """Watches a training, and keeps the masks at which it settles (You et al. 2020).

    After each epoch it draws the masks that pruning would leave now. They have settled if the
    latest differ from each of the ``epochs - 1`` before by less than ``distance``: see `hamming`.

    Attributes:
        masks: those at which the training has settled; None: it has not.
    """

    def __init__(
        self, draw: Callable[[nn.Module], Masks], distance: float, epochs: int, *, stops: bool
    ) -> None:
        """Begins to watch.

        Args:
            draw: prunes a network as it is now.
            distance: below which masks are alike.
            epochs: in a row whose masks must be alike.
            stops: whether the training ends when its masks have settled.
        """
        self.masks: Masks | None = None
        self._draw, self._distance, self._stops = draw, distance, stops
        self._recent: deque[Masks] = deque(maxlen=epochs)

    def __call__(self, network: nn.Module) -> bool:
        """Looks at a network after an epoch; returns whether its training may end."""
        if self.masks is None:
            self._recent.append(self._draw(network))
            *others, latest = self._recent
            is_full = len(self._recent) == self._recent.maxlen
            if is_full and all(hamming(latest, one) < self._distance for one in others):
                self.masks = latest
        return self._stops and self.masks is not None
