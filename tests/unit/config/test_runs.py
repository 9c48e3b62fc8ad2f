"""What one run is: its identity, what it stands on, and its training steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raylot import plugins
from raylot.config import (
    PRESETS,
    MeasurementRun,
    ProbeRun,
    RetrainingRun,
    StreamRun,
    Study,
    TicketBarrierRun,
    TicketMeasurementRun,
    TicketsRun,
    TicketStreamRun,
)
from raylot.config.parameters import parameters
from raylot.results import option_values
from tests.unit.config.refused import refusal

# ------------------------------------------------------------------ run identity


def _of_preset(preset: str) -> tuple[StreamRun, TicketsRun]:
    """The first stream run, and its last snapshot's tickets at the lowest sparsity."""
    study = Study.checked(**PRESETS[preset])
    searched: dict[str, Any] = {"seed": study.seeds[0], "shift": study.shifts[0]}
    place = {"task": study.snapshots[-1], "sparsity": study.sparsities[0]}
    return study.stream_run(**searched), study.tickets_run(**searched, **place)


def test_identities_are_pinned() -> None:
    """Computed once. If one of these changes, every result computed so far is orphaned.

    A new option must have an `off` value that leaves them as they are. Rows of old results carry
    the protocols.
    """
    sgd = {"lr": 0.01, "optimizer": "sgd", "momentum": 0.9}
    pinned = {
        "b23af29069e9": StreamRun(),
        "4fd89ad5aadd": StreamRun(seed=3, shift="stationary", hidden=(100, 100), **sgd),
        "032245ad556d": TicketsRun(),
        "631302563b56": TicketsRun(seed=1, task=10, sparsity=0.9, rounds=5, masked="freeze"),
        "06a3f0ee2704": TicketStreamRun(),
        "e778c261d885": TicketStreamRun(subnetwork="dense"),
        "052bb34dba7c": TicketStreamRun(
            seed=1, subnetwork="random", ticket=1, task=10, ticket_tasks=3
        ),
        "4124b3ed256a": MeasurementRun(measured="weights"),
        "0e864da9baee": MeasurementRun(),
        "b02abafba119": MeasurementRun(measured="dormant"),
        "f70010ca4233": MeasurementRun(measured="sharpness"),
        "20aebb43db19": MeasurementRun(measured="ntk"),
        "43176cb2ec16": MeasurementRun(measured="churn"),
        "ae84e588db69": MeasurementRun(measured="hessian"),
        "a27982d953fc": ProbeRun(),
        "708193c3d961": ProbeRun(seed=1, shift="stationary", probe_shift="rotation"),
        "ab73124f02c9": RetrainingRun(),
        "5359182d5ef3": RetrainingRun(seed=1, barrier_points=10),
        "a219050897ed": TicketBarrierRun(),
        "f773b7bb0f8d": TicketMeasurementRun(),
        "07c3de95ba5c": TicketMeasurementRun(subnetwork="dense", measured="ntk"),
        **dict(zip(("01099d5c4229", "b2b00b5f473f"), _of_preset("default"), strict=True)),
        **dict(zip(("be1330009c48", "250a637080c5"), _of_preset("original"), strict=True)),
    }
    assert [run.run_id for run in pinned.values()] == [*pinned]
    assert (StreamRun().protocol, TicketsRun().protocol) == ("4485ff5d818e", "3202e6141023")


@pytest.mark.parametrize("model", [StreamRun, TicketsRun])
@pytest.mark.parametrize(
    ("name", "value"),
    [("device", "cpu"), ("data_root", "/somewhere"), ("download", True), ("note", "try 2")],
)
def test_where_a_run_is_computed_is_not_its_identity(
    model: type[StreamRun], name: str, value: Any
) -> None:
    assert model(**{name: value}).run_id == model().run_id


