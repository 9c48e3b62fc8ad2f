"""What Optuna and ASHA are told of settings that were tried before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from raylot.config.distributions import Distribution
from raylot.results.settings import Setting, Standing
from raylot.sweep.tuning import Halving, Searcher
from raylot.trials import tune_internals

SPACE = {
    "lr": Distribution("loguniform", (1e-4, 1e-1)),
    "batch_size": Distribution("choice", (16, 32)),
    "epochs": Distribution("randint", (1, 4)),
    "momentum": Distribution("quniform", (0.0, 0.9, 0.1)),
    "redo_interval": Distribution("lograndint", (1, 100)),
    "hidden": Distribution("choice", ((64,), (100, 100))),
}


def _standing(lr: float, curve: list[float], status: str = "finished") -> Standing:
    options = {"lr": lr, "batch_size": 16, "epochs": 1, "momentum": 0.1, "redo_interval": 2,
               "hidden": (100, 100)}  # fmt: skip
    setting = Setting("a search", "none", options, [f"run of {lr}"], 8)
    return Standing(setting, status, curve, len(curve))


def test_every_distribution_is_searched_as_it_is_drawn() -> None:
    searcher = Searcher(SPACE, tasks=8, seed=0)
    for number in range(20):
        options = (searcher.suggest(str(number)) or {})["options"]
        assert options.keys() == SPACE.keys()
        for name, value in options.items():
            assert SPACE[name].holds(value)
            assert SPACE[name].rounded(value) == value


def test_optuna_knows_a_stopped_setting_from_a_finished_one() -> None:
    searcher = Searcher(SPACE, tasks=8, seed=0)
    searcher.remember(_standing(0.01, [0.5] * 8))
    searcher.remember(_standing(0.02, [0.9] * 2, "stopped"))
    searcher.remember(_standing(0.03, [0.9] * 2, "failed"))
    study = tune_internals.optuna_study(searcher)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "FAIL"]
    assert study.best_value == 0.5


@pytest.mark.parametrize(("tasks", "state"), [(8, "COMPLETE"), (2, "PRUNED")])
def test_so_does_it_of_one_that_was_just_tried(tasks: int, state: str) -> None:
    searcher = Searcher(SPACE, tasks=8, seed=0)
    searcher.suggest("0")
    result = {"accuracy": 0.5, "tasks": tasks, "training_iteration": 1}
    searcher.on_trial_result("0", result)
    searcher.on_trial_complete("0", result)
    assert [one.state.name for one in tune_internals.optuna_study(searcher).trials] == [state]


def test_an_interrupted_setting_is_the_next_one_that_is_tried() -> None:
    searcher = Searcher(SPACE, tasks=8, seed=0)
    wanted = _standing(0.0123, []).setting.options
    searcher.try_first(wanted)
    assert searcher.suggest("0") == {"options": wanted}


def test_asha_compares_with_settings_of_before() -> None:
    def decision(halving: Halving, accuracy: float) -> str:
        trial: Any = SimpleNamespace(trial_id="new")
        nothing: Any = None
        halving.on_trial_add(nothing, trial)
        return str(halving.on_trial_result(nothing, trial, {"tasks": 2, "accuracy": accuracy}))

    assert decision(Halving(8), 0.1) == "CONTINUE"
    for accuracy, wanted in ((0.1, "STOP"), (0.3, "CONTINUE")):
        halving = Halving(8)
        halving.remember(_standing(0.01, [0.2] * 8))
        assert decision(halving, accuracy) == wanted


@pytest.mark.parametrize(("tasks", "wanted"), [(8, [2, 4]), (31, [8, 16]), (40, [10, 20])])
def test_asha_compares_after_a_quarter_and_a_half_of_the_tasks(
    tasks: int, wanted: list[int]
) -> None:
    trial: Any = SimpleNamespace(trial_id="new")
    nothing: Any = None

    def is_stopped(after: int) -> bool:
        halving = Halving(tasks)
        halving.remember(_standing(0.01, [0.2] * tasks))
        halving.on_trial_add(nothing, trial)
        for done in range(1, after):
            halving.on_trial_result(nothing, trial, {"tasks": done, "accuracy": 0.3})
        result = {"tasks": after, "accuracy": 0.1}
        return halving.on_trial_result(nothing, trial, result) == "STOP"

    assert [after for after in range(1, tasks) if is_stopped(after)] == wanted


def test_optuna_goes_on_from_settings_with_lists() -> None:
    searcher = Searcher({"hidden": SPACE["hidden"]}, tasks=8, seed=0)
    setting = Setting("a search", "none", {"hidden": (100, 100)}, ["a run"], 8)
    searcher.remember(Standing(setting, "finished", [0.5] * 8, 8))
    searcher.try_first({"hidden": (64,)})
    assert searcher.suggest("0") == {"options": {"hidden": (64,)}}
    trials = tune_internals.optuna_study(searcher).trials
    assert [one.params for one in trials] == [{"options/hidden": 1}, {"options/hidden": 0}]
