"""Searches good settings of interventions with Ray Tune's Optuna and ASHA.

One Tune trial is one setting, see `raylot.trials.setting`. The storage alone says which settings
have been tried and how well they did: a new search tells its Optuna and its ASHA, and goes on with
the settings that were interrupted.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from raylot import results
from raylot.config.runs import short_hash
from raylot.config.settings_search import SettingsSearch
from raylot.foundation.errors import OptionError
from raylot.results.settings import Setting, Standing, standing, tried
from raylot.storage.lease import Lease
from raylot.sweep.clock import Clock, spent
from raylot.sweep.interrupt_guard import InterruptGuard
from raylot.sweep.space import distinct
from raylot.sweep.stage import Stage
from raylot.sweep.sweep import Sweep
from raylot.terminal.progress import Progress


def check_installed() -> None:
    """Raises `OptionError` if Optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise OptionError(
            "best-settings: must have optuna installed; pip install -e '.[search]' does it"
        )


@dataclass(frozen=True)
class Choosing(Sweep):
    """The part of a search for good settings that tries them; it plans no runs beforehand.

    ``study`` must be a `SettingsSearch`.
    """

    @cached_property
    def stages(self) -> list[Stage]:
        """The streams of the settings that the options themselves have: what is checked."""
        runs = (self.asked.choosing_runs(name, {}) for name in self.asked.interventions)
        return [Stage("settings", distinct(itertools.chain(*runs)))]

    @property
    def asked(self) -> SettingsSearch:
        assert isinstance(self.study, SettingsSearch)
        return self.study

    def search(self, intervention: str) -> str:
        """A short hash, the same for all settings of an intervention in this search."""
        runs = [run.run_id for run in self.asked.choosing_runs(intervention, {})]
        return short_hash({"runs": runs, "tasks": self.asked.tasks})

    def standings(self) -> list[Standing]:
        """Reads how the settings stand that this search could try: which its distributions can
        draw, and whose streams are those that it would train."""
        return [standing(self.storage, one) for one in tried(self.storage) if self._is_own(one)]

    def _is_own(self, setting: Setting) -> bool:
        name, options = setting.intervention, setting.options
        if name not in self.asked.interventions or setting.tasks != self.asked.tasks:
            return False
        space = self.asked.space(name)
        return (
            space.keys() == options.keys()
            and all(space[option].holds(value) for option, value in options.items())
            # The runs also tell fixed options and plugins' code apart.
            and setting.runs == [run.run_id for run in self.asked.choosing_runs(name, options)]
        )

    def left(self, intervention: str, found: Sequence[Standing]) -> tuple[float, float]:
        """Returns how many settings may still be tried, and for how many seconds.

        Args:
            intervention: one of the study's.
            found: its settings so far.
        """
        ended = sum(one.has_ended for one in found)
        trials = max(0.0, self.asked.most_trials(intervention) - ended)
        if self.asked.budget is None:
            return trials, math.inf
        share = self.asked.budget / len(self.asked.interventions)
        return trials, max(0.0, share - spent(self.storage).get(intervention, 0.0))

    def is_done(self) -> bool:
        """Returns whether no setting may be tried any more."""
        found = self.standings()
        return not any(
            min(self.left(name, [one for one in found if one.setting.intervention == name]))
            for name in self.asked.interventions
        )

    def plan(self) -> str:
        """Says how many settings would be tried, and the training steps at most."""
        found = self.standings()
        lines = []
        for name in self.asked.interventions:
            own = [one for one in found if one.setting.intervention == name]
            trials, seconds = self.left(name, own)
            runs = self.asked.choosing_runs(name, {})
            steps = sum(run.training_steps for run in runs)
            ended = sum(one.has_ended for one in own)
            searched = ", ".join(f"{o}={d}" for o, d in self.asked.space(name).items())
            limits = [] if math.isinf(trials) else [f"{trials:.0f} settings"]
            limits += [] if math.isinf(seconds) else [f"{seconds:.0f} s"]
            lines.append(
                f"{name}: {ended} settings tried, {' or '.join(limits)} to go, each "
                f"{len(runs)} streams and at most {steps:,} training steps "
                f"({searched})"
            )
        return "\n".join(lines)

    def _execute(
        self, retry_failed: bool, lease: Lease, progress: Progress, guard: InterruptGuard
    ) -> tuple[Mapping[str, Any], list[str]]:
        from raylot.sweep.cluster import ray_session
        from raylot.sweep.joining import StartError
        from raylot.sweep.tuning import Tuning

        if retry_failed:
            failed = [one.setting for one in self.standings() if one.status == "failed"]
            results.forget_runs(self.storage, {run_id for one in failed for run_id in one.runs})
        lost: list[str] = []
        try:
            with ray_session(self.study, guard, progress.note, self._start_ray({})):
                for name in self.asked.interventions:
                    found = [o for o in self.standings() if o.setting.intervention == name]
                    trials, seconds = self.left(name, found)
                    if not min(trials, seconds):
                        continue
                    tuning = Tuning(
                        self.asked,
                        name,
                        self.search(name),
                        self.storage,
                        lease.path,
                        progress,
                        guard,
                    )
                    lost += tuning.run(found, trials, seconds, Clock(self.storage, name))
        except StartError as error:
            lost = [str(error)]
        return {}, lost
