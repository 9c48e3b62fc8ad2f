"""raylot.config: what every option accepts and refuses, presets, run identity, training steps."""

from __future__ import annotations

import itertools
import math
import types
from collections.abc import Callable
from typing import Any, Union, get_args, get_origin

import annotated_types
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from raylot import config
from raylot.config import PRESETS, StreamRun, Study, TicketsRun, customary_rounds
from raylot.options import OptionError, Options, accepted, option

CONCEPTS: list[type[Options]] = [
    config.DataOptions,
    config.ShiftOptions,
    config.InterventionOptions,
    config.NetworkOptions,
    config.TrainingOptions,
    config.StreamOptions,
    config.PlasticityOptions,
    config.TicketOptions,
    config.SearchOptions,
    config.SweepOptions,
]

#: What must be given along with an option at the end of its range, to contradict nothing.
COMPANIONS: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": "sgd"},
    "probe_size": {"dataset": "mnist"},
}


def number_type(field: FieldInfo) -> Any:
    """int or float for a numeric option, also if it may be left out."""
    annotation = field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = [a for a in get_args(annotation) if a is not type(None)] or [None]
    return annotation if annotation in (int, float) else None


NUMERIC = {
    (model, name): number_type(field)
    for model in (Study, TicketsRun)
    for name, field in model.model_fields.items()
    if name != "rounds" and number_type(field)
}


def ends(field: FieldInfo, number: Any) -> list[tuple[Any, Any]]:
    """For each end of an option's range: the last value inside and the first one outside."""
    found: list[tuple[Any, Any]] = []
    for limit in field.metadata:
        if isinstance(limit, annotated_types.Ge):
            found.append((limit.ge, _step(limit.ge, number, -1)))
        elif isinstance(limit, annotated_types.Gt):
            found.append((_step(limit.gt, number, 1), limit.gt))
        elif isinstance(limit, annotated_types.Le):
            found.append((limit.le, _step(limit.le, number, 1)))
        elif isinstance(limit, annotated_types.Lt):
            found.append((_step(limit.lt, number, -1), limit.lt))
    return found


def _step(value: Any, number: Any, sign: int) -> Any:
    return value + sign if number is int else math.nextafter(value, sign * math.inf)


ENDS = [
    pytest.param(model, name, inside, outside, id=f"{model.__name__}-{name}-{outside}")
    for (model, name), number in NUMERIC.items()
    for inside, outside in ends(model.model_fields[name], number)
]


def refusal(make: Callable[[], object]) -> str:
    """The message with which something is refused, which must be one line."""
    with pytest.raises(OptionError) as caught:
        make()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


# ------------------------------------------------------------------ every numeric option


def test_every_numeric_option_has_a_range() -> None:
    assert len(NUMERIC) > 20
    for (model, name), number in NUMERIC.items():
        limits = ends(model.model_fields[name], number)
        assert len(limits) >= (2 if number is float else 1), f"{name} has an open end"


@pytest.mark.parametrize(("model", "name", "inside", "outside"), ENDS)
def test_values_just_outside_the_range_are_refused(
    model: type[Options], name: str, inside: Any, outside: Any
) -> None:
    field = model.model_fields[name]
    expected = f"{name}={{}}: must be {accepted(field)}"
    assert refusal(lambda: model.checked(**{name: outside})) == expected.format(outside)
    assert refusal(lambda: model.checked(**{name: str(outside)})) == expected.format(outside)


@pytest.mark.parametrize(("model", "name", "inside", "outside"), ENDS)
def test_values_just_inside_the_range_are_accepted(
    model: type[Options], name: str, inside: Any, outside: Any
) -> None:
    companions = COMPANIONS.get(name, {})
    for value in (inside, str(inside)):
        assert getattr(model.checked(**{name: value}, **companions), name) == inside


