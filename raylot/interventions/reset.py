"""Reset: a new network for every task."""

from __future__ import annotations

from raylot.interventions._redrawing import Redrawing
from raylot.training import Training


class Reset(Redrawing):
    """Replaces the network by a freshly initialised one after each task: the upper reference."""

    name = "reset"

    def on_task_end(self, training: Training) -> None:
        fresh = training.fresh_network(training.key.child("reset"))
        training.network.load_state_dict(fresh.state_dict())
        training.reset_optimizer()


make = Reset
