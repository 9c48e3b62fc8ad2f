"""The trials of pairs: copies of snapshots, and a search's tickets, trained in two data orders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from raylot import interventions, networks, results
from raylot.config import StreamRun
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import density
from raylot.results.integrity import inspect
from raylot.storage import Storage
from raylot.tickets import masks_from_tensors
from raylot.training import evaluate, train
from raylot.trials.artifacts import masks_path, snapshot_path
from raylot.trials.retrainings import RetrainingTrial
from raylot.trials.state import tensors_from_bytes
from raylot.trials.stream import StreamTrial
from raylot.trials.ticket_barriers import TicketBarrierTrial
from raylot.trials.tickets import TicketsTrial
from tests.unit.sweep.other_machine import change_row
from tests.unit.trials.runs import finish, trial_config

_MEANS = ["test_error", "test_loss", "train_loss"]
_BARRIERS = [f"{name}_barrier" for name in _MEANS]
_EPOCHS = {"epochs": 3}


def _retrained(root: Path, **options: Any) -> list[dict[str, Any]]:
    """Trains pairs of copies of a stream's snapshots; returns what each step reported."""
    config = trial_config(root, measured="retrainings", **{**_EPOCHS, **options})
    return finish(RetrainingTrial(config))


def _paired(root: Path, **options: Any) -> list[dict[str, Any]]:
    """Trains pairs of the tickets of snapshot 2; returns what each step reported."""
    config = trial_config(root, measured="ticket_barriers", task=2, **options)
    return finish(TicketBarrierTrial(config))


def _new_steps(reports: list[dict[str, Any]]) -> int:
    return sum(report["new_training_steps"] for report in reports)


@pytest.fixture
def stream(tmp_path: Path) -> StreamRun:
    """A stream in ``tmp_path`` with snapshots 0, 2 and 3."""
    trial = StreamTrial(trial_config(tmp_path, **_EPOCHS))
    finish(trial)
    return trial.run


def test_each_pair_of_copies_has_a_barrier_and_each_copy_its_mask_distances(
    tmp_path: Path, stream: StreamRun
) -> None:
    reports = _retrained(tmp_path, retraining_pairs=2)
    rows = results.read(tmp_path, "barriers")
    assert list(zip(rows["task"], rows["pair"], strict=True)) == [
        (t, p) for t in (0, 2, 3) for p in (0, 1)
    ]
    assert set(rows["stream_run_id"]) == {stream.run_id}
    assert set(rows["trained"]) == {"snapshot"}
    assert rows[_MEANS].gt(0).all(axis=None)
    assert rows[_BARRIERS].ge(0).all(axis=None)
    assert rows[["sparsity", "ticket_a", "ticket_b", "jaccard"]].isna().all(axis=None)
    assert _new_steps(reports) == 3 * 2 * 2 * 18
    distances = results.read(tmp_path, "mask_distances")
    # from the epoch before and to the last, 3 epochs each; and one between the copies of a pair
    per_copy = distances.groupby(["task", "sparsity", "scope", "copy"])["epoch"].count()
    assert per_copy.tolist() == 3 * 2 * 2 * [7, 6, 7, 6]
    assert distances["distance"].between(0, 1).all()
    between = distances[distances["compared_with"] == "other"]
    assert set(between["copy"]) == {0, 2}
    assert between["distance"].gt(0).all()
    assert not distances.duplicated(
        ["task", "sparsity", "scope", "copy", "epoch", "compared_with"]
    ).any()  # fmt: skip


@pytest.mark.parametrize("intervention", ["none", "l2_init"])
def test_a_row_is_what_training_two_copies_finds(tmp_path: Path, intervention: str) -> None:
    """With the stream's own task, budget, intervention and beginning."""
    options = {"intervention": intervention, "l2_strength": 0.01, **_EPOCHS}
    finish(StreamTrial(trial_config(tmp_path, **options)))
    _retrained(tmp_path, **options)
    trial = RetrainingTrial(trial_config(tmp_path, measured="retrainings", **options))
    trial.begin()
    run, task = trial.run, trial.task(3)
    path = snapshot_path(run.stream.run_id, 3)
    saved = tensors_from_bytes(Storage(tmp_path).read(path) or b"")
    found, masks = [], []
    for copy in (0, 1):
        network = networks.with_state(trial._built, saved)
        train(
            network, task, epochs=3, batch_size=256, optimizer=run,
            key=RandomKey((0, "retraining", copy)), initial=trial._initial,
            intervention=interventions.make(run),
        )  # fmt: skip
        found.append(network)
        sizes = torch.cat([network.get_parameter(n).abs().flatten() for n in _weights(network)])
        masks.append(sizes >= sizes.sort().values[-round(0.2 * len(sizes))])
    ends = [evaluate(network, task) for network in found]
    a, b = (network.state_dict() for network in found)
    middle = networks.with_state(found[0], {n: (a[n] + b[n]) / 2 for n in a})
    highest = max(1 - e.accuracy for e in (*ends, evaluate(middle, task)))
    (row,) = results.read(tmp_path, "barriers").query("task == 3").to_dict("records")
    mean = 1 - (ends[0].accuracy + ends[1].accuracy) / 2
    assert row["test_error"] == pytest.approx(mean)
    assert row["test_loss"] == pytest.approx((ends[0].loss + ends[1].loss) / 2)
    assert row["test_error_barrier"] == pytest.approx(highest - mean)
    distances = results.read(tmp_path, "mask_distances")
    (between,) = distances.query(
        "task == 3 and compared_with == 'other' and sparsity == 0.8 and scope == 'global'"
    ).to_dict("records")
    assert between["distance"] == int((masks[0] ^ masks[1]).sum()) / len(masks[0])
    assert between["epoch"] == 3


