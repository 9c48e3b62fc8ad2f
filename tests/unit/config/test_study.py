"""A study's options: lists, any text at all, contradictions; and the runs made of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ray._common.ray_option_utils import _validate_resource_quantity

from raylot.config import Study, TicketsRun, TicketStreamRun
from raylot.config.options import Options
from raylot.config.plugin_options import WithPluginOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.names import BUILT_IN
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
        ("search", "fraction=0.5,1 period=2", {"fraction": (0.5, 1.0), "period": (2,)}),
        ("search", {"first-task-identity": ["no", True]}, {"first_task_identity": (False, True)}),
        ("search", "none", None),
    ],
)
def test_lists_are_read(name: str, value: Any, read: Any) -> None:
    assert getattr(Study.checked(**{name: value}), name) == read


def test_snapshots_follow_the_tasks() -> None:
    assert Study.checked(tasks=21).snapshots == (0, 10, 20)
    assert Study.checked(tasks=5).snapshots == (0,)


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
    ("values", "message"),
    [
        ({"momentum": 0.9}, "momentum=0.9: must be 0 unless optimizer is sgd or rmsprop"),
        ({"nesterov": True}, "optimizer=adam: must be sgd with nesterov"),
        (
            {"nesterov": True, "optimizer": "sgd"},
            "momentum=0.0: must be greater than 0 with nesterov",
        ),
        (
            {"precision": "float16"},
            "precision=float16: must go with gpus_per_trial greater than 0",
        ),
        (
            {"precision": "float16", "device": "cpu", "gpus_per_trial": 1},
            "precision=float16: must be float32 or bfloat16 with device=cpu",
        ),
        ({"data_file": "/mine.npz"}, "data_file=/mine.npz: must go with dataset=npz"),
        (
            {"local": True, "address": "local"},
            "address=local: must be given without local=True, as no Ray is joined",
        ),
        (
            {"local": True, "gpus_per_trial": 0.5},
            "gpus_per_trial=0.5: must be given without local=True, as one run has the GPU to "
            "itself",
        ),
        (
            {"fraction": 0.02},  # of 64 pixels
            "fraction=0.02: must be at least 0.023, so that 2 of the 64 pixels of digits change "
            "places",
        ),
        ({"device": "cuda"}, "device=cuda: must go with gpus_per_trial greater than 0"),
        (
            {"engine": "fast", "gpus_per_trial": 0.5},
            "engine=fast: must be auto, generic or stacked with gpus_per_trial greater than 0",
        ),
        (
            {"engine": "fast", "interventions": "none,plasticity_injection"},
            "engine=fast: must be auto or generic with intervention plasticity_injection",
        ),
        (
            {"tasks": 5, "snapshots": [0, 5]},
            "snapshots=[0, 5]: must be task numbers from 0 to 4, each once",
        ),
        (
            {"output_rate": 0.5, "scope": "global"},
            "output_rate=0.5: must be 1 unless scope is layer",
        ),
        (
            {"interventions": "plasticity_injection", "network": "mlp", "norm": "batch"},
            "norm=batch: must be another with intervention plasticity_injection, whose frozen "
            "networks cannot share running statistics",
        ),
        (
            {"interventions": "none,snr", "snr_max_age": 31, "batch_size": 32},
            "snr_max_age=31: must be at least 32, the examples of a batch, as a unit's age grows "
            "by a batch at once",
        ),
        (  # a full batch of digits
            {"interventions": "snr", "snr_max_age": 1436, "batch_size": 5000},
            "snr_max_age=1436: must be at least 1437, the examples of a batch, as a unit's age "
            "grows by a batch at once",
        ),
        (
            {"interventions": "none,redoo", "seeds": 0},
            "interventions=redoo: must be one or more of "
            + ", ".join(BUILT_IN["intervention"])
            + ", each once; did you mean redo?; --plugin FILE.py adds others",
        ),
        (
            {"interventions": "LayerNorm"},
            "interventions=LayerNorm: must be one or more of "
            + ", ".join(BUILT_IN["intervention"])
            + ", each once; LayerNorm is the option norm=layer, which goes with all of them; "
            "--plugin FILE.py adds others",
        ),
        (
            {"interventions": "weight_projection", "network": "vgg"},
            "interventions=weight_projection: must go with a norm other than none",
        ),
        (
            {"interventions": "none,weight_projection", "network": "vit"},
            "interventions=weight_projection: must go with a network other than vit",
        ),
        (
            {"plastic_task": "unshifted", "shifts": "stationary,class_split"},
            "plastic_task=unshifted: must be same with shift class_split",
        ),
        (
            {"rewind_steps": 451},  # 10 epochs of 45 batches
            "rewind_steps=451: must be at most 450, the training steps of one task",
        ),
        (
            {"sparsities": "0.5", "stream_sparsities": "0.8"},
            "stream_sparsities=0.8: must be one of 0.5",
        ),
        (
            {"tasks": 5, "snapshots": "0,4", "stream_snapshots": "0,3"},
            "stream_snapshots=3: must be one of 0, 4",
        ),
        *(
            (
                {"rounds": rounds},
                f"rounds={told}: must have one entry for each sparsity that is searched, and no "
                "other: 0.8, 0.9",
            )
            for rounds, told in (("0.8:3,0.95:10", "0.8:3,0.95:10"), ({0.8: 3}, "0.8:3"))
        ),
        (
            {"intervention": "redo"},
            "intervention=redo: unknown option; did you mean interventions?",
        ),
    ],
)
def test_contradictions_are_refused(values: dict[str, Any], message: str) -> None:
    assert refusal(lambda: Study.checked(**values)) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"search": "fraktion=0.5"},
            "search=fraktion=0.5: must be an option that decides how networks are trained or "
            "tickets searched; did you mean fraction?",
        ),
        ({"search": "fraction=0.5,2"}, "search=fraction=2: must be a number in (0, 1]"),
        ({"search": {"fraction": [None]}}, "search=fraction=None: must be a number in (0, 1]"),
        (
            {"search": "perturb_every=epoch"},
            "search=perturb_every=epoch: must be one of task, step",
        ),
        (
            {"search": {"fraction": []}},
            "search=fraction=: must be one or more values, each once: a number in (0, 1]",
        ),
        (
            {"search": "fraction=0.5,0.50"},
            "search=fraction=0.5,0.50: must be one or more values, each once: a number in (0, 1]",
        ),
        (
            {"search": "fraction=0.5 fraction=1"},
            "search=fraction=0.5 fraction=1: must be options, each once, with their values or a "
            "distribution, as l2_strength=1e-4,1e-3 or lr=loguniform(1e-4,1e-2), or none",
        ),
        (
            {"search": "l2_strength=1e-4,1e-3", "interventions": "none,redo"},
            "search=l2_strength=0.0001,0.001: must go with intervention l2 or l2_init",
        ),
        (
            {"search": "noise_step=0.1", "shifts": "stationary"},
            "search=noise_step=0.1: must go with shift noise",
        ),
        (
            {"search": "fraction=0.5", "fraction": 1.0},
            "search=fraction=0.5: must be given without fraction=1.0",
        ),
        # what a run refuses
        (
            {"search": "fraction=0.5,0.02"},
            "search=fraction=0.02: must be at least 0.023, so that 2 of the 64 pixels",
        ),
        (
            {"search": "redo_interval=450,451", "interventions": "redo"},
            "search=redo_interval=451: must be at most 450, the training steps on each task",
        ),
        (
            {"search": "gradual=0,0.5", "engine": "stacked"},
            "engine=stacked: must be auto or generic with gradual",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused(values: dict[str, Any], message: str) -> None:
    assert refusal(lambda: Study.checked(**values)).startswith(message)


def test_searched_values_are_checked_in_place_of_the_default() -> None:
    """The default, shrink=0.8, would be refused if weights shrank after every step."""
    given = {"interventions": "shrink_and_perturb", "perturb_every": "step"}
    study = Study.checked(**given, search="shrink=0.999,0.9999")
    assert study.search == {"shrink": (0.999, 0.9999)}
    told = refusal(lambda: Study.checked(**given, search="shrink=0.999,0.98"))
    assert told.startswith("search=shrink=0.98: must be in [0.99, 1] with perturb_every=step")
    search = "shrink=0.999 perturb_every=task,step"
    both = Study.checked(interventions="none,shrink_and_perturb", search=search)
    assert both.search == {"shrink": (0.999,), "perturb_every": ("task", "step")}


def test_contradictions_of_a_run_alone_are_refused() -> None:
    told = "task=5: must be one of the snapshots (0, 10, 20, 30)"
    assert refusal(lambda: TicketsRun.checked(task=5)) == told
    told = "ticket=4: must be less than tickets=4"
    assert refusal(lambda: TicketStreamRun.checked(ticket=4)) == told


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
        {"interventions": ("redo", "cbp", "snr"), "network": "resnet"},
    ],
)
def test_what_does_not_contradict_is_accepted(values: dict[str, Any]) -> None:
    study = Study.checked(**values)
    assert {name: getattr(study, name) for name in values} == values


# ------------------------------------------------------------------ what Ray can reserve


@pytest.mark.parametrize(
    ("name", "right", "wrong", "reason"),
    [
        ("cpus_per_trial", (0.0001, 0.5, 1, 1.5, 4096), (0.00005, 0.00009999, 1e-300),
         "a number in [0.0001, 4096]"),
        ("gpus_per_trial", (0, 0.0001, 0.25, 1, 2, 4096), (0.00009999, 1e-300, 1.5, 4095.5),
         "0, a number in [0.0001, 1], or a whole number in [1, 4096]"),
    ],
)  # fmt: skip
def test_resources_are_what_ray_can_reserve(
    name: str, right: tuple[float, ...], wrong: tuple[float, ...], reason: str
) -> None:
    """Also by the installed Ray's own check; it looks at parts of several GPUs only later."""

    def refused_by_ray(value: float) -> bool:
        return _validate_resource_quantity(f"num_{name[:4]}", float(value)) is not None  # type: ignore[no-untyped-call]

    for value in right:
        assert getattr(Study.checked(**{name: str(value)}), name) == value
        assert not refused_by_ray(value)
    for value in wrong:
        message = refusal(lambda value=value: Study.checked(**{name: value}))  # type: ignore[misc]
        assert message == f"{name}={value}: must be {reason}"
        assert refused_by_ray(value) or value > 1