#: A value other than the default for every option of a tickets run.
CHANGED: dict[str, Any] = {
    "dataset": "mnist",
    "scaling": "unit",
    "train_examples": 1000,
    "shift": "stationary",
    "network": "lenet",
    "width": 8,
    "width_scale": 0.5,
    "patch_size": 2,
    "vit_depth": 3,
    "vit_heads": 8,
    "vit_dimension": 32,
    "norm": "batch",
    "activation": "crelu",
    "initialisation": "orthogonal",
    "fraction": 0.5,
    "compounding": True,
    "first_task_identity": True,
    "rotation_range": 90.0,
    "classes_per_task": 5,
    "new_classes_only": True,
    "warm_share": 0.25,
    "warm_tasks": 2,
    "noisy_share": 0.5,
    "noisy_tasks": "first",
    "flipping_bits": 10,
    "flips": "one",
    "noise_step": 0.1,
    "period": 2,
    "gradual": 0.5,
    "intervention": "redo",
    "l2_strength": 0.1,
    "l1_strength": 0.1,
    "huber_strength": 0.1,
    "wasserstein_strength": 0.1,
    "clip_factor": 2.0,
    "parseval_strength": 0.1,
    "parseval_scale": 1.0,
    "spectral_strength": 0.1,
    "spectral_exponent": 1,
    "churn_share": 0.1,
    "shrink": 0.5,
    "perturb": 0.5,
    "perturb_every": "step",
    "perturb_with": "noise",
    "gradient_noise": 0.5,
    "utility_decay": 0.5,
    "protect": False,
    "dash_rate": 0.5,
    "tortoise_decay": 0.5,
    "hare_interval": 7,
    "reset_layers": 2,
    "inject_after": 2,
    "dash_shrink": 0.5,
    "redo_threshold": 0.1,
    "redo_interval": 7,
    "redo_examples": 100,
    "cbp_rate": 0.001,
    "cbp_maturity": 50,
    "cbp_decay": 0.9,
    "cbp_utility": "contribution",
    "snr_quantile": 0.9,
    "snr_every": 2,
    "snr_max_age": 1000,
    "hidden": (65,),
    "plugins": None,  # filled in from what a run names
    "versions": None,  # see tests/unit/results/test_outdated.py
    "optimizer": "sgd",
    "lr": 0.002,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 0.1,
    "schedule": "cosine",
    "warmup": 0.1,
    "step_factor": 0.5,
    "step_at": (0.9,),
    "augment": "flip",
    "crop_padding": 2,
    "label_smoothing": 0.1,
    "clip_norm": 1.0,
    "precision": "bfloat16",
    "epochs": 11,
    "batch_size": 33,
    "drop_last": True,
    "tasks": 32,
    "snapshots": (0, 10, 20),
    "carry_optimizer": True,
    "head_reset": "zero",
    "seed": 1,
    "scope": "global",
    "masked": "freeze",
    "criterion": "movement",
    "rewind_steps": 10,
    "output_rate": 0.5,
    "examples_per_class": 5,
    "edge_popup_lr": 0.2,
    "early_bird": 0.2,
    "early_bird_epochs": 6,
    "edge_popup_momentum": 0.0,
    "tickets": 5,
    "untrained_masks": 0,
    "random_masks": 1,
    "random_density": 0.05,
    "rewired_masks": 1,
    "reinit_tickets": 1,
    "supermasks": 1,
    "plastic_task": "unshifted",
    "plastic_scaling": "standardize",
    "plastic_density": "overall",
    "tolerance": 0.02,
    "sparsity": 0.9,
    "rounds": 2,
    "task": 10,
    "search_task": "probe",
    "probe_shift": "rotation",
    "probe_classes": 3,
    "emnist_split": "letters",
    "image_size": None,  # see tests/unit/datasets/test_image_folder.py
    "data_digest": None,
    "data_file": None,
    "data_root": None,
    "device": None,
    "engine": None,
    "download": None,
    "note": None,
}


_PERTURBED = {"intervention": "shrink_and_perturb"}
_BITS = {"dataset": "slowly_changing_regression", "shift": "bit_flipping"}