@pytest.mark.parametrize(("model", "name", "inside", "outside"), ENDS)
def test_the_message_gives_both_ends(
    model: type[Options], name: str, inside: Any, outside: Any
) -> None:
    words = accepted(model.model_fields[name])
    assert str(inside) in words or str(outside) in words


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "word", "", [1], {}, "1 2"])
@pytest.mark.parametrize(("model", "name"), NUMERIC)
def test_what_is_no_number_is_refused(model: type[Options], name: str, value: Any) -> None:
    expected = f"{name}={{}}: must be {accepted(model.model_fields[name])}"
    assert refusal(lambda: model.checked(**{name: value})) == expected.format(value)
    assert refusal(lambda: model.checked(**{name: str(value)})) == expected.format(value)


@pytest.mark.parametrize("name", [n for (_, n), number in NUMERIC.items() if number is int])
def test_whole_numbers_are_whole(name: str) -> None:
    model = Study if name in Study.model_fields else TicketsRun
    assert refusal(lambda: model.checked(**{name: 2.5})).startswith(f"{name}=2.5: must be")


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
        ("rounds", {0.8: 3}, {0.8: 3}),
        ("rounds", "auto", None),
        ("rounds", "1000", 1000),
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
@settings(max_examples=40)
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
            {"tasks": 5, "snapshots": [0, 5]},
            "snapshots=[0, 5]: must be task numbers from 0 to 4, each once",
        ),
        (
            TicketsRun,
            {"task": 5},
            "task=5: must be one of the snapshots (0, 10, 20, 30)",
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
    ],
)
def test_what_does_not_contradict_is_accepted(values: dict[str, Any]) -> None:
    study = Study.checked(**values)
    assert {name: getattr(study, name) for name in values} == values


# ------------------------------------------------------------------ presets


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid(preset: str) -> None:
    study = Study.checked(**PRESETS[preset])
    for seed, shift in itertools.product(study.seeds, study.shifts):
        study.stream_run(seed=seed, shift=shift)
        for task, sparsity in itertools.product(study.snapshots, study.sparsities):
            study.tickets_run(seed=seed, shift=shift, task=task, sparsity=sparsity)


def test_original_is_the_original_studys_protocol() -> None:
    study = Study.checked(**PRESETS["original"])
    expected = {
        "dataset": "mnist",
        "scaling": "raw",
        "shifts": ("permuted_pixels",),
        "network": "mlp",
        "hidden": (256,),
        "intervention": "none",
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
        "scope": "layer",
        "masked": "freeze",
        "sparsities": (0.8, 0.9, 0.95),
    }
    assert {name: getattr(study, name) for name in expected} == expected
    rounds = {sparsity: study.rounds_for(sparsity) for sparsity in study.sparsities}
    assert rounds == {0.8: 3, 0.9: 5, 0.95: 10}


# ------------------------------------------------------------------ one name for one option


def test_no_two_concepts_share_an_option_name() -> None:
    names = [name for concept in CONCEPTS for name in concept.model_fields]
    assert sorted(names) == sorted(set(names))
    assert set(names) == {*Study.model_fields, "shift"}


def test_a_study_holds_every_option_of_its_runs() -> None:
    of_runs = {*StreamRun.model_fields, *TicketsRun.model_fields}
    assert of_runs - {*Study.model_fields} == {"seed", "shift", "task", "sparsity"}


def test_runs_take_their_options_from_the_study() -> None:
    study = Study.checked(lr=0.5, epochs=2, tickets=3, rounds="0.9:5", hidden="32,16")
    stream = study.stream_run(seed=4, shift="stationary")
    assert (stream.seed, stream.shift, stream.lr) == (4, "stationary", 0.5)
    run = study.tickets_run(seed=4, shift="stationary", task=10, sparsity=0.9)
    assert (run.rounds, run.tickets, run.task, run.hidden) == (5, 3, 10, (32, 16))
    assert run.stream == stream
    other = study.tickets_run(seed=4, shift="stationary", task=10, sparsity=0.8)
    assert other.rounds == 7  # not in the table, so the customary number


