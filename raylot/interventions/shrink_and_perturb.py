"""Shrink and perturb: smaller weights, and something added to them."""

from __future__ import annotations

from torch import Tensor, nn

from raylot.config import InterventionOptions
from raylot.interventions._noise import normal_noise
from raylot.interventions._redrawing import Redrawing
from raylot.training import Training


class ShrinkAndPerturb(Redrawing):
    """Multiplies all parameters by ``shrink`` and adds ``perturb`` x what ``perturb_with`` names.

    That is a fresh initialisation (Ash & Adams 2020; Kumar et al. 2023), the stream's initial
    parameters (as in the code of FIRE), or noise from N(0, 1) (Dohare et al. 2024).
    """

    name = "shrink_and_perturb"

    def __init__(self, options: InterventionOptions) -> None:
        self._shrink, self._perturb = options.shrink, options.perturb
        self._added = options.perturb_with

    def check(self, network: nn.Module) -> None:
        """Refuses a network that cannot be initialised anew, if that is what is added."""
        if self._added == "fresh":
            super().check(network)

    def move(self, training: Training) -> None:
        """Shrinks and perturbs once."""
        added = self._addend(training)
        training.flat.vector.detach().mul_(self._shrink).add_(added, alpha=self._perturb)

    def _addend(self, training: Training) -> Tensor:
        if self._added == "initial":
            return training.initial_vector
        if self._added == "noise":
            return normal_noise(training, "perturb")
        return training.fresh_vector(training.key.child("perturb", training.step))


class AfterEachTask(ShrinkAndPerturb):
    """Acts after each task (Ash & Adams 2020, who do it before training on new data)."""

    def on_task_end(self, training: Training) -> None:
        self.move(training)


class AfterEachStep(ShrinkAndPerturb):
    """Acts after each step, with a shrink close to 1 (as in Dohare et al. 2024)."""

    def after_step(self, training: Training) -> None:
        self.move(training)


def make(options: InterventionOptions) -> ShrinkAndPerturb:
    """Makes the kind that ``perturb_every`` names."""
    return AfterEachStep(options) if options.perturb_every == "step" else AfterEachTask(options)
