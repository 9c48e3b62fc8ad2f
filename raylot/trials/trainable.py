"""What Ray Tune runs: an actor that computes one run after another, of whatever kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray import tune

from raylot.trials import ray_internals
from raylot.trials.base import RunTrainable


class AnyTrial(tune.Trainable):
    """Computes the run that its configuration names, see `RunTrainable`.

    Every run gets a trial of its own, so that nothing of an earlier run remains; what the actor
    keeps is the process, with all that it has imported and compiled.
    """

    _trial: RunTrainable

    def setup(  # type: ignore[override]  # Tune passes what `with_parameters` was given
        self, config: dict[str, Any], trainables: Mapping[str, type[RunTrainable]], **shared: Any
    ) -> None:
        """Prepares for the first run.

        Args:
            config: of the run's trial.
            trainables: kind of run -> what computes it.
            **shared: further arguments of that.
        """
        self._trainables, self._shared = trainables, shared
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._trial = self._trainables[new_config["kind"]](new_config, **self._shared)
        return True

    def step(self) -> dict[str, Any]:
        ray_internals.set_title(self._trial.run.label)
        return self._trial.step()