# ------------------------------------------------------------------ one name for one option


def test_no_two_concepts_share_an_option_name() -> None:
    concepts = [base for base in Study.__bases__ if issubclass(base, Options)]
    names = [name for concept in concepts for name in concept.model_fields]
    shared = WithPluginOptions.model_fields.keys()
    own = [name for name in names if name not in shared]
    assert sorted(own) == sorted(Study.model_fields.keys() - shared)


def test_a_study_holds_every_option_of_its_runs() -> None:
    searched = {"seed", "shift", "intervention", "task", "sparsity", "subnetwork", "ticket"}
    filled_in = {"plugins", "versions", "data_digest", "probe_classes"}
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


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("0,5", "ticket_snapshots=5: must be less than ticket_tasks=5"),
        ("0,0", "ticket_snapshots=0,0: must be numbers of new tasks from 0 to ticket_tasks - 1"),
        ("-1", "ticket_snapshots=-1: must be numbers of new tasks from 0 to ticket_tasks - 1"),
        ("all", "ticket_snapshots=all: must be numbers of new tasks from 0 to ticket_tasks - 1"),
    ],
)
def test_snapshots_of_ticket_streams_lie_in_them(given: str, told: str) -> None:
    assert refusal(lambda: Study.checked(ticket_tasks=5, ticket_snapshots=given)).startswith(told)


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


