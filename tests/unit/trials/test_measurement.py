"""The measurement trial: what it finds in snapshots."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from raylot import networks, plasticity, plugins, results
from raylot.config import PlasticityOptions, StreamRun
from raylot.foundation.randomness import RandomKey
from raylot.results.integrity import inspect
from raylot.storage import Storage
from raylot.trials.artifacts import initial_network, snapshot_path
from raylot.trials.measurement import MeasurementTrial, TicketMeasurementTrial
from raylot.trials.state import tensors_from_bytes
from raylot.trials.stream import StreamTrial
from raylot.trials.ticket_stream import TicketStreamTrial
from raylot.trials.tickets import TicketsTrial
from tests.unit.trials.runs import finish, trial_config

_ALL = {"ntk_examples": 4, "sharpness_iterations": 2}


def _measured(root: Path, measured: str, **options: Any) -> pd.DataFrame:
    """Measures, and returns what is new in ``plasticity``."""
    config = trial_config(root, measured=measured, **{**_ALL, **options})
    finish(MeasurementTrial(config))
    rows = results.read(root, "plasticity")
    return rows[rows["run_id"] == MeasurementTrial(config).run.run_id]


@pytest.fixture
def stream(tmp_path: Path) -> StreamRun:
    """A stream in ``tmp_path`` with snapshots 0, 2 and 3."""
    trial = StreamTrial(trial_config(tmp_path))
    finish(trial)
    run = trial.run
    assert isinstance(run, StreamRun)
    return run


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "mine.py").write_text(
        "from raylot import plugins\n"
        "@plugins.metric('broken')\n"
        "def broken(probe):\n"
        "    return 1 / 0\n"
        "@plugins.metric('units', of='activations')\n"
        "def units(layer, options):\n"
        "    return layer.outputs.shape[1] + options.probe_size + hasattr(options, 'tasks')\n"
    )
    plugins.load(tmp_path / "mine.py")
    yield
    plugins.forget()


def test_all_measurements_together_are_what_measure_finds(
    tmp_path: Path, stream: StreamRun
) -> None:
    parts = [_measured(tmp_path, name) for name in (*plasticity.GROUPS, "sharpness", "ntk")]
    found = pd.concat(parts)
    trial = MeasurementTrial(trial_config(tmp_path, measured="ntk", **_ALL))
    trial.begin()
    saved = tensors_from_bytes(Storage(tmp_path).read(snapshot_path(stream.run_id, 2)) or b"")
    initial = initial_network(stream, trial.task(0))
    network = networks.with_state(initial, saved)
    options = PlasticityOptions(probe_size=20, ntk_examples=4, sharpness_iterations=2)
    expected = plasticity.measure(
        network, trial.task(2), options, RandomKey((stream.seed, "probe")),
        initial=initial.state_dict(),
    )  # fmt: skip
    rows = found[found["task"] == 2].set_index(["layer", "metric"])["value"]
    assert len(rows) == len(expected)
    for row in expected:
        assert rows[row["layer"], row["metric"]] == row["value"]


def test_further_measures_are_asked_for_later_and_train_nothing(
    tmp_path: Path, stream: StreamRun
) -> None:
    """They are what `measure` finds in a snapshot of a stream that has ended."""
    options = {
        "hessian_iterations": 3, "hessian_starts": 1, "trace_ntk_examples": 4,
        "sample_plasticity_examples": 4, "churn_batches": 2,
    }  # fmt: skip
    before = {name: results.read(tmp_path, name) for name in ("plasticity", "tasks")}
    asked = {**options, "measures": tuple(plasticity.FURTHER)}
    found = pd.concat([_measured(tmp_path, name, **asked) for name in plasticity.FURTHER])
    runs = results.read(tmp_path, "runs").query("kind == 'measurement'")
    assert set(runs["measured"]) == {*plasticity.FURTHER}
    assert set(runs["status"]) == {"finished"}
    assert set(runs["training_steps"]) == {0}
    for name, table in before.items():
        after = results.read(tmp_path, name)
        kept = after[after["run_id"] == stream.run_id].reset_index(drop=True)
        pd.testing.assert_frame_equal(kept, table)

    trial = MeasurementTrial(trial_config(tmp_path, measured="churn", **_ALL, **asked))
    trial.begin()
    saved = tensors_from_bytes(Storage(tmp_path).read(snapshot_path(stream.run_id, 2)) or b"")
    expected = plasticity.measure(
        networks.with_state(initial_network(stream, trial.task(0)), saved), trial.task(2),
        PlasticityOptions(probe_size=20, ntk_examples=0, sharpness_iterations=0, **options),
        RandomKey((stream.seed, "probe")), built_in=(), measures=plasticity.FURTHER,
        training=stream,
    )  # fmt: skip
    rows = found[found["task"] == 2].set_index(["layer", "metric"])["value"]
    assert rows.to_dict() == {(row["layer"], row["metric"]): row["value"] for row in expected}
    assert found.groupby("metric")["task"].unique().map(list).tolist() == [[0, 2, 3]] * 12


def test_a_ticket_stream_is_measured_with_its_live_weights(tmp_path: Path) -> None:
    """With the ticket's masks, and not as the dense network would be."""
    of_ticket = {"task": 2, "subnetwork": "ticket", "ticket_snapshots": "0"}
    for kind, of in (
        (StreamTrial, {}),
        (TicketsTrial, {"task": 2}),
        (TicketStreamTrial, of_ticket),
    ):
        finish(kind(trial_config(tmp_path, **of)))
    config = trial_config(tmp_path, measured="churn", measures="churn", **of_ticket)
    finish(TicketMeasurementTrial(config))
    (found,) = results.read(tmp_path, "plasticity").query("metric == 'churn'")["value"]

    trial = TicketMeasurementTrial(config)
    trial.prepare()
    run, t = trial.run, trial.run.first_task
    snapshot = trial.read_snapshot(t)
    assert snapshot is not None
    network = networks.with_state(trial._built, snapshot)
    options, key = PlasticityOptions(probe_size=20), RandomKey((run.seed, "probe"))
    masked, dense = (
        plasticity.measure(
            network, trial.task(t), options, key, masks=masks, built_in=(), measures=["churn"],
            training=run,
        )[-1]["value"]
        for masks in (trial._masks, None)
    )  # fmt: skip
    assert found == masked < dense


