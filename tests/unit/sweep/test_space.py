"""Search spaces: the points they stand for, and what runs share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ray import tune
from ray.tune.search.variant_generator import generate_variants

from raylot.config import Study
from raylot.config.settings_search import SettingsSearch
from raylot.foundation.errors import OptionError
from raylot.sweep.space import (
    distinct,
    grid,
    points,
    remarks,
    spaces_of,
    split,
    study_spaces,
)
from tests.unit.config.test_settings_search import GIVEN


@pytest.mark.parametrize("value", [tune.loguniform(1e-4, 1e-1), [tune.choice([1, 2])]])
def test_what_ray_tune_would_draw_is_refused(value: Any) -> None:
    """It would be drawn for each seed, so that no two seeds would replicate each other."""
    with pytest.raises(OptionError, match=r"^spaces: lr=.*: must be a value or tune.grid_search"):
        points({"seed": tune.grid_search([0, 1]), "lr": value})


@pytest.mark.parametrize(
    ("streams", "tickets", "message"),
    [
        ({3: 3}, {}, "spaces: 3: must be the name of an option"),
        (
            {"lr": tune.grid_search(0.1)}, {},
            "spaces: lr=0.1: must be a list of one or more values in tune.grid_search(...)",
        ),
        (
            {"optimizer": tune.grid_search("adam")}, {},
            "spaces: optimizer=adam: must be a list of one or more values in tune.grid_search(...)",
        ),
        (
            {"seed": tune.grid_search([])}, {},
            "spaces: seed=[]: must be a list of one or more values in tune.grid_search(...)",
        ),
        (
            {"zip(lr,epochs)": tune.grid_search([(0.1, 2), 0.2])}, {},
            "spaces: zip(lr,epochs)=[(0.1, 2), 0.2]: must be rows of 2 values, one of each option",
        ),
        (
            {}, {"task": 0},
            "spaces: must have sparsity in that of tickets, as tune.grid_search(study.sparsities)",
        ),
    ],
)  # fmt: skip
def test_a_slip_in_a_space_of_ones_own_is_one_line(
    streams: dict[Any, Any], tickets: dict[str, Any], message: str
) -> None:
    own = (streams, tickets or {"sparsity": 0.5}, {})
    with pytest.raises(OptionError) as told:
        spaces_of(Study.checked(), lambda study: own)
    assert str(told.value) == message


@pytest.mark.parametrize("seeds", [np.arange(2), range(2), (0, 1)])
def test_a_grid_takes_any_collection(seeds: Any) -> None:
    own: Any = ({"seed": tune.grid_search(seeds)}, {"zip(task,sparsity)": grid([(0, 0.5)])}, {})
    streams, _, _ = spaces_of(Study.checked(), lambda study: own)
    assert [point["seed"] for point in points(streams)] == [0, 1]


def test_drawn_settings_are_the_same_for_all_seeds_shifts_and_interventions() -> None:
    study = Study.checked(
        seeds="0-2", shifts="stationary,noise", interventions="none,l2",
        search="lr=loguniform(1e-4,1e-2) weight_decay=uniform(0,1) epochs=1,2", samples=4,
    )  # fmt: skip
    found = list(points(study_spaces(study)[0]))
    pairs = {(point["lr"], point["weight_decay"]) for point in found}
    assert len(pairs) == 4
    assert len(found) == 3 * 2 * 2 * 2 * len(pairs)
    assert len({tuple(sorted(point.items())) for point in found}) == len(found)


def test_options_of_ticket_searches_are_searched_there() -> None:
    study = Study.checked(
        search="criterion=magnitude,random zip(scope,rounds)=(layer,2),(global,3)"
    )
    streams, tickets, _ = study_spaces(study)
    assert not {*streams} - {"seed", "shift", "intervention"}
    assert len(list(points(tickets))) == len(study.snapshots) * len(study.sparsities) * 2 * 2


@pytest.mark.parametrize(
    "space",
    [
        {"seed": [0, 3], "shift": ["noise", "rotation", "stationary"], "intervention": ["none"]},
        {"task": [0, 10, 20], "sparsity": [0.5, 0.8], "rounds": [3, None]},
        {"b": [1], "a": ["x", "y"], "c": [(6,), (5, 5)]},
    ],
)
def test_grids_are_walked_as_ray_tune_walks_them(space: dict[str, list[Any]]) -> None:
    """Though without Ray Tune, which copies the whole grid for every point of it."""
    ours = {"tasks": 3, "name": "fixed"} | {name: grid(values) for name, values in space.items()}
    theirs = {"tasks": 3, "name": "fixed"} | {n: tune.grid_search(v) for n, v in space.items()}
    assert ours == theirs
    expected = [spec["config"] for _, spec in generate_variants({"config": theirs})]
    assert list(points(ours)) == expected


def test_a_point_of_a_grid_costs_the_same_however_large_the_grid_is() -> None:
    """The first points of a large one are there at once, and no value is copied."""
    values = [str(value) for value in range(300_000)]
    first = next(points({"hidden": grid(values), "seed": grid(range(300_000))}))
    assert first == {"hidden": "0", "seed": 0}
    assert first["hidden"] is values[0]


def test_a_study_is_the_grid_of_all_it_compares() -> None:
    study = Study.checked(
        seeds="0,3", shifts="stationary,rotation", interventions="none,l2", snapshots="0,20",
        sparsities="0.5,0.8,0.9", subnetworks="ticket,dense",
    )  # fmt: skip
    streams, tickets, ticket_streams = (list(points(space)) for space in study_spaces(study))
    assert len(streams) == 2 * 2 * 2
    assert {"seed": 3, "shift": "rotation", "intervention": "l2"} in streams
    assert len(tickets) == 2 * 3
    assert {"task": 20, "sparsity": 0.9} in tickets
    assert ticket_streams == [{"subnetwork": "ticket"}, {"subnetwork": "dense"}]


def test_searched_values_are_tried_by_what_uses_them() -> None:
    """Those of two interventions do not multiply each other."""
    study = Study.checked(
        seeds="0", shifts="stationary,permuted_pixels", interventions="none,l2,shrink_and_perturb",
        search="fraction=0.5,1 l2_strength=1e-4,1e-3,1e-2 shrink=0.5,0.6 perturb=0,1",
    )  # fmt: skip
    streams, *_ = study_spaces(study)
    assert streams["l2_strength"] == tune.grid_search([1e-4, 1e-3, 1e-2])
    found = list(points(streams))
    assert len(found) == (1 + 2) * (1 + 3 + 2 * 2)
    assert len(distinct(study.stream_run(**point) for point in found)) == len(found)


def test_parameters_of_many_interventions_do_not_multiply_each_other() -> None:
    """Of the 3 x 10**7 points of the whole product, 3 x 10 + 10**2 + 10**2 differ."""
    of = {"l2": 1, "l1_init": 1, "huber_init": 1, "shrink_and_perturb": 2, "redo": 2}
    space = {
        "intervention": grid(list(of)),
        **{name: grid([0.01 * n for n in range(1, 11)])
           for name in ("l2_strength", "l1_strength", "huber_strength", "shrink", "perturb",
                        "redo_threshold")},
        "redo_interval": grid(list(range(10, 20))),
    }  # fmt: skip
    assert len(list(points(space))) == sum(10**parameters for parameters in of.values())


@pytest.mark.parametrize(
    ("space", "number"),
    [
        ({"l2_strength": [1, 2, 3]}, 3),  # the intervention is the study's
        ({"intervention": ["none", "l2"], "l2_strength": [3, 2]}, 1 + 2),
        ({"intervention": ["of_a_plugin"], "l2_strength": [1, 2], "shrink": [0.5, 0.6]}, 4),
        ({"intervention": [["no", "name"]], "l2_strength": [1, 2]}, 2),
        ({"network": ["mlp", "vgg"], "width": [1, 2], "hidden": [(8,), (9,)]}, 2 + 2),
        ({"intervention": ["none", "l2"], "l2_strength": []}, 0),
    ],
)
def test_a_value_that_is_not_used_is_no_point_of_its_own(
    space: dict[str, list[Any]], number: int
) -> None:
    assert len(list(points({name: grid(values) for name, values in space.items()}))) == number


def test_each_run_is_there_once() -> None:
    study = Study()
    runs = [study.stream_run(seed=seed) for seed in (0, 1, 0)]
    assert [run.seed for run in distinct(runs)] == [0, 1]


def test_what_runs_share_and_what_is_their_own_are_all_their_options() -> None:
    study = Study()
    runs = [
        study.tickets_run(seed=seed, task=10, sparsity=sparsity)
        for seed, sparsity in ((0, 0.8), (1, 0.9))
    ]
    shared, own = split(runs, searched={"task"})
    # rounds follow the sparsity; task is searched, though all have the same
    assert set(own[0]) == {"seed", "sparsity", "rounds", "task"}
    assert [options["rounds"] for options in own] == [7, 10]
    for run, options in zip(runs, own, strict=True):
        assert type(run)(**shared, **options) == run


@pytest.mark.parametrize(
    ("options", "unused"),
    [
        ({}, []),
        ({"shifts": "stationary", "fraction": 0.5, "period": 2}, ["fraction", "period"]),
        ({"shifts": "stationary,noise", "fraction": 0.5, "period": 2}, ["fraction"]),
        ({"shifts": "stationary", "fraction": 1.0}, []),
        ({"interventions": "none,l2", "l2_strength": 1e-3, "shrink": 0.5}, ["shrink"]),
        ({"interventions": "none", "perturb_every": "step"}, ["perturb_every"]),
        ({"network": "lenet", "hidden": 8, "width": 8}, ["hidden", "width"]),
        ({"probe_tasks": 0, "random_masks": 0, "search_task": "own"},
         ["probe_tasks=0", "random_masks=0"]),
        ({"random_masks": 2}, ["random_masks=2"]),
        ({"random_masks": 3}, []),
        ({"random_masks": None}, []),  # as many as tickets
        ({"random_masks": None, "tickets": 2}, []),
        ({"random_density": 0.05}, ["random_density=0.05"]),
        ({"shifts": "noise", "classes_per_task": 5}, ["classes_per_task"]),
        ({"shifts": "noise", "probe_shift": "class_split", "classes_per_task": 5}, []),
    ],
)  # fmt: skip
def test_parameters_that_nothing_uses_and_missing_controls_are_remarked_upon(
    options: dict[str, Any], unused: list[str]
) -> None:
    study = Study.checked(**{"random_masks": 3, **options})
    runs = [study.stream_run(**point) for point in points(study_spaces(study)[0])]
    said = remarks(study, runs)
    assert [line.partition(":")[0] for line in said] == unused
    if "fraction" in unused:
        assert said[0] == "fraction: used by none of the chosen shifts, so it changes nothing"


def test_a_run_is_logged_without_what_it_does_not_use() -> None:
    study = Study()
    runs = [
        study.stream_run(seed=0, intervention=intervention, l2_strength=strength)
        for intervention, strength in (("none", 1e-3), ("l2", 1e-4), ("l2", 1e-3))
    ]
    shared, own = split(runs, searched={"intervention", "l2_strength"})
    assert own == [
        {"intervention": "none"},
        {"intervention": "l2", "l2_strength": 1e-4}, {"intervention": "l2", "l2_strength": 1e-3},
    ]  # fmt: skip
    assert "shrink" not in shared
    assert [type(run)(**shared, **options) for run, options in zip(runs, own, strict=True)] == runs


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"interventions": "plasticity_injection", "inject_after": 3},
         "inject_after=3: not below the stream's 3 tasks, so nothing is injected"),
        ({"interventions": "plasticity_injection", "inject_after": 2}, None),
        ({"interventions": "snr"},
         "snr_every=16: above the stream's 3 tasks, so no threshold of snr changes"),
        ({"interventions": "hare_and_tortoise", "hare_interval": 1351},
         "hare_interval=1351: above the stream's 1,350 training steps, so no hare is set back"),
        ({"interventions": "hare_and_tortoise", "hare_interval": 1350}, None),
        ({"interventions": "cbp", "cbp_maturity": 1350},
         "cbp_maturity=1350: not below the stream's 1,350 training steps, so no unit is replaced"),
        ({"interventions": "none", "cbp_maturity": 1350},
         "cbp_maturity: used by none of the chosen interventions, so it changes nothing"),
    ],
)  # fmt: skip
def test_methods_that_do_not_act_in_so_short_a_stream_are_told(
    values: dict[str, Any], expected: str | None
) -> None:
    study = Study.checked(seeds="0,1", tasks=3, snapshots="0,2", **values)
    streams, *_ = study_spaces(study)
    told = remarks(study, [study.stream_run(**point) for point in points(streams)])
    assert told == ([] if expected is None else [expected])


def test_an_option_of_a_measure_that_is_not_asked_for_is_remarked_upon() -> None:
    given = {"seeds": "0", "hessian_starts": 3, "churn_batches": 5, "measures": "churn"}
    study = Study.checked(**given)
    runs = [study.stream_run(seed=0, shift="stationary", intervention="none")]
    said = [line for line in remarks(study, runs) if "measure" in line]
    assert said == [
        "hessian_starts=3: of the measure hessian, which is not asked for, so it changes nothing"
    ]


@pytest.mark.parametrize(
    ("options", "snapshot"),
    [({"tasks": 10}, 0), ({"tasks": 11}, None), ({"snapshots": "5"}, 5)],  # by default each tenth
)
def test_a_study_with_one_snapshot_is_remarked_upon(
    options: dict[str, Any], snapshot: int | None
) -> None:
    study = Study.checked(**options)
    said = remarks(study, [study.stream_run(seed=0)])
    assert [line for line in said if line.startswith("snapshots=")] == (snapshot is not None) * [
        f"snapshots={snapshot}: what changes along a stream will not be known, as that takes two "
        "snapshots or more"
    ]


def test_a_search_for_good_settings_leaves_nothing_unknown() -> None:
    study = SettingsSearch.checked(**GIVEN, probe_tasks=0, random_masks=0)
    assert remarks(study, study.choosing_runs("l2", {})) == []