#: What must be chosen for a parameter to be used, if the defaults do not use it.
USED_WITH: dict[str, dict[str, Any]] = {
    "probe_shift": {"search_task": "probe"},
    "probe_classes": {"search_task": "probe", "probe_shift": "class_split"},
    "emnist_split": {"dataset": "emnist"},
    "rotation_range": {"shift": "rotation"},
    "classes_per_task": {"shift": "class_split"},
    "new_classes_only": {"shift": "class_incremental"},
    "warm_share": {"shift": "warm_start"},
    "warm_tasks": {"shift": "warm_start"},
    "noisy_share": {"shift": "label_noise"},
    "noisy_tasks": {"shift": "label_noise"},
    "flipping_bits": _BITS,
    "flips": _BITS,
    "noise_step": {"shift": "noise"},
    "l2_strength": {"intervention": "l2_init"},
    "l1_strength": {"intervention": "l1_init"},
    "huber_strength": {"intervention": "huber_init"},
    "wasserstein_strength": {"intervention": "wasserstein_init"},
    "clip_factor": {"intervention": "weight_clipping"},
    "parseval_strength": {"intervention": "parseval"},
    "parseval_scale": {"intervention": "parseval"},
    "spectral_strength": {"intervention": "spectral"},
    "spectral_exponent": {"intervention": "spectral"},
    "churn_share": {"intervention": "c_chain"},
    "shrink": _PERTURBED,
    "perturb": _PERTURBED,
    "perturb_every": {**_PERTURBED, "shrink": 0.995},
    "perturb_with": _PERTURBED,
    "gradient_noise": {"intervention": "upgd"},
    "utility_decay": {"intervention": "upgd"},
    "protect": {"intervention": "upgd"},
    "tortoise_decay": {"intervention": "hare_and_tortoise"},
    "hare_interval": {"intervention": "hare_and_tortoise"},
    "inject_after": {"intervention": "plasticity_injection"},
    "reset_layers": {"intervention": "layer_reset"},
    "dash_rate": {"intervention": "dash"},
    "dash_shrink": {"intervention": "dash"},
    "redo_threshold": {"intervention": "redo"},
    "redo_interval": {"intervention": "redo"},
    "redo_examples": {"intervention": "redo"},
    "cbp_rate": {"intervention": "cbp"},
    "cbp_maturity": {"intervention": "cbp"},
    "cbp_decay": {"intervention": "cbp"},
    "cbp_utility": {"intervention": "cbp"},
    "snr_quantile": {"intervention": "snr"},
    "snr_every": {"intervention": "snr"},
    "snr_max_age": {"intervention": "snr"},
    "width": {"network": "vgg"},
    "width_scale": {"network": "resnet18"},
    "patch_size": {"network": "vit"},
    "vit_depth": {"network": "vit"},
    "vit_heads": {"network": "vit"},
    "vit_dimension": {"network": "vit"},
    "momentum": {"optimizer": "sgd"},
    "nesterov": {"optimizer": "sgd", "momentum": 0.9},
    "step_factor": {"schedule": "step"},
    "step_at": {"schedule": "step"},
    "crop_padding": {"augment": "crop"},
    "examples_per_class": {"criterion": "snip"},
    "early_bird": {"epochs": 9},
    "early_bird_epochs": {"epochs": 9, "early_bird": 0.1},
    "edge_popup_lr": {"criterion": "edge_popup"},
    "edge_popup_momentum": {"criterion": "edge_popup"},
}


def test_every_option_is_looked_at() -> None:
    of_plugins = {"plugin_options"}  # tests/unit/config/test_plugin_options.py
    assert set(CHANGED) | of_plugins == set(TicketsRun.model_fields)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, v in CHANGED.items() if v is not None])
def test_every_option_but_those_that_grow_changes_the_identity(name: str, value: Any) -> None:
    companions = USED_WITH.get(name, {})
    for model in (TicketsRun, StreamRun):
        if name in model.model_fields:
            changed, plain = model(**companions, **{name: value}), model(**companions)
            is_same = name in model.growing | StreamRun.growing
            assert (changed.run_id == plain.run_id) is is_same
            assert name not in model.growing or changed.extent != plain.extent


def test_what_grows_is_how_much_of_a_kind_there_is_and_how_it_is_judged() -> None:
    counts = {"tickets", "untrained_masks", "random_masks", "rewired_masks", "reinit_tickets"}
    counts |= {"supermasks"}
    assert StreamRun.growing == {"tasks", "snapshots"}
    assert TicketsRun.growing == {*counts, "tolerance"}
    assert MeasurementRun.growing == {"snapshots"}
    assert RetrainingRun.growing == {"snapshots", "retraining_pairs", "sparsities"}
    assert TicketBarrierRun.growing == {"ticket_pairs"}
    assert TicketStreamRun.growing == {"ticket_tasks", "ticket_snapshots"}
    assert TicketMeasurementRun.growing == {"ticket_snapshots"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sparsity", 0.9), ("rounds", 2), ("criterion", "random"), ("output_rate", 0.5),
        ("masked", "freeze"), ("plastic_density", "overall"),
    ],
)  # fmt: skip
def test_the_dense_network_learns_the_same_whatever_was_pruned(name: str, value: Any) -> None:
    for subnetwork, is_same in (("dense", True), ("ticket", False), ("random", False)):
        run = TicketStreamRun(subnetwork=subnetwork)
        other = TicketStreamRun(subnetwork=subnetwork, **{name: value})
        assert (other.run_id == run.run_id) is is_same


@pytest.mark.parametrize(
    ("name", "value"),
    [("task", 10), ("rewind_steps", 3), ("lr", 0.1), ("seed", 1), ("ticket", 1)],
)
@pytest.mark.parametrize("subnetwork", ["dense", "ticket", "random", "reinit"])
def test_where_a_ticket_stream_starts_and_what_it_learns_is_its_identity(
    subnetwork: str, name: str, value: Any
) -> None:
    run = TicketStreamRun(subnetwork=subnetwork)
    assert TicketStreamRun(subnetwork=subnetwork, **{name: value}).run_id != run.run_id