def _weights(network: torch.nn.Module) -> list[str]:
    return [name for name, weight in network.named_parameters() if weight.ndim > 1]


def test_both_copies_learn_alike_from_all_snapshots_of_a_stationary_stream(tmp_path: Path) -> None:
    """Pair p has the same two data orders everywhere: two equal snapshots give one row."""
    options = {"shift": "stationary", "optimizer": "sgd", "lr": 1e-30, **_EPOCHS}
    finish(StreamTrial(trial_config(tmp_path, **options)))
    _retrained(tmp_path, **options)
    rows = results.read(tmp_path, "barriers")
    assert len(rows[[*_MEANS, *_BARRIERS]].drop_duplicates()) == 1
    assert rows[_BARRIERS].eq(0).all(axis=None)


@pytest.mark.usefixtures("stream")
def test_what_is_asked_for_later_equals_what_is_asked_for_at_once(tmp_path: Path) -> None:
    once = tmp_path / "once"
    finish(StreamTrial(trial_config(once, **_EPOCHS)))
    _retrained(once, retraining_pairs=2)
    expected = [results.read(once, table) for table in ("barriers", "mask_distances")]
    before = results.read(tmp_path, "runs").query("kind == 'stream'")
    assert _new_steps(_retrained(tmp_path, snapshots="0,2", sparsities="0.8")) == 2 * 2 * 18
    # one more pair of two snapshots, two of the third
    more = {"retraining_pairs": 2, "sparsities": "0.8"}
    assert _new_steps(_retrained(tmp_path, **more)) == (2 + 2) * 2 * 18
    # all again for another sparsity
    grown = RetrainingTrial(
        trial_config(tmp_path, measured="retrainings", **{**_EPOCHS, "retraining_pairs": 2})
    )
    there = {"snapshots": [0, 2, 3], "retraining_pairs": 2, "sparsities": [0.8]}
    assert grown.run.steps_beyond(there) == 6 * 2 * 18
    assert _new_steps(finish(grown)) == 6 * 2 * 18
    for table, rows in zip(("barriers", "mask_distances"), expected, strict=True):
        pd.testing.assert_frame_equal(results.read(tmp_path, table), rows)
    runs = results.read(tmp_path, "runs")
    pd.testing.assert_frame_equal(runs.query("kind == 'stream'"), before, check_dtype=False)
    (notes,) = runs.query("kind == 'retrainings'")["notes"]
    assert pd.isna(notes)
    assert inspect(Storage(tmp_path), artifacts=True).damages == []


@pytest.mark.usefixtures("stream")
def test_copies_that_come_out_otherwise_when_trained_again_are_told_of(tmp_path: Path) -> None:
    """As on another machine."""
    _retrained(tmp_path, snapshots="0,2", sparsities="0.8")
    (run_id,) = results.read(tmp_path, "barriers")["run_id"].unique()
    change_row(Storage(tmp_path), run_id, 1, "barriers")
    _retrained(tmp_path, snapshots="0,2", sparsities="0.8,0.9")
    (notes,) = results.read(tmp_path, "runs").query("kind == 'retrainings'")["notes"]
    assert "came out otherwise than those of the barriers" in notes


def test_a_training_that_diverges_has_no_barrier_and_says_so(tmp_path: Path) -> None:
    options = {"optimizer": "sgd", "lr": 100.0, "weight_decay": 100.0, "snapshots": "0"}
    finish(StreamTrial(trial_config(tmp_path, **options, **_EPOCHS)))
    _retrained(tmp_path, **options)
    (row,) = results.read(tmp_path, "barriers").to_dict("records")
    assert np.isnan([row[name] for name in _BARRIERS]).all()
    assert results.read(tmp_path, "mask_distances").empty
    (run,) = results.read(tmp_path, "runs").query("kind == 'retrainings'").to_dict("records")
    assert run["status"] == "finished"
    assert "where a training diverged" in run["notes"]