# ------------------------------------------------------------------ run identity


@pytest.mark.parametrize(
    ("run", "run_id"),
    [
        # Computed once. If one of these changes, every result computed so far is orphaned:
        # a new option must have an `off` value that leaves them as they are.
        (StreamRun(), "4483ef429a4e"),
        (
            StreamRun(
                seed=3, shift="stationary", hidden=(100, 100), lr=0.01, optimizer="sgd",
                momentum=0.9,
            ),
            "97b8ccbadd78",
        ),
        (TicketsRun(), "84abef248785"),
        (
            TicketsRun(seed=1, task=10, sparsity=0.9, rounds=5, masked="freeze"),
            "e22921b2e047",
        ),
    ],
)  # fmt: skip
def test_run_ids_are_pinned(run: StreamRun, run_id: str) -> None:
    assert run.run_id == run_id


@pytest.mark.parametrize(
    ("preset", "stream_id", "tickets_id"),
    [
        # As above, for the first stream run and its last snapshot at the lowest sparsity.
        ("default", "cc836cc19db3", "6247776e6642"),
        ("original", "f1dcd3de404c", "5413032cafd2"),
    ],
)
def test_run_ids_of_presets_are_pinned(preset: str, stream_id: str, tickets_id: str) -> None:
    study = Study.checked(**PRESETS[preset])
    searched: dict[str, Any] = {"seed": study.seeds[0], "shift": study.shifts[0]}
    assert study.stream_run(**searched).run_id == stream_id
    run = study.tickets_run(**searched, task=study.snapshots[-1], sparsity=study.sparsities[0])
    assert run.run_id == tickets_id


@pytest.mark.parametrize("model", [StreamRun, TicketsRun])
@pytest.mark.parametrize(
    ("name", "value"), [("device", "cpu"), ("data_root", "/somewhere"), ("download", True)]
)
def test_where_a_run_is_computed_is_not_its_identity(
    model: type[StreamRun], name: str, value: Any
) -> None:
    assert model(**{name: value}).run_id == model().run_id


#: A value other than the default for every option of a tickets run.
CHANGED: dict[str, Any] = {
    "dataset": "mnist",
    "scaling": "unit",
    "shift": "stationary",
    "network": None,  # has only one value so far
    "intervention": None,
    "hidden": (65,),
    "optimizer": "sgd",
    "lr": 0.002,
    "momentum": None,  # goes with sgd only; see below
    "weight_decay": 0.1,
    "epochs": 11,
    "batch_size": 33,
    "tasks": 32,
    "snapshots": (0, 10, 20),
    "carry_optimizer": True,
    "probe_size": 511,
    "dormant_threshold": 0.1,
    "trainability_gap": False,
    "seed": 1,
    "scope": "global",
    "masked": "freeze",
    "tickets": 5,
    "random_masks": 1,
    "tolerance": 0.02,
    "sparsity": 0.9,
    "rounds": 2,
    "task": 10,
    "data_root": None,
    "device": None,
    "download": None,
}


def test_every_option_is_looked_at() -> None:
    assert set(CHANGED) == set(TicketsRun.model_fields)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, v in CHANGED.items() if v is not None])
def test_every_other_option_changes_the_identity(name: str, value: Any) -> None:
    assert TicketsRun(**{name: value}).run_id != TicketsRun().run_id
    if name in StreamRun.model_fields:
        assert StreamRun(**{name: value}).run_id != StreamRun().run_id


def test_momentum_changes_the_identity() -> None:
    assert StreamRun(optimizer="sgd", momentum=0.9).run_id != StreamRun(optimizer="sgd").run_id


def test_a_new_option_that_is_off_leaves_run_ids_alone() -> None:
    class Grown(StreamRun):
        noise: float = option(0.0, "a later option", off=0.0)

    assert Grown().run_id == StreamRun().run_id
    assert Grown(noise=0.1).run_id != StreamRun().run_id