@pytest.mark.parametrize("subnetwork", ["dense", "ticket", "random", "reinit"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("tickets", 5), ("untrained_masks", 0), ("rewired_masks", 1), ("tolerance", 0.02),
     ("tasks", 41), ("ticket_tasks", 4), ("ticket_snapshots", (3,))],
)  # fmt: skip
def test_a_ticket_stream_is_the_same_however_far_it_its_search_and_its_stream_have_grown(
    subnetwork: str, name: str, value: Any
) -> None:
    run = TicketStreamRun(subnetwork=subnetwork)
    assert TicketStreamRun(subnetwork=subnetwork, **{name: value}).run_id == run.run_id


def test_a_ticket_stream_stands_on_its_search_and_the_dense_network_on_its_stream() -> None:
    as_far_as_needed = StreamRun(seed=1, tasks=11, snapshots=(10,))
    ticket = TicketStreamRun(seed=1, task=10, sparsity=0.9)
    assert ticket.parent == TicketsRun(seed=1, task=10, sparsity=0.9)
    assert type(ticket.parent) is TicketsRun
    assert ticket.parent.parent == as_far_as_needed
    dense = TicketStreamRun(seed=1, task=10, sparsity=0.9, subnetwork="dense")
    assert dense.parent == as_far_as_needed
    assert dense.parent.run_id == StreamRun(seed=1).run_id
    assert StreamRun().parent is None
    subnetworks = ("dense", "ticket", "random", "reinit")
    assert len({TicketStreamRun(subnetwork=s).run_id for s in subnetworks}) == 4


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
    [
        ("seed", 1), ("shift", "stationary"), ("intervention", "redo"), ("task", 10),
        ("sparsity", 0.9), ("rounds", 2), ("subnetwork", "random"), ("ticket", 1),
    ],
)  # fmt: skip
def test_what_a_sweep_compares_shares_a_protocol(name: str, value: Any) -> None:
    assert TicketStreamRun(**{name: value}).protocol == TicketStreamRun().protocol


@pytest.mark.parametrize("name", [*parameters("shift"), *parameters("intervention")])
def test_doses_share_a_protocol_and_are_runs_of_their_own(name: str) -> None:
    chosen = TicketsRun(**USED_WITH.get(name, {}))
    dose = TicketsRun(**{**USED_WITH.get(name, {}), name: CHANGED[name]})
    of_data = {"dataset": chosen.dataset}
    assert dose.protocol == chosen.protocol == TicketsRun(**of_data).protocol
    assert dose.run_id != chosen.run_id
    assert dose.dose.keys() == chosen.dose.keys() >= {"shift", "intervention", name}
    assert dose.dose != chosen.dose


def test_runs_of_different_doses_have_labels_of_their_own() -> None:
    assert TicketsRun(shift="noise").label == "tickets seed=0 noise task=0 sparsity=0.8"
    dose: dict[str, Any] = {"fraction": 0.5, "intervention": "l2_init", "l2_strength": 1e-3}
    place = "seed=0 permuted_pixels(0.5) l2_init(1e-3)"
    assert StreamRun(**dose).label == f"stream {place}"
    assert (
        TicketStreamRun(**dose, subnetwork="dense").label == f"ticket_stream {place} task=0 dense"
    )


def test_a_dense_ticket_stream_has_no_options_of_the_search() -> None:
    plain = TicketStreamRun(subnetwork="dense")
    changed = TicketStreamRun(subnetwork="dense", tickets=8, masked="freeze", sparsity=0.9)
    assert (changed.run_id, changed.protocol) == (plain.run_id, plain.protocol)
    assert option_values(changed) == option_values(plain)
    assert option_values(plain)["sparsity"] is None


@pytest.mark.parametrize(
    "name",
    ["lr", "epochs", "hidden", "dataset", "criterion", "network", "width", "momentum",
     "probe_classes"],
)  # fmt: skip
def test_everything_else_makes_another_protocol(name: str) -> None:
    chosen = TicketsRun(**USED_WITH.get(name, {}))
    changed = {**USED_WITH.get(name, {}), name: CHANGED[name]}
    assert TicketsRun(**changed).protocol != chosen.protocol


# ------------------------------------------------------------------ parameters that are not used

