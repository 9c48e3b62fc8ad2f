"""Self-normalised resets: units that have been silent unusually long start anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from raylot.config import InterventionOptions
from raylot.interventions._recycling import Watching
from raylot.networks.units import HiddenLayer
from raylot.training import Training


class SelfNormalisedResets(Watching):
    """Resets units by thresholds of their own (Farias & Jozefiak 2025, arXiv 2410.20098).

    A unit's age is the number of steps since an output of it was last positive on the step's batch.
    A unit whose age reaches its threshold starts anew (see `Recycling.recycle`). Each unit keeps a
    histogram of its ages, from 1 step, when it fires or is reset. After every ``snr_every`` tasks,
    its threshold becomes the smallest age whose share of the histogram, with all ages below,
    reaches ``snr_quantile``; or twice the threshold, if that age is not below it. Then the
    histogram is emptied. A threshold lies in [1 step, ``snr_max_age``], begins with half of that,
    and stays where it is while its histogram is empty (the authors' code divides 0 by 0 there).

    The authors count examples (ajozefiak/SelfNormalizedResets); with batches of B examples,
    ``snr_max_age`` is ``snr_max_age // B`` steps. Adam's step count goes on, as with them. In a
    search for tickets and on a probe task no threshold changes.
    """

    name = "snr"

    def __init__(self, options: InterventionOptions) -> None:
        self._quantile, self._every = options.snr_quantile, options.snr_every
        self._max_age = options.snr_max_age
        self._tasks = 0
        self._state: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Tensor | int | float]:
        """Returns age, threshold and histogram of all units, and how many tasks have passed."""
        return {"tasks": self._tasks, **self._state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state_dict` returned."""
        self._tasks = state["tasks"]
        self._state = {name: value for name, value in state.items() if name != "tasks"}

    def after_step(self, training: Training) -> None:
        """Follows all units, and resets those that have reached their thresholds."""
        old: dict[str, Tensor] = {}
        for layer in self.layers:
            fires = (self.outputs(training, layer) > 0).any(dim=0)
            age, threshold, histogram = self._of(layer, training.inputs)
            _count(histogram, age, fires)
            age.copy_(torch.where(fires, 0, age + 1))
            old[layer.name] = age >= threshold
            _count(histogram, age, old[layer.name])
            age.masked_fill_(old[layer.name], 0)
        self.recycle(training, old, self.layers)

    def on_task_end(self, training: Training) -> None:
        """Sets all thresholds anew, if it is time to."""
        self._tasks += 1
        if self._tasks % self._every:
            return
        for layer in self.layers:
            _, threshold, histogram = self._of(layer, training.inputs)
            threshold.copy_(self._renewed(threshold, histogram))
            histogram.zero_()

    def _renewed(self, threshold: Tensor, histogram: Tensor) -> Tensor:
        """Returns new thresholds, in steps."""
        total = histogram.sum(dim=1)
        share = histogram.cumsum(dim=1).double() / total[:, None]
        quantile = (share >= self._quantile).long().argmax(dim=1) + 1
        changed = torch.where(quantile < threshold, quantile, 2 * threshold)
        return torch.where(total > 0, changed.clamp(1, histogram.shape[1]), threshold)

    def _of(self, layer: HiddenLayer, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns age and threshold of a layer's units, in steps, and the histograms of ages."""
        names = [f"{layer.name}/{what}" for what in ("age", "threshold", "histogram")]
        if names[0] not in self._state:
            longest = max(1, self._max_age // len(inputs))
            age = torch.zeros(layer.units, dtype=torch.int64, device=inputs.device)
            begun = torch.full_like(age, max(1, longest // 2))
            histogram = age.new_zeros((layer.units, longest), dtype=torch.int32)
            self._state |= dict(zip(names, (age, begun, histogram), strict=True))
        age, threshold, histogram = (self._state[name] for name in names)
        return age, threshold, histogram


def _count(histogram: Tensor, age: Tensor, units: Tensor) -> None:
    """Adds the ages of some units to their histograms, without ages of 0."""
    counted = (units & (age > 0)).to(histogram.dtype)
    histogram.scatter_add_(1, (age - 1).clamp_min(0)[:, None], counted[:, None])


make = SelfNormalisedResets
