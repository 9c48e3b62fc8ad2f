"""What is damaged is found, named, and computed again: in tables, compacted tables, artifacts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from raylot import results
from raylot.lease import Lease
from raylot.results.__main__ import main
from raylot.results.integrity import Damage, inspect, mend
from raylot.seal import DamagedFileError
from raylot.storage import Storage
from raylot.trials.state import tensors_from_bytes, tensors_to_bytes
from raylot.trials.stream import StreamTrial, snapshot_path
from raylot.trials.tickets import TicketsTrial, masks_path
from tests.raylot.tables import assert_same_tables
from tests.raylot.trials.runs import run_all, trial_config


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with a stream and its tickets."""
    root = tmp_path_factory.mktemp("whole")
    run_all(root)
    return root


@pytest.fixture
def storage(whole: Path, tmp_path: Path) -> Storage:
    return Storage(shutil.copytree(whole, tmp_path / "copy"))


@pytest.fixture(scope="module")
def run_ids(whole: Path) -> dict[str, str]:
    runs = results.read(whole, "runs")
    return dict(zip(runs["kind"], runs["run_id"], strict=True))


def _damage(storage: Storage, path: str, kept: int = -1) -> None:
    data = storage.read(path)
    assert data
    storage.write(path, data[:kept])


@pytest.mark.parametrize("table", [name for name in results.SCHEMAS if name != "runs"])
@pytest.mark.parametrize("kept", [0, 50, -1])
def test_a_damaged_table_is_found_and_its_run_computed_again(
    storage: Storage, whole: Path, run_ids: dict[str, str], table: str, kept: int
) -> None:
    run_id = run_ids["stream" if table in ("tasks", "plasticity") else "tickets"]
    path = f"tables/{table}/{run_id}.parquet"
    _damage(storage, path, kept)
    (damage,) = inspect(storage).damages
    assert (damage.path, damage.run_ids, damage.is_file) == (path, (run_id,), True)
    assert inspect(storage, set(run_ids.values()) - {run_id}).damages == []
    mend(storage, [damage])
    assert run_id not in results.finished_runs(storage)
    assert storage.read(f"damaged/{path}") is not None
    run_all(Path(storage.root))
    assert_same_tables(whole, Path(storage.root))


