"""Optimizer reset: the optimizer forgets between tasks what it would otherwise carry."""

from __future__ import annotations

from raylot.training import Intervention, Training


class OptimizerReset(Intervention):
    """Sets the optimizer's moments and step count to 0 after each task.

    Only with ``carry_optimizer``: without it, each task begins with a fresh optimizer anyway, and
    the two train alike.
    """

    def on_task_end(self, training: Training) -> None:
        training.reset_optimizer()


def make(_: object) -> OptimizerReset:
    """Makes the method, which has no options."""
    return OptimizerReset()
