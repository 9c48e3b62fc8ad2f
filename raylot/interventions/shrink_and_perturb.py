"""Shrink and perturb: smaller weights and some fresh noise."""

from __future__ import annotations

from raylot.config import InterventionOptions
from raylot.interventions._redrawing import Redrawing
from raylot.training import Training


class ShrinkAndPerturb(Redrawing):
    """Multiplies all parameters by ``shrink`` and adds ``perturb`` x a fresh initialisation."""

    name = "shrink_and_perturb"

    def __init__(self, options: InterventionOptions) -> None:
        self._shrink, self._perturb = options.shrink, options.perturb

    def move(self, training: Training) -> None:
        """Shrinks and perturbs once."""
        fresh = training.fresh_vector(training.key.child("perturb", training.step))
        training.flat.vector.detach().mul_(self._shrink).add_(fresh, alpha=self._perturb)


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
