"""One Tune experiment: Optuna proposes settings of an intervention, ASHA stops the hopeless."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import optuna
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from raylot.config import PRESETS
from raylot.config.distributions import Distribution
from raylot.config.settings_search import SettingsSearch
from raylot.datasets import key_of
from raylot.foundation import registry
from raylot.foundation.randomness import RandomKey
from raylot.foundation.text import one_line
from raylot.results.settings import Standing
from raylot.storage import Storage
from raylot.sweep.batches import LONGEST_ERROR
from raylot.sweep.clock import Clock
from raylot.sweep.experiment import run_config
from raylot.sweep.interrupt_guard import InterruptGuard
from raylot.sweep.loggers import loggers
from raylot.tasks.datasets import packed
from raylot.terminal.progress import STARTING_WORKERS, Progress
from raylot.trials import tune_internals
from raylot.trials.setting import SettingTrial, streams_without

#: Settings are compared after a quarter of their tasks, rounded up, and after twice as many; each
#: time those stop that do worse than half of the settings that have come as far.
_FIRST_SHARE, _REDUCTION = 4, 2

#: What a trial reports: its accuracy so far, and after how many tasks.
_METRIC, _TIME = "accuracy", "tasks"

#: Optuna's names of the searched options; Tune makes nested configurations of them.
_PREFIX = "options/"

#: Seconds between two counts of the time spent.
_COUNT = 2.0


class Searcher(OptunaSearch):
    """Optuna; it hears of a setting that ASHA stopped that it was stopped, and no result.

    Their accuracy so far is that of the first tasks, when networks learn best: as a result it would
    make them look better than those that have gone on.
    """

    def __init__(self, space: Mapping[str, Distribution], tasks: int, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._drawn, self._tasks = space, tasks
        domains = {"options": {name: _domain(one) for name, one in space.items()}}
        super().__init__(self.convert_search_space(domains), metric=_METRIC, mode="max", seed=seed)

    def remember(self, one: Standing) -> None:
        """Tells Optuna of a setting that was tried before."""
        self.add_evaluated_point(
            self._named(one.setting.options),
            one.accuracy,
            error=one.status == "failed",
            pruned=one.status == "stopped",
            intermediate_values=one.curve,
        )

    @property
    def searched(self) -> list[str]:
        """The options that are searched."""
        return list(self._drawn)

    def try_first(self, options: Mapping[str, Any]) -> None:
        """Makes a setting the next one that is tried."""
        tune_internals.optuna_study(self).enqueue_trial(self._named(options))

    def _named(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a setting as Optuna knows it."""
        return {_PREFIX + name: _inner(self._drawn[name], value) for name, value in options.items()}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        options = (super().suggest(trial_id) or {})["options"]
        return {"options": {n: _outer(self._drawn[n], value) for n, value in options.items()}}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        is_whole = result is not None and result[_TIME] >= self._tasks
        super().on_trial_complete(trial_id, result if is_whole else None, error)


class Halving(ASHAScheduler):
    """ASHA (Li et al. 2020), by the accuracy so far."""

    def __init__(self, tasks: int) -> None:
        super().__init__(
            time_attr=_TIME,
            metric=_METRIC,
            mode="max",
            max_t=tasks,
            grace_period=math.ceil(tasks / _FIRST_SHARE),
            reduction_factor=_REDUCTION,
        )

    def remember(self, one: Standing) -> None:
        """Tells ASHA of a setting that was tried before: it is one to compare with."""
        trial: Any = SimpleNamespace(trial_id=one.setting.path)
        controller: Any = None  # ASHA asks nothing of it
        self.on_trial_add(controller, trial)
        for tasks, accuracy in enumerate(one.curve, start=1):
            self.on_trial_result(controller, trial, {_TIME: tasks, _METRIC: accuracy})


def _domain(distribution: Distribution) -> Any:
    """Returns Ray Tune's own form of a distribution."""
    if distribution.name == "choice":
        return tune.choice(range(len(distribution.arguments)))
    return getattr(tune, distribution.name)(*distribution.arguments)


def _inner(distribution: Distribution, value: Any) -> Any:
    """Returns a value as Optuna knows it: of ``choice`` its place, as Optuna takes no lists."""
    return distribution.arguments.index(value) if distribution.name == "choice" else value


def _outer(distribution: Distribution, value: Any) -> Any:
    """Returns the value that Optuna has proposed, see `_inner`."""
    is_place = distribution.name == "choice"
    return distribution.arguments[value] if is_place else distribution.rounded(value)