@pytest.mark.parametrize(
    ("measured", "settings"),
    [
        ("weights", []),
        ("structure", ["probe_size=20"]),
        ("dormant", ["probe_size=20, dormant_threshold=0.025"]),
        ("sharpness", ["probe_size=20, sharpness_iterations=2"]),
        ("ntk", ["ntk_examples=4"]),
    ],
)
@pytest.mark.usefixtures("stream")
def test_rows_say_how_they_were_measured(
    tmp_path: Path, measured: str, settings: list[str]
) -> None:
    rows = _measured(tmp_path, measured)
    assert rows["setting"].dropna().unique().tolist() == settings
    assert rows["task"].unique().tolist() == [0, 2, 3]


@pytest.mark.usefixtures("stream", "plugin")
def test_a_plugin_measures_alone_and_cannot_see_how_far_the_run_goes(tmp_path: Path) -> None:
    rows = _measured(tmp_path, "metric", metrics="units")
    assert set(rows["metric"]) == {"units"}
    assert set(rows["value"]) == {6.0 + 20}  # the option ``tasks`` is not there
    assert rows["setting"].str.fullmatch("probe_size=20, .*code=[0-9a-f]{12}").all()


def test_snapshots_that_a_diverged_stream_lacks_are_left_out(tmp_path: Path) -> None:
    options = {"optimizer": "sgd", "lr": 100.0, "weight_decay": 100.0}
    finish(StreamTrial(trial_config(tmp_path, **options)))
    assert results.read(tmp_path, "tasks")["task"].max() < 3
    rows = _measured(tmp_path, "structure", **options)
    left = Storage(tmp_path).names(f"artifacts/{rows['stream_run_id'].iloc[0]}")
    assert left == [f"snapshot-{task}.safetensors" for task in rows["task"].unique()]
    assert set(results.read(tmp_path, "runs")["status"]) == {"diverged", "finished"}
    # A stream that is computed again may come further: then the measurement is out of date.
    storage, stream_run_id = Storage(tmp_path), rows["stream_run_id"].iloc[0]
    (row,) = results.read_run(storage, "runs", stream_run_id) or []
    later = {f"artifacts/{stream_run_id}/snapshot-3.safetensors": "checksum"}
    row["files"] = json.dumps({**json.loads(row["files"]), **later})
    results.write(storage, "runs", stream_run_id, [row])
    (damage,) = inspect(storage).damages
    assert damage.run_ids == (rows["run_id"].iloc[0],)


