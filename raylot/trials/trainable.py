"""What Ray Tune runs: an actor that computes one run after another, of whatever kind."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from ray import tune

from raylot.trials import ray_internals
from raylot.trials.base import RunTrial

#: Seconds after which a trial begins no further run of its bundle, and hands it back.
BUNDLE_SECONDS = 5.0

#: Seconds between two reports of a bundle.
_REPORT_INTERVAL = 1.0


class AnyTrial(tune.Trainable):
    """Computes the run, or the bundle of short runs, that its configuration names.

    Every run gets a `RunTrial` of its own, so that nothing of an earlier run remains; what the
    actor keeps is the process, with all that it has imported and compiled. If the worker of a
    bundle is lost, another begins it anew, and passes over the runs that have ended.
    """

    _trial: RunTrial

    def setup(  # type: ignore[override]  # Tune passes what `with_parameters` was given
        self, config: dict[str, Any], trials: Mapping[str, type[RunTrial]], **shared: Any
    ) -> None:
        """Prepares for the first run.

        Args:
            config: of the trial: that of a run, see `RunTrial`, or for a bundle one with
                ``runs``, a list, in place of ``run``.
            trials: kind of run -> what computes it.
            **shared: further arguments of that.
        """
        self._trials, self._shared = trials, shared
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._config = new_config
        self._is_bundle = "runs" in new_config
        self._left = deque(new_config["runs"] if self._is_bundle else [new_config["run"]])
        self._give_back_at = time.monotonic() + BUNDLE_SECONDS
        self._begin_next()
        return True

    def _begin_next(self) -> None:
        config = {**self._config, "run": self._left.popleft()}
        self._trial = self._trials[config["kind"]](config, **self._shared)

    def step(self) -> dict[str, Any]:
        """Does a step of the run, and reports it; of a bundle, steps for about a second.

        Returns:
            The run's report, see `RunTrial.step`. Of a bundle ``reports``, a list of these;
            ``under_way``, run_id and label of the run that comes next; ``left``, the number of its
            last runs that were not begun; ``done``.
        """
        if not self._is_bundle:
            return self._step()
        until, is_done = time.monotonic() + _REPORT_INTERVAL, False
        reports: list[dict[str, Any]] = []
        while not is_done and (not reports or time.monotonic() < until):
            reports.append(self._step())
            if reports[-1]["done"]:
                is_done = not self._left or time.monotonic() >= self._give_back_at
                if not is_done:
                    self._begin_next()
        under_way = (self._trial.run.run_id, self._trial.run.label)
        left = len(self._left)
        return {"reports": reports, "under_way": under_way, "left": left, "done": is_done}

    def _step(self) -> dict[str, Any]:
        ray_internals.set_title(self._trial.run.label)
        return self._trial.step()