@dataclass
class Tuning:
    """The search of one command for the best setting of one intervention.

    Attributes:
        study: what is searched.
        intervention: with which.
        search: see `raylot.results.settings.Setting`.
        storage: where results go.
        lease: path of the file that says that this sweep is in charge.
        progress: shows the user how far the search is.
        guard: knows whether the user has interrupted it.
    """

    study: SettingsSearch
    intervention: str
    search: str
    storage: Storage
    lease: str
    progress: Progress
    guard: InterruptGuard

    def run(
        self, found: Sequence[Standing], trials: float, seconds: float, clock: Clock
    ) -> list[str]:
        """Tries settings until enough have been tried or the time is over.

        Args:
            found: settings that have been tried or begun before.
            trials: settings to try, those among ``found`` that were interrupted included.
            seconds: for which new settings may be tried; may be endless.
            clock: is told of the time.

        Returns:
            Why trials were given up.
        """
        space = self.study.space(self.intervention)
        key = RandomKey((self.study.search_seed, self.intervention, len(found)))
        searcher = Searcher(space, self.study.tasks, key.torch_seed() % 2**32)
        halving = Halving(self.study.tasks)
        for one in found:
            if one.has_ended:
                searcher.remember(one)
                halving.remember(one)
        first = [one.setting.options for one in found if not one.has_ended]
        preset = PRESETS["default"]
        default = {name: preset.get(name, getattr(self.study, name)) for name in space}
        if not found and all(space[name].holds(value) for name, value in default.items()):
            first = [default]
        for options in first:
            searcher.try_first(options)
        name = f"settings of {self.intervention}"
        ended = sum(one.has_ended for one in found)
        runs = self.study.choosing_runs(self.intervention, {})
        steps = sum(run.training_steps for run in runs)
        known = 0 if math.isinf(trials) else int(trials)
        self.progress.count_stage(name, ended + known, ended, 0)
        self.progress.total_steps += known * steps
        self.progress.begin_stage(name)
        self.progress.wait_for(STARTING_WORKERS)
        listener = _Listener(
            self.progress, self.guard, clock, steps if math.isinf(trials) else None
        )
        try:
            with (
                self.guard.held(),
                tune_internals.any_worker_serves(),
                tune_internals.callbacks_left_uncounted(),
                tune_internals.failed_resets_count_as_losses(),
            ):
                self._tuner(searcher, halving, listener, trials, seconds).fit()
        except Exception as error:  # as when Tune's own files could not be written
            self.guard.raise_if_interrupted()
            listener.errors.append(one_line(error, LONGEST_ERROR))
        finally:
            clock.count()
        self.progress.end_stage()
        return listener.errors

    def _tuner(
        self,
        searcher: Searcher,
        halving: Halving,
        listener: _Listener,
        trials: float,
        seconds: float,
    ) -> tune.Tuner:
        options, storage = self.study, self.storage
        runs = options.choosing_runs(self.intervention, {})
        texts = registry.texts(run.plugins for run in runs)
        shared = {key: packed(run) for key, run in {key_of(run): run for run in runs}.items()}
        resources = {"cpu": options.cpus_per_trial, "gpu": options.gpus_per_trial}
        trained = tune.with_resources(
            tune.with_parameters(SettingTrial, shared_data=shared, plugin_texts=texts), resources
        )
        trained.__qualname__ = SettingTrial.__name__  # Ray names actors by it
        others = loggers(options, storage, self.progress)
        return tune.Tuner(
            trained,
            param_space={
                "storage": storage.root,
                "patience": storage.patience,
                "lease": self.lease,
                "save_interval": options.save_interval,
                "has_gpu": options.gpus_per_trial > 0,
                "search": self.search,
                "tasks": options.tasks,
                "streams": streams_without(runs, searcher.searched),
            },
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=halving,
                num_samples=-1 if math.isinf(trials) else int(trials),
                max_concurrent_trials=options.max_concurrent,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: f"setting_{trial.trial_id}",
            ),
            run_config=run_config(
                f"settings-{self.intervention}",
                options,
                storage,
                [listener, *others],
                listener.is_over(options.fail_fast, seconds),
                checkpoint_at_end=True,
            ),
        )


@dataclass(eq=False)
class _Listener(tune_internals.NotPickled, tune.Callback):
    """Passes on what Ray Tune reports: to `Progress`, and the time to `Clock`."""

    progress: Progress
    guard: InterruptGuard
    clock: Clock
    steps: int | None  # of a trial, if the number of trials is not known
    errors: list[str] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    started: set[str] = field(default_factory=set)

    def is_over(self, fail_fast: int | None, seconds: float) -> Callable[[], bool]:
        """Returns what says whether too many settings have failed, or the time is over."""

        def is_over() -> bool:
            if self.clock.seconds < seconds:
                return len(self.failed) >= (fail_fast or math.inf)
            self.clock.stop()  # what Ray needs to end is no setting's time
            return True

        return is_over

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        if not self.clock.seconds:
            self.clock.start()
        if self.steps is not None and trial.trial_id not in self.started:
            self.progress.add_run(self.steps)
        self.started.add(trial.trial_id)
        self.progress.run_started(trial.trial_id, str(trial))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        for note in result["notes"]:
            self.progress.note(note)
        if result["failed"]:
            self.failed.add(trial.trial_id)
        self.progress.run_advanced(trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.progress.run_ended(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.progress.note(f"{trial} lost its worker; another continues from the last save")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.errors.append(one_line(tune_internals.trial_error(trial), LONGEST_ERROR))
        self.progress.run_ended(trial.trial_id, failed=True)

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        self.guard.raise_if_interrupted()
        self.clock.count(at_least=_COUNT)