@pytest.mark.usefixtures("stream")
def test_later_snapshots_are_added(tmp_path: Path) -> None:
    _measured(tmp_path, "structure", snapshots="2")
    there = results.read(tmp_path, "plasticity").query("task == 2 and setting.notna()")
    grown = MeasurementTrial(trial_config(tmp_path, measured="structure", **_ALL))
    assert len(finish(grown)) == 2
    rows = results.read(tmp_path, "plasticity").query("setting.notna()")
    assert rows["task"].unique().tolist() == [0, 2, 3]
    kept = rows[rows["task"] == 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, there.reset_index(drop=True))


@pytest.mark.parametrize("grows", [False, True])
def test_another_snapshot_than_it_began_with_is_measured_anew(
    tmp_path: Path, stream: StreamRun, grows: bool
) -> None:
    """Also one that was measured before the run grew."""
    if grows:
        _measured(tmp_path, "structure", snapshots="0")
    config = trial_config(tmp_path, measured="structure", **_ALL)
    begun = MeasurementTrial(config)
    begun.step()
    results.forget_runs(Storage(tmp_path), {stream.run_id})
    Storage(tmp_path).delete_folder(f"artifacts/{stream.run_id}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "build", _otherwise_initialised(networks.build))
        finish(StreamTrial(trial_config(tmp_path)))
    assert len(finish(MeasurementTrial(config))) == 3
    rows = results.read(tmp_path, "plasticity").query("setting.notna()")
    assert rows["task"].unique().tolist() == [0, 2, 3]
    assert not rows.duplicated(["task", "layer", "metric"]).any()
    (run,) = results.read(tmp_path, "runs").query("kind == 'measurement'").to_dict("records")
    assert run["status"] == "finished"
    assert inspect(Storage(tmp_path), artifacts=True).damages == []


def test_a_snapshot_that_is_gone_from_a_stream_that_diverged_since_leaves_no_rows(
    tmp_path: Path, stream: StreamRun
) -> None:
    config = trial_config(tmp_path, measured="structure", **_ALL)
    begun = MeasurementTrial(config)
    begun.step()
    begun.step()
    storage = Storage(tmp_path)
    (row,) = results.read_run(storage, "runs", stream.run_id) or []
    files = json.loads(row["files"])
    gone = ("-2.safetensors", "-3.safetensors")
    left = {name: of for name, of in files.items() if not name.endswith(gone)}
    assert len(left) == len(files) - 2
    row |= {"status": "diverged", "files": json.dumps(left)}
    results.write(storage, "runs", stream.run_id, [row])
    finish(MeasurementTrial(config))
    rows = results.read(tmp_path, "plasticity").query("setting.notna()")
    assert rows["task"].unique().tolist() == [0]


def _otherwise_initialised(build: Any) -> Any:
    def built(
        run: StreamRun, shape: Any, classes: int, key: RandomKey, prepare: Any = None
    ) -> torch.nn.Module:
        network: torch.nn.Module = build(run, shape, classes, key.child("other"), prepare)
        return network

    return built


@pytest.mark.usefixtures("stream", "plugin")
def test_a_metric_that_fails_is_noted_and_its_run_finishes(tmp_path: Path) -> None:
    config = trial_config(tmp_path, measured="metric", metrics="broken")
    reports = finish(MeasurementTrial(config))
    reason = "broken: NaN, as computing it raised ZeroDivisionError: division by zero"
    (run,) = results.read(tmp_path, "runs").query("kind == 'measurement'").to_dict("records")
    assert (run["status"], run["notes"]) == ("finished", f"{reason} (at mine.py:4)")
    rows = results.read(tmp_path, "plasticity").query("metric == 'broken'")
    assert rows["value"].isna().tolist() == [True] * 3
    told = [note for report in reports for note in report["notes"]]
    assert [reason in note for note in told] == [True]  # three snapshots, told once
