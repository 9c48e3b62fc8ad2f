"""Runs of plugins' networks: weights of their own, attention, and what of them is pruned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from raylot import networks, plugins, results
from raylot.config import NetworkOptions, Study
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.networks.initialisation import reinitialised
from raylot.storage import Storage
from raylot.sweep import study_spaces
from raylot.sweep.sweep import Sweep
from raylot.trials.artifacts import masks_path
from raylot.trials.state import tensors_from_bytes
from raylot.trials.stream import StreamTrial
from raylot.trials.ticket_stream import TicketStreamTrial
from raylot.trials.tickets import TicketsTrial
from tests.unit.trials.runs import TINY, finish, run_all, trial_config

_ATTENDING = """
import torch
from torch import nn
from raylot import plugins

class Attending(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.place = nn.Parameter(0.1 * torch.randn(8, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.relu = nn.ReLU()
        self.output = nn.Linear(64, classes)
        nn.init.normal_(self.output.weight, 3.0, 0.01)

    def forward(self, inputs):
        rows = inputs.squeeze(1) / 16 + self.place
        attended, _ = self.attention(rows, rows, rows, need_weights=False)
        return self.output(self.relu(attended).flatten(1))

@plugins.network("attending"PRUNE)
def attending(input_shape, options, classes):
    return Attending(classes)
"""

_NORMED = """
from torch import nn
from raylot import plugins

@plugins.network("normed"PRUNE)
def normed(input_shape, options, classes):
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(64, 4))
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), nn.Linear(4, classes))
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    plugins.forget()
    yield
    plugins.forget()


def _load(folder: Path, source: str, prune: str = "") -> None:
    path = folder / "mine.py"
    path.write_text(source.replace("PRUNE", prune and f", prune={prune}"))
    plugins.load(path)


def _masks(root: Path) -> dict[str, torch.Tensor]:
    """Of the first ticket."""
    runs = results.read(root, "runs").set_index("kind")
    path = masks_path(runs["run_id"]["tickets"], 0)
    tensors = tensors_from_bytes(Storage(root).read(path) or b"")
    return {name.removeprefix("0/"): mask for name, mask in tensors.items()}


@pytest.mark.parametrize("intervention", ["reset", "shrink_and_perturb"])
def test_weights_of_its_own_can_be_drawn_anew_in_every_way(
    tmp_path: Path, intervention: str
) -> None:
    _load(tmp_path, _ATTENDING)
    run_all(
        tmp_path, "ticket", "reinit", network="attending", intervention=intervention,
        reinit_tickets=1,
    )  # fmt: skip
    runs = results.read(tmp_path, "runs")
    assert runs["error"].isna().all()
    assert runs["kind"].value_counts().to_dict() == {
        "stream": 1, "probes": 1, "measurement": 3, "tickets": 1, "ticket_stream": 2,
        "ticket_measurement": 6,
    }  # fmt: skip
    assert set(runs["status"]) == {"finished"}


def test_a_fresh_network_is_what_the_plugin_makes_of_its_key(tmp_path: Path) -> None:
    """Its own initialisation holds, which ``reset_parameters`` of its layers would not give."""
    _load(tmp_path, _ATTENDING)
    options, key = NetworkOptions(network="attending"), RandomKey((1,))
    network = networks.build(options, (1, 8, 8), 10, RandomKey((0,)))
    fresh = reinitialised(reinitialised(network, RandomKey((2,))), key).state_dict()
    built = networks.build(options, (1, 8, 8), 10, key).state_dict()
    assert all(torch.equal(fresh[name], tensor) for name, tensor in built.items())
    assert fresh["output.weight"].mean() == pytest.approx(3, abs=0.01)
    assert not torch.equal(fresh["place"], network.get_parameter("place"))


def test_the_row_says_what_is_not_pruned(tmp_path: Path) -> None:
    _load(tmp_path, _ATTENDING)
    run_all(tmp_path, network="attending")
    notes = results.read(tmp_path, "runs").set_index("kind")["notes"]
    # place 64, in_proj 192, out_proj 64, output 640 weights
    assert notes["tickets"] == (
        "not pruned: place, attention.in_proj_weight (26.7% of all weights); prune= (of "
        "find_tickets, or of @plugins.network) chooses what is pruned"
    )
    assert set(_masks(tmp_path)) == {"attention.out_proj.weight", "output.weight"}


