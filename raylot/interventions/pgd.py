"""Perturbed gradient descent: noise on each gradient."""

from __future__ import annotations

from raylot.config import InterventionOptions
from raylot.interventions._noise import normal_noise
from raylot.training import Intervention, Training


class PerturbedGradientDescent(Intervention):
    """Adds ``gradient_noise`` x N(0, 1) to each gradient, before it is clipped.

    With plain SGD: parameters <- parameters - lr x (gradient + noise) (Elsayed & Mahmood 2024;
    mohmdelsayed/upgd, core/optim/pgd.py). With ``weight_decay`` it is their shrink and perturb.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._noise = options.gradient_noise

    def after_gradient(self, training: Training) -> None:
        training.flat.gradient.add_(normal_noise(training, "pgd"), alpha=self._noise)


make = PerturbedGradientDescent
