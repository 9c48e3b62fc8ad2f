"""Presets: valid as they stand, and the original study's protocol in every option."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from raylot.config import PRESETS, Study
from raylot.config.presets import preset_with
from tests.unit.config.refused import refusal


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid(preset: str) -> None:
    study = Study.checked(**PRESETS[preset])
    for shift, task, sparsity in itertools.product(study.shifts, study.snapshots, study.sparsities):
        run = study.tickets_run(seed=study.seeds[0], shift=shift, task=task, sparsity=sparsity)
        assert run.stream == study.stream_run(seed=study.seeds[0], shift=shift)


def test_original_is_the_original_studys_protocol() -> None:
    study = Study.checked(**PRESETS["original"])
    expected = {
        "dataset": "mnist",
        "scaling": "raw",
        "shifts": ("permuted_pixels",),
        "network": "mlp",
        "hidden": (256,),
        "interventions": ("none",),
        "fraction": 1.0,
        "first_task_identity": False,
        "gradual": 0.0,
        "optimizer": "adam",
        "lr": 0.001,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "carry_optimizer": False,
        "batch_size": 32,
        "epochs": 10,
        "tasks": 501,
        "snapshots": (0, 50, 100, 150, 200, 250, 300, 350, 400, 450, 500),
        "tickets": 10,
        "random_masks": 10,
        "random_density": 0.05,
        "criterion": "magnitude",
        "rewind_steps": 0,
        "output_rate": 1.0,
        "plastic_task": "unshifted",
        "plastic_scaling": "standardize",
        "plastic_density": "overall",
        "ticket_tasks": 100,
        "subnetworks": ("ticket",),
        "stream_snapshots": None,
        "scope": "layer",
        "masked": "freeze",
        "sparsities": (0.8, 0.9, 0.95),
    }
    assert {name: getattr(study, name) for name in expected} == expected
    rounds = {sparsity: study.rounds_for(sparsity) for sparsity in study.sparsities}
    assert rounds == {0.8: 3, 0.9: 5, 0.95: 10}
    assert study.streamed_sparsities == (0.95,)


def test_the_default_study_knows_which_tickets_win_and_the_original_does_not() -> None:
    """At least 3 random masks of the tickets' densities tell; masks of another density do not."""
    run = Study.checked(**PRESETS["default"]).tickets_run(task=0, sparsity=0.8)
    assert run.random_density is None
    assert run.random_mask_count >= 3
    assert PRESETS["original"]["random_density"] == 0.05


def test_original_can_be_narrowed_to_other_sparsities() -> None:
    study = Study.checked(**preset_with(PRESETS["original"], {"sparsities": "0.8,0.95"}))
    assert study.streamed_sparsities == (0.95,)
    assert study.rounds == {0.8: 3, 0.95: 10}


@pytest.mark.parametrize(
    ("given", "rounds"),
    [
        ({"sparsities": "0.9", "rounds": "4"}, "4"),
        ({"sparsities": [0.9]}, {0.9: 5}),
        ({}, {0.8: 3, 0.9: 5, 0.95: 10}),
    ],
)
def test_a_presets_rounds_follow_the_sparsities(given: dict[str, Any], rounds: Any) -> None:
    values = preset_with(PRESETS["original"], given)
    assert values["rounds"] == rounds
    assert PRESETS["original"]["rounds"] == "0.8:3,0.9:5,0.95:10"


@pytest.mark.parametrize(("sparsities", "lacking"), [("0.8,0.5", "0.5"), ([0.7, 0.6], "0.6, 0.7")])
def test_sparsities_that_a_presets_rounds_lack_need_rounds(sparsities: Any, lacking: str) -> None:
    given = {"sparsities": sparsities}
    told = refusal(lambda: preset_with(PRESETS["original"], given))
    assert told.startswith("sparsities=")
    assert told.endswith(
        f": must go with rounds=N, as the preset's 0.8:3,0.9:5,0.95:10 lacks {lacking}"
    )
    assert preset_with(PRESETS["original"], {**given, "rounds": "4"})["rounds"] == "4"
    for wrong in ("most", None, "1.5"):
        told = refusal(lambda wrong=wrong: preset_with(PRESETS["original"], {"sparsities": wrong}))  # type: ignore[misc]
        assert told.startswith(f"sparsities={wrong}: must be one or more numbers in [0, 1)")