def test_damaged_rows_are_never_read(
    storage: Storage, run_ids: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    path = f"tables/tasks/{run_ids['stream']}.parquet"
    _damage(storage, path)
    assert len(results.read(storage, "tasks")) == 0
    assert path in caplog.text
    with pytest.raises(DamagedFileError, match=path):
        results.read_run(storage, "tasks", run_ids["stream"])


def test_a_damaged_end_of_a_run_makes_it_count_as_missing(
    storage: Storage, whole: Path, run_ids: dict[str, str]
) -> None:
    path = f"tables/runs/{run_ids['tickets']}.parquet"
    _damage(storage, path)
    found = inspect(storage)
    assert found.damages == [Damage(path, "its checksum does not fit")]
    assert set(found.runs) == {run_ids["stream"]}
    mend(storage, found.damages)
    assert results.finished_runs(storage) == {run_ids["stream"]}
    run_all(Path(storage.root))
    assert_same_tables(whole, Path(storage.root))


@pytest.mark.parametrize("table", ["tickets", "overlaps"])
def test_rows_that_are_gone_or_too_few_are_missed(
    storage: Storage, run_ids: dict[str, str], table: str
) -> None:
    run_id = run_ids["tickets"]
    rows = results.read_run(storage, table, run_id)
    assert rows
    path = f"tables/{table}/{run_id}.parquet"
    storage.delete_file(path)
    reason = f"0 of the run's {len(rows)} rows are there"
    assert inspect(storage).damages == [Damage(path, reason, (run_id,), is_file=False)]
    results.write(storage, table, run_id, rows[1:])  # whole as a file
    (damage,) = inspect(storage).damages
    assert damage.reason == f"{len(rows) - 1} of the run's {len(rows)} rows are there"
    mend(storage, [damage])
    assert results.finished_runs(storage) == {run_ids["stream"]}


def test_a_damaged_large_file_takes_its_runs_with_it(
    storage: Storage, whole: Path, run_ids: dict[str, str], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    run_all(other, seed=1)
    shutil.copytree(other, storage.root, dirs_exist_ok=True)
    together = tmp_path / "together"
    shutil.copytree(storage.root, together)
    results.compact(storage)
    (name,) = storage.names("tables/tickets/compacted")
    path = f"tables/tickets/compacted/{name}"
    _damage(storage, path)
    fresh = Storage(storage.root)
    found = inspect(fresh)
    assert {damage.path for damage in found.damages} == {path}
    runs = results.read(fresh, "runs")
    searches = set(runs["run_id"][runs["kind"] == "tickets"])
    assert set(found.to_compute_again) == searches
    assert len(searches) == 2
    mend(fresh, found.damages)
    assert not results.finished_runs(fresh) & searches
    run_all(Path(fresh.root))
    run_all(Path(fresh.root), seed=1)
    assert_same_tables(together, Path(fresh.root))
    assert inspect(fresh, artifacts=True).damages == []


@pytest.mark.parametrize("kept", [0, 50, -1])
def test_damaged_artifacts_are_found_when_asked_for(
    storage: Storage, whole: Path, run_ids: dict[str, str], kept: int
) -> None:
    paths = {
        snapshot_path(run_ids["stream"], 2): run_ids["stream"],
        masks_path(run_ids["tickets"]): run_ids["tickets"],
    }
    for path in paths:
        _damage(storage, path, kept)
    assert inspect(storage).damages == []
    found = inspect(storage, artifacts=True).damages
    assert {damage.path: damage.run_ids for damage in found} == {
        path: (run_id,) for path, run_id in paths.items()
    }
    mend(storage, found)
    run_all(Path(storage.root))
    assert_same_tables(whole, Path(storage.root))
    for path in paths:
        assert (Path(storage.root) / path).read_bytes() == (whole / path).read_bytes()


def test_an_artifact_that_is_gone_or_anothers_is_missed(
    storage: Storage, run_ids: dict[str, str]
) -> None:
    stream = run_ids["stream"]
    storage.delete_file(snapshot_path(stream, 0))
    storage.write(snapshot_path(stream, 2), storage.read(snapshot_path(stream, 3)) or b"")
    found = {d.path: d.reason for d in inspect(storage, artifacts=True).damages}
    assert found == {
        snapshot_path(stream, 0): "is not there",
        snapshot_path(stream, 2): "is not what the run wrote",
    }


def test_a_run_that_started_from_something_else_is_computed_again(
    storage: Storage, run_ids: dict[str, str]
) -> None:
    """As when a damaged stream came out otherwise on another device."""
    path = snapshot_path(run_ids["stream"], 2)
    results.forget_runs(storage, {run_ids["stream"]})
    trial = StreamTrial(trial_config(Path(storage.root)))
    while not trial.step()["done"]:
        for name, tensor in trial._network.named_parameters():
            tensor.data += 0.01 if name else 0.0
    (damage,) = inspect(storage).damages
    assert (damage.path, damage.run_ids) == (path, (run_ids["tickets"],))
    assert damage.reason == f"is not what tickets {run_ids['tickets']} started from"
    mend(storage, [damage])
    assert storage.read(path), "the file itself is good"
    config = trial_config(Path(storage.root), task=2)
    while not TicketsTrial(config).step()["done"]:
        pass
    assert inspect(storage, artifacts=True).damages == []


def test_check_lists_what_is_finished_running_and_damaged(
    storage: Storage, run_ids: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", storage.root]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["runs", "finished", "diverged", "failed", "running", "damaged"]
    assert said[1].split() == ["stream", "1", "0", "0", "0", "0"]
    assert said[2].split() == ["tickets", "1", "0", "0", "0", "0"]
    assert said[3] == "Every file is as it was written."

    running = StreamTrial(trial_config(Path(storage.root), seed=7))
    running.step()
    _damage(storage, f"tables/tickets/{run_ids['tickets']}.parquet")
    _damage(storage, snapshot_path(run_ids["stream"], 0))
    before = {p: p.read_bytes() for p in Path(storage.root).rglob("*") if p.is_file()}
    capsys.readouterr()  # what the worker logs
    assert main(["check", storage.root]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[1].split() == ["stream", "0", "0", "0", "1", "1"]
    assert said[2].split() == ["tickets", "0", "0", "0", "0", "1"]
    assert said[3] == (
        f"running: stream seed=7 permuted_pixels ({running.run.run_id}), 1 of 4 steps saved"
    )
    assert [line.split(":")[0] for line in said[4:6]] == ["damaged", "damaged"]
    assert said[6] == "2 damaged, 2 ended runs to compute again."
    assert before == {p: p.read_bytes() for p in Path(storage.root).rglob("*") if p.is_file()}

    assert main(["check", "--repair", storage.root]) == 1
    assert main(["check", storage.root]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Every file is as it was written."
    assert not results.finished_runs(storage)


def test_a_damaged_state_is_named_and_no_run_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = StreamTrial(trial_config(tmp_path))
    trial.step()
    path = f"state/{trial.run.run_id}/state.safetensors"
    _damage(Storage(tmp_path), path)
    assert main(["check", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert f"damaged: {path}: its checksum does not fit" in said
    assert "running:" not in said
    again = StreamTrial(trial_config(tmp_path))
    assert again.step()["notes"] == [
        f"{path}: damaged (its checksum does not fit); stream seed=0 permuted_pixels starts anew"
    ]


def test_results_of_an_older_raylot_are_whole(storage: Storage, run_ids: dict[str, str]) -> None:
    """They say nothing of their files, and have no checksums."""
    for table in results.SCHEMAS:
        for run_id in run_ids.values():
            rows = results.read_run(storage, table, run_id)
            if table == "runs" and rows:
                results.write(storage, table, run_id, [{**rows[0], "files": None, "inputs": None}])
    path = snapshot_path(run_ids["stream"], 0)
    tensors = tensors_from_bytes(storage.read(path) or b"")
    storage.write(path, tensors_to_bytes(tensors).replace(b"raylot-sha256:", b"raylot-shaxxx:"))
    assert inspect(storage, artifacts=True).damages == []


class _CompactedMeanwhile(Storage):
    """A storage that is compacted between two looks at it."""

    def __init__(self, root: str, after: int) -> None:
        super().__init__(root)
        self.left = after

    def names(self, folder: str) -> list[str]:
        found = super().names(folder)
        self.left -= 1
        if self.left == 0:
            results.compact(self.root)
        return found


@pytest.mark.parametrize("after", range(1, 20))
def test_a_compaction_meanwhile_is_no_damage(storage: Storage, tmp_path: Path, after: int) -> None:
    other = tmp_path / "other"
    run_all(other, seed=1)
    shutil.copytree(other, storage.root, dirs_exist_ok=True)
    assert inspect(_CompactedMeanwhile(storage.root, after)).damages == []


def test_a_file_that_is_not_what_its_run_says_is_computed_again_with_what_stands_on_it(
    storage: Storage, run_ids: dict[str, str]
) -> None:
    """As when an attempt that was overtaken wrote last."""
    path = snapshot_path(run_ids["stream"], 2)
    tensors = tensors_from_bytes(storage.read(path) or b"")
    storage.write(path, tensors_to_bytes({name: t + 1 for name, t in tensors.items()}))
    results.forget_runs(storage, {run_ids["tickets"]})
    trial = TicketsTrial(trial_config(Path(storage.root), task=2))
    while not trial.step()["done"]:
        pass
    (damage,) = inspect(storage).damages
    assert set(damage.run_ids) == set(run_ids.values())
    mend(storage, [damage])
    run_all(Path(storage.root))
    assert inspect(storage, artifacts=True).damages == []


def test_compaction_keeps_what_was_computed_again(storage: Storage, tmp_path: Path) -> None:
    """The removal of a run from large files was killed after the first of them."""
    other = tmp_path / "other"
    run_all(other, seed=1)
    shutil.copytree(other, storage.root, dirs_exist_ok=True)
    results.compact(storage)
    run_id = results.read(storage, "tasks")["run_id"].iloc[0]
    rows = results.read_run(storage, "tasks", run_id)
    assert rows
    again = [{**row, "test_accuracy": 0.125} for row in rows]
    results.write(storage, "tasks", run_id, again)
    results.compact(storage)
    assert {row["test_accuracy"] for row in results.read_run(storage, "tasks", run_id) or []} == {
        0.125
    }
    assert len(results.read(storage, "tasks")) == 8


def test_a_large_file_without_a_checksum_that_is_damaged_is_named(
    storage: Storage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    run_all(other, seed=1)
    shutil.copytree(other, storage.root, dirs_exist_ok=True)
    results.compact(storage)
    (name,) = storage.names("tables/tickets/compacted")
    path = f"tables/tickets/compacted/{name}"
    content = bytearray((storage.read(path) or b"").replace(b"raylot-sha256:", b"raylot-shaxxx:"))
    content[10:200] = b"\xff" * 190
    storage.write(path, bytes(content))
    fresh = Storage(storage.root)
    assert len(results.read(fresh, "tickets")) == 0
    assert main(["check", storage.root]) == 1
    assert f"damaged: {path}: " in capsys.readouterr().out


def test_nothing_is_repaired_while_a_sweep_is_in_charge(
    storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    with Lease(storage):
        assert main(["check", "--repair", storage.root]) == 2
        assert "must not be in use; another sweep (process" in capsys.readouterr().err
        assert main(["check", storage.root]) == 0
        assert "in charge: another sweep (process" in capsys.readouterr().out
    assert main(["check", "--repair", storage.root]) == 0