#: A choice, and parameters that it does not use.
UNUSED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"shift": "stationary"},
        {"fraction": 0.5, "first_task_identity": True, "rotation_range": 90, "noise_step": 0.1,
         "classes_per_task": 5, "period": 2, "gradual": 0.5},
    ),
    (
        {"shift": "permuted_pixels"},
        {"rotation_range": 90, "noise_step": 0.1, "classes_per_task": 5},
    ),
    (
        {"shift": "permuted_labels"},
        {"fraction": 0.5, "rotation_range": 90, "noise_step": 0.1, "classes_per_task": 5},
    ),
    (
        {"shift": "random_labels"},
        {"fraction": 0.5, "rotation_range": 90, "noise_step": 0.1, "classes_per_task": 5},
    ),
    ({"shift": "rotation"}, {"fraction": 0.5, "noise_step": 0.1, "classes_per_task": 5}),
    (
        {"shift": "class_split"},
        {"fraction": 0.5, "first_task_identity": True, "rotation_range": 90, "noise_step": 0.1},
    ),
    (
        {"shift": "noise"},
        {"fraction": 0.5, "first_task_identity": True, "rotation_range": 90, "classes_per_task": 5},
    ),
    (
        {"intervention": "none"},
        {"l2_strength": 1e-3, "shrink": 0.9, "perturb": 0.2, "redo_threshold": 0.1,
         "redo_interval": 7},
    ),
    (
        {"intervention": "l2_init"},
        {"shrink": 0.9, "perturb": 0.2, "perturb_every": "step", "redo_threshold": 0.1,
         "redo_interval": 7},
    ),
    ({"intervention": "l2"}, {"shrink": 0.9, "perturb": 0.2, "redo_threshold": 0.1}),
    ({"intervention": "shrink_and_perturb"}, {"l2_strength": 1e-3, "redo_interval": 7}),
    ({"intervention": "redo"}, {"l2_strength": 1e-3, "shrink": 0.9, "perturb": 0.2}),
    ({"intervention": "reset"}, {"l2_strength": 1e-3, "shrink": 0.9, "redo_threshold": 0.1}),
    ({"network": "mlp"}, {"width": 8, "width_scale": 0.5, "patch_size": 3, "vit_heads": 7}),
    ({"network": "lenet"}, {"hidden": (8,), "width": 8, "width_scale": 0.5}),
    ({"network": "vgg"}, {"hidden": (8,), "width_scale": 0.5, "vit_depth": 2}),
    ({"network": "resnet"}, {"hidden": (8,), "width_scale": 0.5, "vit_dimension": 32}),
    ({"network": "resnet18"}, {"hidden": (8,), "width": 8, "vit_heads": 2}),
    ({"network": "vit"}, {"hidden": (8,), "width": 8, "width_scale": 0.5, "norm": "batch"}),
]  # fmt: skip


@pytest.mark.parametrize(("chosen", "unused"), UNUSED)
def test_a_parameter_that_a_run_does_not_use_is_no_part_of_it(
    chosen: dict[str, Any], unused: dict[str, Any]
) -> None:
    """The run is the same, one by one and together; its row has null for them."""
    for model in (StreamRun, TicketsRun, TicketStreamRun):
        plain = model(**chosen)
        for given in (unused, *({name: value} for name, value in unused.items())):
            run = model(**chosen, **given)
            assert run == plain
            assert (run.run_id, run.protocol) == (plain.run_id, plain.protocol)
            assert option_values(run) == option_values(plain)
        values = option_values(plain)
        assert {values[name] for name in unused} <= {None}


def test_a_used_parameter_stands_in_the_row() -> None:
    run = TicketStreamRun(shift="noise", intervention="redo", subnetwork="dense")
    values = option_values(run)
    assert (values["noise_step"], values["redo_interval"], values["hidden"]) == (0.02, 100, "64")
    assert values["fraction"] is values["l2_strength"] is values["width"] is None
    assert values["momentum"] is values["sparsity"] is None


def test_searches_that_differ_in_an_unused_parameter_stand_on_one_stream() -> None:
    run = TicketsRun(shift="stationary", fraction=0.5, intervention="l2", l2_strength=1e-3)
    assert run.stream == StreamRun(shift="stationary", intervention="l2", l2_strength=1e-3)
    assert run.stream.run_id == StreamRun(
        shift="stationary", fraction=0.25, intervention="l2", l2_strength=1e-3
    ).run_id  # fmt: skip


def test_an_engine_is_not_refused_for_a_parameter_that_is_not_used() -> None:
    assert StreamRun.checked(shift="stationary", gradual=0.5, engine="stacked").gradual == 0