@pytest.mark.parametrize("network", ["mlp", "lenet"])
def test_tickets_are_trained_once_more_as_their_search_did(tmp_path: Path, network: str) -> None:
    """So each end of the line is the ticket whose accuracy stands in ``tickets``."""
    options = {"network": network, "tickets": 4, "rewind_steps": 2, "norm": "none"}
    finish(StreamTrial(trial_config(tmp_path, **options)))
    finish(TicketsTrial(trial_config(tmp_path, task=2, **options)))
    tickets = results.read(tmp_path, "tickets").query("control == 'ticket' and round == 2")
    accuracies = tickets.sort_values("ticket")["test_accuracy"].to_numpy()
    reports = _paired(tmp_path, ticket_pairs=2, **options)
    rows = results.read(tmp_path, "barriers")
    assert rows[["pair", "ticket_a", "ticket_b"]].to_numpy().tolist() == [[0, 0, 1], [1, 2, 3]]
    np.testing.assert_allclose(rows["test_error"], 1 - accuracies.reshape(2, 2).mean(1))
    assert rows[_BARRIERS].ge(0).all(axis=None)
    assert _new_steps(reports) == 2 * 2 * (6 + 2)
    overlaps = results.read(tmp_path, "overlaps").query("layer == 'all'")
    joined = rows.merge(overlaps, on=["task", "sparsity", "ticket_a", "ticket_b"])
    assert (joined["compared_with"] == "ticket").all()
    for name in ("jaccard", "chance", "corrected"):
        assert (joined[f"{name}_x"] == joined[f"{name}_y"]).all()


def test_the_line_between_tickets_joins_their_masked_weights(tmp_path: Path) -> None:
    finish(StreamTrial(trial_config(tmp_path)))
    search = TicketsTrial(trial_config(tmp_path, task=2))
    finish(search)
    _paired(tmp_path)
    trial = TicketBarrierTrial(trial_config(tmp_path, measured="ticket_barriers", task=2))
    trial.begin()
    path = snapshot_path(trial.run.stream.run_id, 2)
    saved = tensors_from_bytes(Storage(tmp_path).read(path) or b"")
    task, own = trial._search._task, trial._search.network
    found = []
    for ticket in (0, 1):
        tensors = tensors_from_bytes(
            Storage(tmp_path).read(masks_path(search.run.run_id, ticket)) or b""
        )
        masks = masks_from_tensors(tensors, like=trial._search.masks[0])[ticket]
        assert density(masks) == pytest.approx(0.5, abs=0.01)
        network = networks.with_state(own, saved)
        key = RandomKey((0, "tickets", 2)).child("ticket", ticket, "round", 2)
        train(
            network, task, epochs=1, batch_size=256, optimizer=trial.run, key=key, masks=masks
        )  # fmt: skip
        assert all((network.get_parameter(n)[~mask] == 0).all() for n, mask in masks.items())
        found.append(network)
    a, b = (network.state_dict() for network in found)
    middle = networks.with_state(own, {n: (a[n] + b[n]) / 2 for n in a})
    losses = [evaluate(network, task).loss for network in (found[0], middle, found[1])]
    (row,) = results.read(tmp_path, "barriers").to_dict("records")
    mean = (losses[0] + losses[2]) / 2
    assert row["test_loss"] == pytest.approx(mean)
    assert row["test_loss_barrier"] == pytest.approx(max(losses) - mean)


def test_more_pairs_of_tickets_are_added_and_nothing_is_searched_again(tmp_path: Path) -> None:
    options = {"tickets": 4}
    finish(StreamTrial(trial_config(tmp_path, **options)))
    finish(TicketsTrial(trial_config(tmp_path, task=2, **options)))
    _paired(tmp_path, ticket_pairs=2, **options)
    expected = results.read(tmp_path, "barriers")
    (run_id,) = expected["run_id"].unique()
    results.forget_runs(Storage(tmp_path), {run_id})
    others = results.read(tmp_path, "runs")
    assert _new_steps(_paired(tmp_path, **options)) == 2 * 6
    assert _new_steps(_paired(tmp_path, ticket_pairs=2, **options)) == 2 * 6
    pd.testing.assert_frame_equal(results.read(tmp_path, "barriers"), expected)
    runs = results.read(tmp_path, "runs")
    pd.testing.assert_frame_equal(
        runs[runs["run_id"] != run_id].reset_index(drop=True), others.reset_index(drop=True)
    )
    assert inspect(Storage(tmp_path), artifacts=True).damages == []