def test_interventions_in_a_search_replace_those_of_a_preset() -> None:
    preset = {**PRESETS["default"], "interventions": "none,l2_init", "search": "l2_strength=1e-9"}
    study = Study.checked(**preset_with(preset, {"search": "zip(intervention,lr)=(l2,1),(none,2)"}))
    assert study.interventions == ("l2", "none")


def test_a_preset_may_search_and_leave_the_interventions_alone() -> None:
    assert preset_with({"search": "gradual=0,0.5"}, {})["search"] == {"gradual": ["0", "0.5"]}


def test_options_that_a_preset_searches_together_replace_its_values() -> None:
    rows = "zip(intervention,lr,l2_strength)=(none,1,-),(l2,2,0.1)"
    preset = {**PRESETS["default"], "interventions": "reset", "search": rows}
    study = Study.checked(**preset_with(preset, {"epochs": 2}))
    assert (study.interventions, study.epochs) == (("none", "l2"), 2)
    told = refusal(lambda: Study.checked(**preset_with(preset, {"lr": 3})))
    assert told.endswith("must be given without lr=3.0")


def test_a_presets_search_replaces_its_values_and_gives_way_to_given_ones() -> None:
    preset = {"interventions": "l2", "lr": 1.0, "search": "lr=2,3 shrink=0.8 l2_strength=4"}
    assert preset_with(preset, {})["search"] == {"lr": ["2", "3"], "l2_strength": ["4"]}
    assert "lr" not in preset_with(preset, {})
    assert preset_with(preset, {"lr": 5})["search"] == {"l2_strength": ["4"]}
    assert preset_with(preset, {"lr": 5})["lr"] == 5


def test_with_fewer_tickets_a_preset_has_no_more_controls() -> None:
    values = preset_with(PRESETS["default"], {"tickets": "1"})
    assert values["reinit_tickets"] == 1
    assert Study.checked(**values).tickets_run(task=0, sparsity=0.8).reinit_tickets == 1
    values = preset_with(PRESETS["default"], {"tickets": 1, "reinit_tickets": 2})
    assert values["reinit_tickets"] == 2, "what the user gives is refused, not changed"
    assert preset_with(PRESETS["default"], {"tickets": "x"})["reinit_tickets"] == 2


@pytest.mark.parametrize(
    ("given", "search"),
    [
        ({"interventions": "none,reset"}, None),
        ({"interventions": "none,l2_init"}, {"l2_strength": ["1e-4", "1e-3"]}),
        (
            {"interventions": ["l2_init", "shrink_and_perturb"], "l2_strength": 1},
            {"shrink": ["0.6"]},
        ),
        ({"interventions": "none", "search": "shrink=0.1"}, {"shrink": ["0.1"]}),
        (
            {"interventions": "l2_init,shrink_and_perturb", "search": "shrink=0.1 lr=1,2"},
            {"l2_strength": ["1e-4", "1e-3"], "shrink": ["0.1"], "lr": ["1", "2"]},
        ),
        ({"interventions": "l2_init", "search": "none"}, "none"),
        ({"interventions": "l2_init", "search": None}, None),
        ({"interventions": "l2_init", "search": "=1"}, "=1"),
    ],
)
def test_a_preset_searches_what_the_chosen_interventions_use_and_is_not_given(
    given: dict[str, Any], search: Any
) -> None:
    preset = {**PRESETS["default"], "search": "l2_strength=1e-4,1e-3 shrink=0.6"}
    assert preset_with(preset, given)["search"] == search