# ------------------------------------------------------------------ seeds that are added


def test_seeds_are_added_after_the_largest() -> None:
    study = Study.checked(seeds="3,0,7", until_width=0.1)
    assert study.with_seeds(5).seeds == (3, 0, 7, 8, 9)
    assert study.with_seeds(4).with_seeds(5) == study.with_seeds(5)
    runs = [one.stream_run(seed=7, shift="stationary") for one in (study, study.with_seeds(5))]
    assert runs[0].run_id == runs[1].run_id


@pytest.mark.parametrize(("seeds", "most"), [("0", 20), ("0-4", 20), ("0-9", 40)])
def test_four_times_the_seeds_are_the_most_unless_given(seeds: str, most: int) -> None:
    assert Study.checked(seeds=seeds, until_width=0.1).most_seeds == most
    assert Study.checked(seeds=seeds, until_width=0.1, max_seeds=10).most_seeds == 10


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"until_width": 0}, "until_width=0: must be a number in (0, 1], or none"),
        ({"until_width": -0.1}, "until_width=-0.1: must be a number in (0, 1], or none"),
        ({"max_seeds": 9}, "max_seeds=9: must go with until_width, as until_width=0.05"),
        (
            {"until_width": 0.1, "max_seeds": 4, "seeds": "0-2"},
            "max_seeds=4: must be a whole number in [5, 100000], or none",
        ),
        (
            {"until_width": 0.1, "max_seeds": 6, "seeds": "0-6"},
            "max_seeds=6: must be at least 7, the number of seeds given",
        ),
        (
            {"until_width": 0.1, "probe_tasks": 0},
            "until_width=0.1: must go with probe_tasks of 1 or more, on which plasticity is "
            "measured",
        ),
        (
            {"until_width": 0.1, "random_masks": 0},
            "until_width=0.1: must go with random_masks of 1 or more, beside which tickets are "
            "measured",
        ),
        (
            {"until_width": 0.1, "random_density": 0.05},
            "until_width=0.1: must go with random_density=none, as chance is measured at each "
            "sparsity",
        ),
        (
            {"until_width": 0.1, "snapshots": "10"},
            "until_width=0.1: must go with two snapshots or more, as it looks at changes",
        ),
        (
            {"until_width": 0.1, "seeds": 2**63 - 10},
            f"seeds={2**63 - 10}: must leave room for more seeds with until_width, up to "
            f"{2**63 - 1}",
        ),
    ],
)
def test_seeds_that_cannot_be_added_are_refused(options: dict[str, Any], told: str) -> None:
    assert refusal(lambda: Study.checked(**options)) == told