@pytest.fixture
def own_choices(tmp_path: Path) -> Iterator[None]:
    """A shift, a network and an intervention of a plugin."""
    file = tmp_path / "own.py"
    file.write_text(
        "from raylot import plugins\n"
        'plugins.shift("dim")(lambda dataset, options, key, t: 0)\n'
        'plugins.network("mine")(lambda shape, options, classes: 0)\n'
        'plugins.intervention("clip")(lambda options: 0)\n'
    )
    plugins.load(file)
    yield
    plugins.forget()


@pytest.mark.usefixtures("own_choices")
@pytest.mark.parametrize("kind", ["shift", "network", "intervention"])
def test_a_plugins_own_may_use_every_parameter_of_its_kind(kind: str) -> None:
    chosen: Any = {kind: {"shift": "dim", "network": "mine", "intervention": "clip"}[kind]}
    values = option_values(StreamRun(**chosen))
    for name in parameters(kind):
        given = {"shrink": 0.995} if name == "perturb_every" else {}
        run = StreamRun(**chosen, **given)
        assert StreamRun(**chosen, **{**given, name: CHANGED[name]}).run_id != run.run_id
        assert values[name] is not None


@pytest.mark.parametrize(
    ("run_id", "options"),
    [
        ("3fcc64da4547", {"network": "lenet"}),
        ("8ecbbf08bb37", {"network": "resnet", "norm": "batch", "width": 8}),
        ("d767188a55ad", {"shift": "stationary"}),
        ("3df53b1a2de9", {"shift": "rotation", "rotation_range": 90.0}),
        ("5fd948d010e9", {"shift": "noise", "noise_step": 0.1}),
        ("f78485c61739", {"shift": "permuted_labels", "period": 3}),
        ("b8e5bbc98013", {"intervention": "l2", "l2_strength": 1e-3}),
        ("25a838d88885", {"intervention": "redo"}),
        ("26ac7538e4b9", {"optimizer": "sgd"}),
    ],
)
def test_what_is_not_used_and_at_its_default_has_left_identities_alone(
    run_id: str, options: dict[str, Any]
) -> None:
    """Computed once. A new parameter that a run does not use must leave these as they are."""
    assert TicketsRun(**options).run_id == run_id


# ------------------------------------------------------------------ engines


@pytest.mark.parametrize(
    ("engine", "options", "reason"),
    [
        ("fast", {"network": "lenet"}, "network lenet"),
        ("fast", {"norm": "layer"}, "norm layer"),
        ("fast", {"network": "lenet_300_100", "activation": "prelu"}, "activation prelu"),
        ("fast", {"network": "vit"}, "network vit"),
        ("fast", {"intervention": "plasticity_injection"}, "intervention plasticity_injection"),
        ("fast", {"precision": "bfloat16"}, "precision"),
        ("fast", {"device": "cuda"}, "device cuda"),
        ("stacked", {"intervention": "l2_init"}, "intervention l2_init"),
        ("stacked", {"gradual": 0.5}, "gradual"),
        ("stacked", {"network": "resnet", "norm": "batch"}, "norm batch"),
        ("stacked", {"network": "mlp", "norm": "batch"}, "norm batch"),
    ],
)
def test_an_engine_is_refused_what_it_lacks(
    engine: str, options: dict[str, Any], reason: str
) -> None:
    expected = f"engine={engine}: must be auto or generic with {reason}"
    assert refusal(lambda: TicketsRun.checked(engine=engine, **options)) == expected
    for other in ("auto", "generic"):
        assert TicketsRun.checked(engine=other, **options).engine == other


@pytest.mark.parametrize(
    ("engine", "options"),
    [
        ("fast", {"gradual": 0.5, "hidden": "8,4", "weight_decay": 0.1}),
        ("stacked", {"network": "lenet", "optimizer": "sgd", "device": "cuda"}),
        ("fast", {"network": "lenet_300_100"}),
        ("fast", {"dataset": "slowly_changing_regression"}),
        ("stacked", {"network": "vgg", "norm": "none"}),
        ("stacked", {"network": "vit", "norm": "batch"}),  # which vit does not use
    ],
)
def test_an_engine_takes_what_it_can(engine: str, options: dict[str, Any]) -> None:
    run = StreamRun.checked(engine=engine, **options)
    assert run.engine == engine
    assert run.run_id == StreamRun.checked(**options).run_id


