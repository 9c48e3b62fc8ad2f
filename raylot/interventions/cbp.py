"""Continual backpropagation: in every step, some units of least utility start anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from raylot.config import InterventionOptions
from raylot.interventions._recycling import Watching
from raylot.networks.units import HiddenLayer
from raylot.training import Training


class ContinualBackprop(Watching):
    """Replaces the mature units of least utility (Dohare et al. 2024, Nature 632).

    After each step, for each unit i of a hidden layer, with h_i its outputs on the step's batch
    (before the step), w_in and w_out its weights, decay η and age a:

    - a <- a + 1; f <- η f + (1 - η) mean(h_i); f' = f / (1 - η^a)
    - y = mean|w_out| mean|h_i - f'| / mean|w_in|, or mean|w_out| mean|h_i| with
      ``cbp_utility="contribution"``
    - u <- η u + (1 - η) y; u' = u / (1 - η^a)
    - ``cbp_rate`` x the number of units older than ``cbp_maturity`` is added to what is due; as
      many whole units of them as are due, those of lowest u', start anew (see `Recycling.recycle`).

    The next layer's bias takes over what a replaced unit gave on average: it grows by the sum of
    w_out f'. Adam counts the steps of each weight by itself, and starts anew at the weights of such
    units.

    The update is that of the paper; the authors' code sets f to 0 before it adds to the bias, and
    so adds nothing (shibhansh/loss-of-plasticity, lop/algos/gnt.py). A convolution's means are over
    places too. Without a bias in the next layer, what a unit gave is lost.
    """

    name = "cbp"
    counts_per_weight = True

    def __init__(self, options: InterventionOptions) -> None:
        self._rate, self._maturity = options.cbp_rate, options.cbp_maturity
        self._decay, self._utility = options.cbp_decay, options.cbp_utility
        self._state: dict[str, Tensor] = {}
        self._due: dict[str, float] = {}

    def state_dict(self) -> dict[str, Tensor | int | float]:
        """Returns age, running mean output and utility of all units, and how many are due."""
        return {**self._state, **self._due}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state_dict` returned."""
        self._state = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        self._due = {name: value for name, value in state.items() if name not in self._state}

    @torch.no_grad()
    def after_step(self, training: Training) -> None:
        """Follows all units, and replaces those that are due."""
        parameters = training.network.state_dict()
        chosen = {
            layer.name: self._chosen(layer, self.given(training, layer), parameters)
            for layer in self.layers
        }
        chosen = {name: units for name, units in chosen.items() if units is not None}
        for layer in self.layers:
            if (units := chosen.get(layer.name)) is None:
                continue
            age, mean, utility = self._of(layer)
            if layer.outgoing_bias is not None:
                average = torch.where(units, mean / (1 - self._decay**age), 0)
                removed = parameters[layer.outgoing]
                if training.live is not None:  # pruned weights stay
                    removed = removed * training.flat.unflatten(training.live)[layer.outgoing]
                given = layer.outgoing_by_unit(removed) * average[:, :, None]
                parameters[layer.outgoing_bias].add_(given.sum(dim=(1, 2, 3)))
            for values in (age, mean, utility):
                values[..., units] = 0
        self.recycle(training, {n: u for n, u in chosen.items() if u is not None}, self.layers)

    def _chosen(
        self, layer: HiddenLayer, given: Tensor, parameters: Mapping[str, Tensor]
    ) -> Tensor | None:
        """Follows the units of a layer; returns which of them are due, if any."""
        outputs = layer.outputs_by_place(given)
        age, mean, utility = self._of(layer, like=outputs)
        age += 1
        correction = 1 - self._decay**age
        mean.lerp_(outputs.mean(dim=(0, 3)), 1 - self._decay)
        weights = layer.outgoing_by_unit(parameters[layer.outgoing]).abs().mean(dim=0)
        if self._utility == "contribution":
            new = (weights * outputs.abs().mean(dim=0)).mean(dim=(0, 2))
        else:
            taken = layer.incoming(parameters[layer.weight]).abs().mean(dim=1)
            change = (outputs - (mean / correction)[:, :, None]).abs().mean(dim=0)
            new = torch.where(taken > 0, (weights * change).mean(dim=(0, 2)) / taken, 0)
        utility.lerp_(new, 1 - self._decay)
        mature = age > self._maturity
        due = self._due.get(f"{layer.name}/due", 0.0) + self._rate * int(mature.sum())
        count = int(due)
        self._due[f"{layer.name}/due"] = due - count
        if not count:
            return None
        ranked = torch.where(mature, utility / correction, torch.inf).argsort(stable=True)
        chosen = torch.zeros_like(mature)
        chosen[ranked[:count]] = True
        return chosen

    def _of(self, layer: HiddenLayer, like: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Returns age, running mean outputs (``copies x units``) and utility of a layer's units."""
        names = [f"{layer.name}/{what}" for what in ("age", "output", "utility")]
        if like is not None and names[0] not in self._state:
            shapes = [(layer.units,), (layer.copies, layer.units), (layer.units,)]
            made = [like.new_zeros(shape) for shape in shapes]
            self._state |= dict(zip(names, made, strict=True))
        age, mean, utility = (self._state[name] for name in names)
        return age, mean, utility


make = ContinualBackprop
