"""A study's options: lists, any text at all, contradictions; and the runs made of them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ray._common.ray_option_utils import _validate_resource_quantity

from raylot.config import Study, TicketsRun, TicketStreamRun
from raylot.config.options import Options
from raylot.foundation.errors import OptionError
from tests.unit.config.refused import refusal

# ------------------------------------------------------------------ lists


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("seeds", "0-3,10,20-40:10", (0, 1, 2, 3, 10, 20, 30, 40)),
        ("seeds", 7, (7,)),
        ("seeds", [2, 0], (2, 0)),
        ("seeds", str(2**63 - 1), (2**63 - 1,)),
        ("snapshots", "0-:10", (0, 10, 20, 30)),
        ("snapshots", "5,0-:15", (0, 5, 15, 30)),
        ("snapshots", "30,0", (0, 30)),
        ("hidden", "100,100", (100, 100)),
        ("hidden", 65536, (65536,)),
        ("shifts", "stationary permuted_labels", ("stationary", "permuted_labels")),
        ("sparsities", "0.8,0.9", (0.8, 0.9)),
        ("sparsities", 0, (0.0,)),
        ("rounds", "0.8:3,0.9:5", {0.8: 3, 0.9: 5}),
        ("rounds", {0.9: 5, 0.8: 3}, {0.8: 3, 0.9: 5}),
        ("rounds", "auto", None),
        ("rounds", "1000", 1000),
        ("interventions", "none,redo reset", ("none", "redo", "reset")),
        ("subnetworks", "dense,ticket", ("dense", "ticket")),
        ("stream_sparsities", "0.9,0.8", (0.9, 0.8)),
        ("stream_sparsities", 0.9, (0.9,)),
        ("stream_sparsities", "highest", "highest"),
        ("stream_snapshots", "30,0", (30, 0)),
        ("stream_snapshots", 10, (10,)),
    ],
)
def test_lists_are_read(name: str, value: Any, read: Any) -> None:
    assert getattr(Study.checked(**{name: value}), name) == read


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *itertools.product(("seeds", "snapshots", "hidden"), ("", "x", "1.5", "nan", "3-1", "-1")),
        *itertools.product(("seeds", "snapshots", "hidden"), ("0-" + "9" * 30, "0-1000001")),
        ("seeds", "1,1"),
        ("seeds", 2**63),
        ("seeds", [-1]),
        ("snapshots", "1,1"),
        ("snapshots", "31"),
        ("snapshots", [-1]),
        ("snapshots", "5-"),
        ("hidden", "0"),
        ("hidden", "64,65537"),
        ("shifts", ""),
        ("shifts", "rotated"),
        ("shifts", "stationary,stationary"),
        ("interventions", ""),
        ("interventions", "redo,redo"),
        ("interventions", "redu"),
        ("subnetworks", ""),
        ("subnetworks", "foo"),
        ("subnetworks", "dense,dense"),
        ("stream_sparsities", ""),
        ("stream_sparsities", "0.7"),
        ("stream_sparsities", "0.8,0.8"),
        ("stream_sparsities", "highest,0.8"),
        ("stream_snapshots", ""),
        ("stream_snapshots", "5"),
        ("stream_snapshots", "10,10"),
        ("sparsities", ""),
        ("sparsities", "1"),
        ("sparsities", "-0.1"),
        ("sparsities", "nan"),
        ("sparsities", "0.8,0.80"),
        ("rounds", "0"),
        ("rounds", "1001"),
        ("rounds", "1.5"),
        ("rounds", "nan"),
        ("rounds", "0.8:0"),
        ("rounds", "1:3"),
        ("rounds", "nan:3"),
        ("rounds", "0.8:3,0.9"),
        ("data_root", ""),
        ("data_root", "~no_such_user_at_all/x"),
        ("name", "a/b"),
        ("name", "-a"),
        ("name", "a\n"),
    ],
)
def test_wrong_lists_are_refused(name: str, value: Any) -> None:
    message = refusal(lambda: Study.checked(**{name: value}))
    assert message.startswith(f"{name}=")
    assert ": must be " in message


def test_snapshots_follow_the_tasks() -> None:
    assert Study.checked(tasks=21).snapshots == (0, 10, 20)
    assert Study.checked(tasks=5).snapshots == (0,)
    message = refusal(lambda: Study.checked(tasks=20, snapshots="0,20"))
    assert message == "snapshots=0,20: must be task numbers from 0 to 19, each once"


# ------------------------------------------------------------------ any text for any option

likely = st.text(alphabet="0123456789-:,. +eExnaif", max_size=12)


@pytest.mark.parametrize("name", Study.model_fields)
@settings(max_examples=15)
@given(text=st.text(max_size=20) | likely)
@example(text="0-99999999999999999999999")
@example(text="9" * 5000)
@example(text="a\nb")
@example(text="a\u2028b")
@example(text="\x00")
@example(text="")
def test_any_text_is_accepted_or_refused_in_one_line(name: str, text: str) -> None:
    try:
        study = Study.checked(**{name: text})
        study.stream_run(seed=study.seeds[0], shift=study.shifts[0])
        assert study.streamed_sparsities
        return
    except OptionError as error:
        message = str(error)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{name}=")


# ------------------------------------------------------------------ contradictions


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        (Study, {"momentum": 0.9}, "momentum=0.9: must be 0 unless optimizer is sgd"),
        (
            Study,
            {"probe_size": 1438},
            "probe_size=1438: must be at most 1437, the training examples of digits",
        ),
        (Study, {"device": "cuda"}, "device=cuda: must go with gpus_per_trial greater than 0"),
        (
            Study,
            {"engine": "fast", "gpus_per_trial": 0.5},
            "engine=fast: must be auto, generic or stacked with gpus_per_trial greater than 0",
        ),
        (
            Study,
            {"engine": "fast", "interventions": "none,redo"},
            "engine=fast: must be auto or generic with intervention redo",
        ),
        (
            Study,
            {"engine": "stacked", "interventions": "none,shrink_and_perturb", "shrink": 0.5},
            "engine=stacked: must be auto or generic with intervention shrink_and_perturb",
        ),
        (
            Study,
            {"tasks": 5, "snapshots": [0, 5]},
            "snapshots=[0, 5]: must be task numbers from 0 to 4, each once",
        ),
        (
            TicketsRun,
            {"task": 5},
            "task=5: must be one of the snapshots (0, 10, 20, 30)",
        ),
        (
            Study,
            {"output_rate": 0.5, "scope": "global"},
            "output_rate=0.5: must be 1 unless scope is layer",
        ),
        (
            Study,
            {"interventions": "none,redo", "network": "resnet"},
            "interventions=redo: must go with network mlp, lenet or vgg",
        ),
        (
            Study,
            {"plastic_task": "unshifted", "shifts": "stationary,class_split"},
            "plastic_task=unshifted: must be same with shift class_split",
        ),
        # 10 epochs of 45 batches
        (
            Study,
            {"rewind_steps": 451},
            "rewind_steps=451: must be at most 450, the training steps of one task",
        ),
        (
            Study,
            {"sparsities": "0.5", "stream_sparsities": "0.8"},
            "stream_sparsities=0.8: must be one of 0.5",
        ),
        (
            Study,
            {"tasks": 5, "snapshots": "0,4", "stream_snapshots": "0,3"},
            "stream_snapshots=3: must be one of 0, 4",
        ),
        (TicketStreamRun, {"ticket": 4}, "ticket=4: must be less than tickets=4"),
        (
            Study,
            {"rounds": "0.5:3"},
            "rounds=0.5:3: must have one entry for each sparsity that is searched, and no other: "
            "0.8, 0.9",
        ),
        (
            Study,
            {"sparsities": "0.8,0.9", "rounds": "0.8:3,0.95:10"},
            "rounds=0.8:3,0.95:10: must have one entry for each sparsity that is searched, and no "
            "other: 0.8, 0.9",
        ),
        (
            Study,
            {"sparsities": "0.8,0.9", "rounds": {0.8: 3}},
            "rounds=0.8:3: must have one entry for each sparsity that is searched, and no other: "
            "0.8, 0.9",
        ),
        (
            Study,
            {"sparsities": "0.8", "rounds": "0.8:3,0.9:5"},
            "rounds=0.8:3,0.9:5: must have one entry for each sparsity that is searched, and no "
            "other: 0.8",
        ),
        (
            Study,
            {"intervention": "redo"},
            "intervention=redo: unknown option; did you mean interventions?",
        ),
        (Study, {"epoch": 3}, "epoch=3: unknown option; did you mean epochs?"),
        (Study, {"sparsity": 0.8}, "sparsity=0.8: unknown option; did you mean sparsities?"),
    ],
)
def test_contradictions_are_refused(
    model: type[Options], values: dict[str, Any], message: str
) -> None:
    assert refusal(lambda: model.checked(**values)) == message


@pytest.mark.parametrize(
    "values",
    [
        {"momentum": 0.9, "optimizer": "sgd"},
        {"probe_size": 1437},
        {"probe_size": 60000, "dataset": "mnist"},
        {"device": "cuda", "gpus_per_trial": 0.25},
        {"engine": "fast", "gpus_per_trial": 0.0},
        {"engine": "stacked", "gpus_per_trial": 0.25, "device": "cuda"},
        {"engine": "generic", "gpus_per_trial": 1.0},
        {"engine": "auto", "gpus_per_trial": 1.0},
        {"output_rate": 0.5, "scope": "layer"},
        {"rewind_steps": 450},
        {"plastic_scaling": "standardize", "shifts": ("class_split",)},
        {"interventions": ("redo",), "network": "vgg"},
    ],
)
def test_what_does_not_contradict_is_accepted(values: dict[str, Any]) -> None:
    study = Study.checked(**values)
    assert {name: getattr(study, name) for name in values} == values


# ------------------------------------------------------------------ what Ray can reserve


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cpus_per_trial", (0.0001, 0.5, 1, 1.5, 4096)),
        ("gpus_per_trial", (0, 0.0001, 0.25, 1, 2, 4096)),
    ],
)
def test_what_ray_can_reserve_is_accepted(name: str, values: tuple[float, ...]) -> None:
    for value in values:
        assert getattr(Study.checked(**{name: value}), name) == value
        assert getattr(Study.checked(**{name: str(value)}), name) == value
        # and by the installed Ray, whose own check this is
        ray_name = f"num_{name[:4]}"
        assert _validate_resource_quantity(ray_name, float(value)) is None  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("cpus_per_trial", (0.00005, 0.00009999, 1e-300), "a number in [0.0001, 4096]"),
        (
            "gpus_per_trial",
            (0.00005, 0.00009999, 1e-300, 1.5, 1.00001, 4095.5),
            "0, a number in [0.0001, 1], or a whole number in [1, 4096]",
        ),
    ],
)
def test_what_ray_cannot_reserve_is_refused(
    name: str, values: tuple[float, ...], reason: str
) -> None:
    for value in values:
        message = refusal(lambda value=value: Study.checked(**{name: value}))  # type: ignore[misc]
        assert message == f"{name}={value}: must be {reason}"
        if value < 1:  # that GPUs are whole, Ray says only when a trial is submitted
            ray_name = f"num_{name[:4]}"
            assert _validate_resource_quantity(ray_name, value) is not None  # type: ignore[no-untyped-call]


# ------------------------------------------------------------------ one name for one option


def test_no_two_concepts_share_an_option_name() -> None:
    concepts = [base for base in Study.__bases__ if issubclass(base, Options)]
    names = [name for concept in concepts for name in concept.model_fields]
    assert sorted(names) == sorted(Study.model_fields)


def test_a_study_holds_every_option_of_its_runs() -> None:
    searched = {"seed", "shift", "intervention", "task", "sparsity", "subnetwork", "ticket"}
    filled_in = {"plugins"}
    assert {*TicketStreamRun.model_fields} - {*Study.model_fields} == searched | filled_in


def test_runs_take_their_options_from_the_study() -> None:
    study = Study.checked(lr=0.5, epochs=2, tickets=3, rounds="0.8:4,0.9:5", hidden="32,16")
    stream = study.stream_run(seed=4, shift="stationary")
    assert (stream.seed, stream.shift, stream.lr) == (4, "stationary", 0.5)
    run = study.tickets_run(seed=4, shift="stationary", task=10, sparsity=0.9)
    assert (run.rounds, run.tickets, run.task, run.hidden) == (5, 3, 10, (32, 16))
    assert run.stream == stream
    other = study.tickets_run(seed=4, shift="stationary", task=10, sparsity=0.8)
    assert other.rounds == 4
    assert "0.7" in refusal(lambda: study.tickets_run(task=10, sparsity=0.7))


def test_ticket_streams_take_their_options_from_the_study() -> None:
    study = Study.checked(
        ticket_tasks=7, tickets=2, rounds="0.8:4,0.9:5", lr=0.5, criterion="movement"
    )
    searched: dict[str, Any] = {"seed": 4, "shift": "stationary", "task": 10, "sparsity": 0.9}
    run = study.ticket_stream_run(**searched, subnetwork="random", ticket=1)
    assert (run.ticket_tasks, run.subnetwork, run.ticket) == (7, "random", 1)
    assert run.search == study.tickets_run(**searched)
    assert run.stream == study.stream_run(seed=4, shift="stationary")
    assert study.ticket_stream_run(**searched, ticket_tasks=3).ticket_tasks == 3


@pytest.mark.parametrize(
    ("wanted", "streamed"),
    [(None, (0.5, 0.9, 0.8)), ("highest", (0.9,)), ("0.8,0.5", (0.8, 0.5))],
)
def test_sparsities_whose_tickets_go_on_learning(
    wanted: str | None, streamed: tuple[float, ...]
) -> None:
    study = Study.checked(sparsities="0.5,0.9,0.8", stream_sparsities=wanted)
    assert study.streamed_sparsities == streamed