# ------------------------------------------------------------------ heads that are reset


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"head_reset": "fresh", "intervention": "hare_and_tortoise"},
            "head_reset=fresh: must be none with intervention hare_and_tortoise, whose tortoise "
            "keeps the old head",
        ),
        (
            {"head_reset": "zero", "intervention": "plasticity_injection"},
            "head_reset=zero: must be none with intervention plasticity_injection, whose frozen "
            "networks go on to answer with the old head",
        ),
        *(
            (
                {"head_reset": "zero", "criterion": criterion, "task": 10},
                f"criterion={criterion}: must be another with head_reset zero, or rewind_steps be "
                "above 0: no gradient passes a head of zeros",
            )
            for criterion in ("snip", "synflow", "edge_popup")
        ),
    ],
)
def test_what_a_reset_head_would_undo_or_stop_is_refused(
    options: dict[str, Any], message: str
) -> None:
    assert refusal(lambda: TicketsRun.checked(**options)) == message


@pytest.mark.parametrize(
    "options",
    [
        {"head_reset": "fresh", "criterion": "snip", "task": 10},
        {"head_reset": "zero", "criterion": "snip", "task": 0},
        {"head_reset": "zero", "criterion": "snip", "task": 10, "rewind_steps": 1},
        {"head_reset": "zero", "criterion": "grasp", "task": 10},
        {"head_reset": "zero", "intervention": "reset"},
    ],
)
def test_a_reset_head_goes_with_the_rest(options: dict[str, Any]) -> None:
    TicketsRun.checked(**options)


# ------------------------------------------------------------------ counts worked out by hand


@pytest.mark.parametrize(
    ("options", "per_task", "stream"),
    [
        # 1,437 images are 45 batches of 32; 10 epochs; 31 tasks.
        ({}, 450, 31 * 450),
        ({"batch_size": 1437, "epochs": 1}, 1, 31),
        ({"batch_size": 1436, "epochs": 1}, 2, 62),
        ({"batch_size": 1, "epochs": 2, "tasks": 1}, 2874, 2874),
        ({"drop_last": True, "epochs": 1}, 44, 31 * 44),  # 1,437 = 44 x 32 + 29
        ({"drop_last": True, "epochs": 1, "batch_size": 1437}, 1, 31),
        # 60,000 images are 1,875 batches of 32; 501 tasks.
        ({"dataset": "mnist", "tasks": 501, "snapshots": "0-:50"}, 18750, 501 * 18750),
    ],
)
def test_training_steps_of_a_stream(options: dict[str, Any], per_task: int, stream: int) -> None:
    run = StreamRun(**options)
    assert run.training_steps_per_task == per_task
    assert run.training_steps == stream


@pytest.mark.parametrize(
    ("options", "trainings", "more"),
    [
        # tickets x (the dense training and one after each round), an untrained and the random masks
        ({"tickets": 4, "rounds": 3}, 4 * 4 + 1 + 4, 0),
        ({"tickets": 10, "rounds": 10, "untrained_masks": 3}, 10 * 11 + 3 + 10, 0),
        (
            {"tickets": 5, "rounds": 1, "rewired_masks": 3, "reinit_tickets": 5},
            10 + 1 + 5 + 3 + 5,
            0,
        ),
        # 2 tickets trained twice, and what comes on top
        ({"rewind_steps": 7}, 4, 2 * 7),
        ({"plastic_task": "unshifted"}, 4, 450),
        ({"plastic_scaling": "unit"}, 4, 450),
        ({"plastic_scaling": "raw"}, 4, 0),  # as the tickets' own
        ({"plastic_density": "overall"}, 4, 0),
    ],
)
def test_training_steps_of_tickets(options: dict[str, Any], trainings: int, more: int) -> None:
    few = (
        {}
        if "tickets" in options
        else {"tickets": 2, "rounds": 1, "random_masks": 0, "untrained_masks": 0}
    )
    run = TicketsRun(**few, **options)
    assert run.trainings == trainings
    assert run.training_steps == trainings * 450 + more


def test_a_longer_ticket_stream_has_the_snapshots_of_a_shorter_one() -> None:
    found = [TicketStreamRun(ticket_tasks=n).ticket_snapshots for n in (1, 9, 10, 99, 100, 1001)]
    assert found == [(0,), (0,), (0, 9), (0, 9), (0, 9, 99), (0, 9, 99, 999)]


def test_a_measurement_of_a_ticket_stream_needs_it_up_to_its_last_snapshot() -> None:
    options = {"seed": 1, "task": 10, "ticket_tasks": 20, "ticket_snapshots": (0, 4)}
    run = TicketMeasurementRun(**options, measured="ntk")
    learner = TicketStreamRun(**options)
    assert type(run.learner) is TicketStreamRun
    assert run.learner.run_id == run.parent.run_id == learner.run_id
    assert run.parent.extent == {"ticket_tasks": 5, "ticket_snapshots": [0, 4]}
    assert run.is_covered_by({"ticket_snapshots": [0, 4, 9]})
    assert (run.training_steps, run.steps_beyond({"ticket_snapshots": [0]})) == (0, 0)
    other = TicketMeasurementRun(**options, measured="ntk", ntk_examples=8)
    assert other.run_id != run.run_id
    assert other.learner.run_id == learner.run_id