def test_a_tickets_run_stands_on_its_stream() -> None:
    run = TicketsRun(seed=1, task=10, sparsity=0.9)
    assert run.stream == StreamRun(seed=1)
    assert type(run.stream) is StreamRun
    assert TicketsRun(seed=1).run_id != StreamRun(seed=1).run_id
    # carry_optimizer is an option of the stream alone, and yet makes other tickets
    assert TicketsRun(carry_optimizer=True).run_id != TicketsRun().run_id


def test_rounds_left_out_are_the_customary_ones() -> None:
    assert TicketsRun(sparsity=0.9).rounds == 10
    assert TicketsRun(sparsity=0.9).run_id == TicketsRun(sparsity=0.9, rounds=10).run_id


def test_the_same_value_written_otherwise_is_the_same_run() -> None:
    written = StreamRun.checked(lr="1e-3", hidden="64", snapshots="30,20,10,0", epochs="10")
    assert written.run_id == StreamRun().run_id
    assert StreamRun(lr=1).run_id == StreamRun(lr=1.0).run_id


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", 1), ("shift", "stationary"), ("task", 10), ("sparsity", 0.9), ("rounds", 2)],
)
def test_what_a_sweep_compares_shares_a_protocol(name: str, value: Any) -> None:
    assert TicketsRun(**{name: value}).protocol == TicketsRun().protocol


@pytest.mark.parametrize("name", ["lr", "epochs", "hidden", "dataset", "tickets", "snapshots"])
def test_everything_else_makes_another_protocol(name: str) -> None:
    assert TicketsRun(**{name: CHANGED[name]}).protocol != TicketsRun().protocol


# ------------------------------------------------------------------ counts worked out by hand


@pytest.mark.parametrize(
    ("options", "per_task", "stream"),
    [
        # 1,437 images are 45 batches of 32; 10 epochs; 31 tasks and 4 fresh networks.
        ({}, 450, 35 * 450),
        ({"trainability_gap": False}, 450, 31 * 450),
        ({"batch_size": 1437, "epochs": 1}, 1, 35),
        ({"batch_size": 1436, "epochs": 1}, 2, 70),
        ({"batch_size": 1, "epochs": 2, "tasks": 1}, 2874, 2 * 2874),
        # 60,000 images are 1,875 batches of 32; 501 tasks and 11 fresh networks.
        ({"dataset": "mnist", "tasks": 501, "snapshots": "0-:50"}, 18750, 512 * 18750),
    ],
)
def test_training_steps_of_a_stream(options: dict[str, Any], per_task: int, stream: int) -> None:
    run = StreamRun(**options)
    assert run.training_steps_per_task == per_task
    assert run.training_steps == stream


@pytest.mark.parametrize(
    ("options", "trainings"),
    [
        # tickets x (the dense training and one after each round), and the random masks
        ({"tickets": 4, "rounds": 3}, 4 * 4 + 4),
        ({"tickets": 10, "rounds": 10, "random_masks": 10}, 10 * 11 + 10),
        ({"tickets": 1, "rounds": 1, "random_masks": 0}, 2),
    ],
)
def test_training_steps_of_tickets(options: dict[str, Any], trainings: int) -> None:
    run = TicketsRun(**options)
    assert run.trainings == trainings
    assert run.training_steps == trainings * 450


@pytest.mark.parametrize(
    ("sparsity", "rounds"),
    [
        (0.0, 1),  # nothing to prune, and yet a round
        (0.1, 1),
        (0.2, 1),  # 0.8
        (0.36, 2),  # 0.64 = 0.8 ** 2
        (0.488, 3),  # 0.512 = 0.8 ** 3
        (0.8, 7),  # 0.8 ** 7 = 0.2097
        (0.9, 10),  # 0.8 ** 10 = 0.1074
        (0.95, 13),  # 0.8 ** 13 = 0.0550
    ],
)
def test_customary_rounds(sparsity: float, rounds: int) -> None:
    assert customary_rounds(sparsity) == rounds
