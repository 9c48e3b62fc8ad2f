"""The options of a search for good settings, what it searches, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest

from raylot.config.intervention_options import DECLARED
from raylot.config.settings_search import DISTRIBUTIONS, SettingsSearch
from raylot.foundation.errors import OptionError

GIVEN = {
    "interventions": "none,l2", "seeds": "3-4", "choosing_seeds": "0-1", "tasks": 4,
    "snapshots": 2, "search": "lr=loguniform(1e-4,1e-1) l2_strength=choice(1e-4,1e-3)",
}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": "0s"}, "budget=0s: must be a time greater than 0 with its unit"),
        ({"budget": "2w"}, "budget=2w: must be a time greater than 0 with its unit, as 90s, 30m"),
        ({"budget": "2"}, "budget=2: must be a time greater than 0 with its unit"),
        ({"trials": 0}, "trials=0: must be"),
        ({"choosing_seeds": "1-3"}, "choosing_seeds=1,2,3: must share no seed with seeds, on"),
        ({"choosing_seeds": "1,1"}, "choosing_seeds=1,1: must have each seed once"),
        ({"search": "learning_rate=1"}, "search=learning_rate=1: must be an option that decides"),
        ({"search": "lr=loguniform(1e-2,1e-4)"}, "search=lr=loguniform(1e-2,1e-4): must have low"),
        ({"search": "lr=uniform(0,1)"}, "search=lr=uniform(0,1): draws lr=0: must be a number in"),
        ({"search": "shrink=uniform(0,1)"}, "search=shrink=uniform(0,1): must go with interv"),
        ({"search": "rewind_steps=1,2"}, "search=rewind_steps=1,2: must be an option that decides"),
        ({"search": "zip(lr,epochs)=(1,2)"}, "search=zip(lr,epochs)=(1.0,2): must be single opt"),
        ({"samples": 3}, "samples=3: must be given as trials here"),
        ({"choosing_seeds": "0,5"}, "choosing_seeds=0,5: must be smaller than the largest of seed"),
        ({"dataset": "slowly_changing_regression"}, "dataset=slowly_changing_regression: must "),
        ({"local": True}, "local=True: must be given to another study, as Ray Tune searches here"),
        ({"share": "3/16"}, "share=3/16: must be given to another study, as each setting tried"),
        ({"until_width": 0.05}, "until_width=0.05: must be given to the study that takes best.ya"),
        ({"max_seeds": 30}, "max_seeds=30: must be given to the study that takes best.yaml"),
        ({"seeds_per_step": 3}, "seeds_per_step=3: must be given to the study that takes best.ya"),
        ({"search": "optimizer=sgd,adam momentum=0,0.9"},
         "search=momentum=0.0,0.9: must be used by every optimizer that is searched, and adam d"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as refused:
        SettingsSearch.checked(**{**GIVEN, **options})
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("budget", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("1d", 86400)]
)
def test_a_budget_has_a_unit(budget: str, seconds: float) -> None:
    assert SettingsSearch.checked(**GIVEN, budget=budget).budget == seconds


def test_each_intervention_is_searched_over_what_it_uses() -> None:
    study = SettingsSearch.checked(**GIVEN)
    assert list(study.space("none")) == ["lr"]
    assert list(study.space("l2")) == ["lr", "l2_strength"]
    fixed = SettingsSearch.checked(**{**GIVEN, "search": "l2_strength=1e-3,1e-4", "lr": 0.5})
    assert {n: d.arguments for n, d in fixed.space("none").items()} == {"lr": (0.5,)}


def test_no_more_settings_are_tried_than_there_are() -> None:
    few = SettingsSearch.checked(**{**GIVEN, "search": "l2_strength=1e-3,1e-4", "budget": "1h"})
    assert (few.most_trials("none"), few.most_trials("l2")) == (1, 2)
    assert SettingsSearch.checked(**GIVEN).most_trials("l2") == 16
    assert SettingsSearch.checked(**GIVEN, trials=3).most_trials("l2") == 3
    assert SettingsSearch.checked(**GIVEN, budget="1h").most_trials("l2") == math.inf


def test_a_settings_streams_have_the_choosing_seeds_and_can_end_after_any_task() -> None:
    study = SettingsSearch.checked(**GIVEN, shifts="noise,rotation")
    runs = study.choosing_runs("l2", {"lr": 0.25, "l2_strength": 1e-3})
    assert [(run.seed, run.shift) for run in runs] == [
        (0, "noise"), (1, "noise"), (0, "rotation"), (1, "rotation"),
    ]  # fmt: skip
    assert {(run.lr, run.l2_strength, run.snapshots) for run in runs} == {(0.25, 1e-3, (0, 2))}


def test_every_default_distribution_can_be_drawn_from() -> None:
    search = " ".join(f"{name}={drawn}" for name, drawn in DISTRIBUTIONS.items())
    every = ",".join(DECLARED)
    study = SettingsSearch.checked(**{**GIVEN, "search": search, "interventions": every})
    assert {name for one in every.split(",") for name in study.space(one)} == {*DISTRIBUTIONS}


def test_parameters_that_every_searched_choice_uses_are_searched_with_it() -> None:
    both = SettingsSearch.checked(**{**GIVEN, "search": "optimizer=sgd,rmsprop momentum=0,0.9"})
    assert list(both.space("none")) == ["optimizer", "momentum"]
    alone = SettingsSearch.checked(
        **{**GIVEN, "search": "momentum=0,0.9", "optimizer": "sgd"},
    )
    assert list(alone.space("none")) == ["momentum"]


@pytest.mark.parametrize(
    ("name", "intervention", "others"),
    [
        ("redo_interval", "redo", {"epochs": 1}),
        ("shrink", "shrink_and_perturb", {"perturb_every": "step"}),
    ],
)
def test_a_range_of_the_studys_own_that_does_not_fit_says_what_to_give(
    name: str, intervention: str, others: dict[str, Any]
) -> None:
    own = f"{name}={DISTRIBUTIONS[name]}"
    given = {**GIVEN, **others, "interventions": intervention, "search": own}
    with pytest.raises(OptionError) as refused:
        SettingsSearch.checked(**given)
    told = str(refused.value)
    assert told.startswith(f"search={name}=")
    assert told.endswith(
        f"; {name} is searched from {DISTRIBUTIONS[name]} unless a range of its own is given, as "
        f"search={name}=..., or one value, as {name}=..."
    )
    typed = {"redo": "redo_interval=60,70", "shrink_and_perturb": "shrink=0.2,0.5"}[intervention]
    with pytest.raises(OptionError) as refused:
        SettingsSearch.checked(**{**given, "search": typed})
    assert "is searched from" not in str(refused.value)