def test_training_steps_of_a_ticket_stream() -> None:
    assert TicketStreamRun(ticket_tasks=3).training_steps == 3 * 450


def test_training_steps_of_classes_are_those_of_a_mean_task() -> None:
    run = StreamRun(dataset="mnist", shift="class_split", epochs=1, batch_size=1)
    assert run.training_steps_per_task == 12_000
    assert run.fewest_steps_per_task == 5421 + 5842


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({}, 1437),
        ({"shift": "class_split"}, 139 + 142),
        ({"shift": "class_split", "classes_per_task": 5}, 139 + 142 + 142 + 143 + 144),
    ],
)
def test_drop_last_must_leave_a_batch_of_the_smallest_task(
    options: dict[str, Any], most: int
) -> None:
    refused = refusal(lambda: StreamRun.checked(drop_last=True, batch_size=most + 1, **options))
    assert refused == (
        f"batch_size={most + 1}: must be at most {most} with drop_last, the training examples of "
        "the smallest task"
    )
    StreamRun(drop_last=True, batch_size=most, **options)
    StreamRun(batch_size=most + 1, **options)


def test_a_search_on_the_probe_task_is_another_run_and_protocol() -> None:
    own, probe = TicketsRun(), TicketsRun(search_task="probe")
    assert probe.probe_shift == "permuted_pixels"
    assert own.probe_shift is None
    assert TicketsRun(probe_shift="rotation").run_id == own.run_id
    others = [own, probe, TicketsRun(search_task="probe", probe_shift="rotation")]
    assert len({run.run_id for run in others}) == len({run.protocol for run in others}) == 3
    assert {run.stream.run_id for run in others} == {StreamRun().run_id}


def test_the_dense_network_depends_on_the_search_task_only_if_it_is_rewound() -> None:
    def dense(**options: Any) -> str:
        return TicketStreamRun(subnetwork="dense", **options).run_id

    assert dense() == dense(search_task="probe")
    assert dense(rewind_steps=5) != dense(rewind_steps=5, search_task="probe")
    assert TicketStreamRun().run_id != TicketStreamRun(search_task="probe").run_id


def test_a_search_on_a_smaller_probe_task_takes_fewer_steps() -> None:
    split = TicketsRun(search_task="probe", probe_shift="class_split")
    # 2 of 10 classes: 287 examples on average are 9 batches of 32; 10 epochs
    assert split.training_steps == split.trainings * 90
    # 5 of 10: 718 examples are 23 batches
    more = TicketsRun(search_task="probe", probe_shift="class_split", probe_classes=5)
    assert more.training_steps == more.trainings * 230
    probe: dict[str, Any] = {"search_task": "probe"}
    assert "rewind_steps=100: must be at most" in refusal(
        lambda: TicketsRun.checked(**probe, probe_shift="class_split", rewind_steps=100)
    )
    assert "probe_shift=rotation: must be class_split with shift class_split" in refusal(
        lambda: TicketsRun.checked(**probe, probe_shift="rotation", shift="class_split")
    )
    TicketsRun(search_task="own", probe_shift="rotation", shift="class_split")


def test_a_plugins_shift_that_makes_probe_tasks_is_part_of_a_search(tmp_path: Path) -> None:
    def search(change: int) -> TicketsRun:
        (tmp_path / "mine.py").write_text(
            "from raylot import plugins\n"
            "from raylot.tasks import map_inputs\n"
            "@plugins.shift('mine')\n"
            "def mine(dataset, options, key, t):\n"
            f"    return map_inputs(dataset, lambda x: x + {change})\n"
        )
        plugins.load(tmp_path / "mine.py")
        try:
            return TicketsRun(search_task="probe", probe_shift="mine")
        finally:
            plugins.forget()

    one, other = search(1), search(2)
    assert one.run_id == search(1).run_id != other.run_id
    assert one.stream.run_id == other.stream.run_id == StreamRun().run_id
    assert one.protocol == search(1).protocol != other.protocol
    dense = [run.model_dump() | {"subnetwork": "dense"} for run in (one, other)]
    assert len({TicketStreamRun.checked(**run).protocol for run in dense}) == 1
    rewound = [{**run, "rewind_steps": 3} for run in dense]
    assert len({TicketStreamRun.checked(**run).protocol for run in rewound}) == 2