def test_the_plugin_chooses_what_is_pruned(tmp_path: Path) -> None:
    _load(tmp_path, _ATTENDING, prune='["*in_proj*", "output.weight"]')
    run_all(tmp_path, "ticket", "random", network="attending")
    runs = results.read(tmp_path, "runs")
    assert set(runs["status"]) == {"finished"}
    assert runs["notes"].isna().all()
    assert {name: int(mask.sum()) for name, mask in _masks(tmp_path).items()} == {
        "attention.in_proj_weight": 96, "output.weight": 320,
    }  # fmt: skip


def test_the_row_says_that_a_network_begins_without_a_finite_loss(tmp_path: Path) -> None:
    options = {"network": "attending", "snapshots": "0", "tasks": 1}
    _load(tmp_path, _ATTENDING.replace("3.0, 0.01", "float('nan')"), prune='"output.weight"')
    finish(StreamTrial(trial_config(tmp_path, **options)))
    finish(TicketsTrial(trial_config(tmp_path, task=0, **options)))
    notes = results.read(tmp_path, "runs").set_index("kind")["notes"]
    assert notes["tickets"] == (
        "the network's loss on the task's test split is not finite before any training"
    )


def test_the_row_says_which_layer_is_pruned_away(tmp_path: Path) -> None:
    finish(StreamTrial(trial_config(tmp_path)))
    place = {"task": 2, "sparsity": 0.995}  # which leaves 2 of 384 weights, and none of 60
    finish(TicketsTrial(trial_config(tmp_path, **place)))
    for name in ("ticket", "dense"):
        finish(TicketStreamTrial(trial_config(tmp_path, subnetwork=name, **place)))
    runs = results.read(tmp_path, "runs", ["kind", "subnetwork", "notes"])
    told = runs.dropna(subset="notes").fillna("").sort_values("kind", ascending=False)
    assert len(runs) == 4
    assert told[["kind", "subnetwork", "notes"]].to_numpy().tolist() == [
        ["tickets", "", "output.weight: pruned away entirely in 2 of 2 tickets"],
        ["ticket_stream", "ticket", "output.weight: pruned away entirely"],
    ]


def _sweep(root: Path, **options: Any) -> Sweep:
    study = Study.checked(**{**TINY, **options})
    return Sweep(study, Storage(root), *study_spaces(study))


@pytest.mark.parametrize(
    ("source", "prune", "message"),
    [
        (
            _NORMED,
            "",
            "network=normed: module 1 (ParametrizedLinear) computes its weight from other p",
        ),
        (_ATTENDING, "'*.weigth'", "network=attending: prune=*.weigth: must match one of the"),
        (_ATTENDING, "()", "network=attending: prune=(): must choose at least one trainable w"),
    ],
)
def test_a_network_that_cannot_be_pruned_is_refused_before_ray_starts(
    source: str, prune: str, message: str, tmp_path: Path
) -> None:
    _load(tmp_path, source, prune)
    name = message.partition(":")[0].removeprefix("network=")
    with pytest.raises(OptionError) as caught:
        _sweep(tmp_path / "results", network=name).check()
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "results" / "tables").exists()


def test_what_is_not_pruned_is_known_before_ray_starts(tmp_path: Path) -> None:
    _load(tmp_path, _ATTENDING)
    (remark,) = _sweep(tmp_path / "results", network="attending").check()
    assert remark.startswith("network=attending: not pruned: place, attention.in_proj_weight (26.7")


def test_a_plugin_that_chooses_is_told_nothing(tmp_path: Path) -> None:
    _load(tmp_path, _NORMED, prune='"3.weight"')
    assert _sweep(tmp_path / "results", network="normed").check() == []


def test_a_network_that_cannot_be_built_is_refused_before_ray_starts(tmp_path: Path) -> None:
    _load(tmp_path, _NORMED.replace("nn.Flatten()", "nn.Flatten(1 / 0)"))
    with pytest.raises(OptionError, match="network=normed: cannot be built: ZeroDivisionError"):
        _sweep(tmp_path / "results", network="normed").check()
