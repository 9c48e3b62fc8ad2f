"""What is damaged is found, named, and computed again: in tables, compacted tables, artifacts."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from raylot import results
from raylot.command.main import main
from raylot.results import commands
from raylot.results.integrity import Damage, inspect, mend
from raylot.storage import Storage
from raylot.storage.checksum import DamagedFileError
from raylot.storage.lease import Lease
from raylot.trials.artifacts import masks_path, snapshot_path
from raylot.trials.stream import StreamTrial
from raylot.trials.tickets import TicketsTrial
from tests.support.tables import OF_PAIRS, assert_same_tables
from tests.unit.trials.runs import finish, run_all, trial_config


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
    """Kind of run, or what it measures -> run_id."""
    runs = results.read(whole, "runs")
    return dict(zip(runs["measured"].fillna(runs["kind"]), runs["run_id"], strict=True))


def _damage(storage: Storage, path: str, kept: int = -1) -> None:
    data = storage.read(path)
    assert data
    storage.write(path, data[:kept])


@pytest.mark.parametrize("table", [t for t in results.SCHEMAS if t not in OF_PAIRS])
@pytest.mark.parametrize("kept", [0, 50, -1])
def test_a_damaged_table_is_found_and_its_run_computed_again(
    storage: Storage, whole: Path, run_ids: dict[str, str], table: str, kept: int
) -> None:
    writer = {"tasks": "stream", "plasticity": "stream", "probes": "probes"}
    run_id = run_ids[writer.get(table, "tickets")]
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
    assert results.finished_runs(storage) == set(run_ids.values()) - {run_id}


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
        masks_path(run_ids["tickets"], 1): run_ids["tickets"],
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
    damages = inspect(storage).damages
    for name in ("tickets", "weights", "structure", "dormant"):
        told = {damage.path: damage for damage in damages if damage.run_ids == (run_ids[name],)}
        kind = "tickets" if name == "tickets" else "measurement"
        assert told[path].reason == f"is not what {kind} {run_ids[name]} started from"
    mend(storage, damages)
    assert storage.read(path), "the file itself is good"
    run_all(Path(storage.root))
    assert inspect(storage, artifacts=True).damages == []


def test_check_lists_what_is_finished_running_and_damaged(
    storage: Storage, run_ids: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {"measurement": "3", "probes": "1", "stream": "1", "tickets": "1"}
    assert main(["check", storage.root]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["runs", "finished", "diverged", "failed", "running", "damaged"]
    for line, (kind, count) in zip(said[1:], kinds.items(), strict=False):
        assert line.split() == [kind, count, "0", "0", "0", "0"]
    assert said[5] == "Every file is as it was written."

    running = StreamTrial(trial_config(Path(storage.root), seed=7))
    running.step()
    _damage(storage, f"tables/tickets/{run_ids['tickets']}.parquet")
    _damage(storage, snapshot_path(run_ids["stream"], 0))
    before = {p: p.read_bytes() for p in Path(storage.root).rglob("*") if p.is_file()}
    capsys.readouterr()  # what the worker logs
    assert main(["check", storage.root]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[1].split() == ["measurement", "3", "0", "0", "0", "0"]
    assert said[3].split() == ["stream", "0", "0", "0", "1", "1"]
    assert said[4].split() == ["tickets", "0", "0", "0", "0", "1"]
    assert said[5] == (
        f"running: stream seed=7 permuted_pixels ({running.run.run_id}), 1 of 4 steps saved"
    )
    assert [line.split(":")[0] for line in said[6:8]] == ["damaged", "damaged"]
    assert said[8] == "2 damaged, 2 ended runs to compute again."
    assert before == {p: p.read_bytes() for p in Path(storage.root).rglob("*") if p.is_file()}

    assert main(["check", "--repair", storage.root]) == 1
    assert main(["check", storage.root]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Every file is as it was written."
    assert results.finished_runs(storage) == set(run_ids.values()) - {
        run_ids["stream"],
        run_ids["tickets"],
    }


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


# ------------------------------------------------------------------ in the wrong place


def test_a_snapshot_of_another_run_is_not_started_from(
    storage: Storage, run_ids: dict[str, str], tmp_path: Path
) -> None:
    run_all(tmp_path / "other", seed=1)
    (other,) = (tmp_path / "other").glob("artifacts/*/snapshot-2.safetensors")
    path = snapshot_path(run_ids["stream"], 2)
    storage.write(path, other.read_bytes())
    (damage,) = inspect(storage, artifacts=True).damages
    assert (damage.path, damage.run_ids) == (path, (run_ids["stream"],))
    assert damage.reason == "it is not what the run wrote"
    results.forget_runs(storage, {run_ids["tickets"]})
    (report,) = finish(TicketsTrial(trial_config(Path(storage.root), task=2)))
    assert report["lost_run"] == run_ids["stream"]
    assert report["lost"] == f"{path}: damaged (it is not what the run wrote)"


def test_rows_of_another_attempt_are_not_started_from(
    storage: Storage, run_ids: dict[str, str]
) -> None:
    """Searches copy what their stream measured."""
    stream = run_ids["stream"]
    rows = results.read_run(storage, "plasticity", stream) or []
    results.write(storage, "plasticity", stream, [{**row, "value": 0.5} for row in rows])
    results.forget_runs(storage, {run_ids["tickets"]})
    report = finish(TicketsTrial(trial_config(Path(storage.root), task=2)))[-1]
    assert report["lost_run"] == stream
    assert report["lost"].startswith(f"tables/plasticity/{stream}.parquet: damaged (it is not what")


@pytest.mark.parametrize("table", ["runs", "tasks", "plasticity"])
def test_a_table_of_another_run_is_no_data(
    storage: Storage, run_ids: dict[str, str], tmp_path: Path, table: str
) -> None:
    run_all(tmp_path / "other", seed=1)
    other = next(
        path for path in (tmp_path / "other" / "tables" / table).glob("*.parquet")
        if (tmp_path / "other" / "tables" / "tasks" / path.name).exists()
    )  # fmt: skip
    path = f"tables/{table}/{run_ids['stream']}.parquet"
    storage.write(path, other.read_bytes())
    assert run_ids["stream"] not in set(results.read(storage, table)["run_id"])
    assert other.stem not in set(results.read(storage, table)["run_id"])
    damages = {d.path: d for d in inspect(storage).damages}
    assert damages[path].reason == "it holds rows of another run"
    assert damages[path].run_ids == (run_ids["stream"],)


def test_another_table_of_the_run_is_no_data(storage: Storage, run_ids: dict[str, str]) -> None:
    path = f"tables/tasks/{run_ids['stream']}.parquet"
    content = storage.read(f"tables/plasticity/{run_ids['stream']}.parquet") or b""
    storage.write(path, content)
    assert len(results.read(storage, "tasks")) == 0
    reason = "its columns are not those written for tasks"
    assert inspect(storage).damages == [Damage(path, reason, (run_ids["stream"],))]


def test_a_compacted_table_in_place_of_another_is_no_data(storage: Storage, tmp_path: Path) -> None:
    run_all(storage.root, seed=1)
    results.compact(storage)
    (tickets,) = Path(storage.root).glob("tables/tickets/compacted/*")
    (overlaps,) = Path(storage.root).glob("tables/overlaps/compacted/*")
    (overlaps.parent / tickets.name).write_bytes(tickets.read_bytes())
    before = results.read(storage, "overlaps")
    overlaps.unlink()
    assert len(before)
    assert len(results.read(storage, "overlaps")) == 0
    found = inspect(storage)
    assert [damage.reason for damage in found.damages] == [
        "its columns are not those written for overlaps", "2 runs had their rows there",
    ]  # fmt: skip


def test_a_table_that_the_run_did_not_write_is_set_aside(
    storage: Storage, run_ids: dict[str, str]
) -> None:
    """As a killed repair leaves it of a run that it was forgetting."""
    results.write(storage, "overlaps", run_ids["stream"], [{"run_id": run_ids["stream"]}])
    (damage,) = inspect(storage).damages
    assert damage.reason == "the run did not write it"
    mend(storage, [damage])
    assert run_ids["stream"] not in set(results.read(storage, "overlaps")["run_id"])


@pytest.mark.parametrize("table", ["runs", "tasks"])
def test_a_file_without_a_checksum_is_damaged_where_its_writer_writes_one(
    storage: Storage, run_ids: dict[str, str], table: str
) -> None:
    path = Path(storage.root) / "tables" / table / f"{run_ids['stream']}.parquet"
    rows = pq.read_table(path).replace_schema_metadata(None)
    pq.write_table(rows, path)
    (damage,) = inspect(storage).damages
    assert (damage.reason, damage.run_ids) == ("it has no checksum", (run_ids["stream"],))


# ------------------------------------------------------------------ flipped bytes


@pytest.mark.parametrize("place", ["small", "large", "runs"])
def test_a_flipped_byte_is_reported_or_changes_nothing(tmp_path: Path, place: str) -> None:
    """Wherever in the file it is: pages, their headers, statistics, the footer."""
    storage = Storage(tmp_path)
    for run_id in ("abc", "abd"):
        own = {"run_id": run_id, "dataset": "digits", "seed": 3}
        rows = [{**own, "task": t, "test_accuracy": 1 / (t + 1)} for t in range(30)]
        results.write(storage, "tasks", run_id, rows)
        end = {"run_id": run_id, "kind": "stream", "status": "finished", "lr": 0.1, "seconds": 1.5}
        results.write(storage, "runs", run_id, [end])
    table = "runs" if place == "runs" else "tasks"
    if place == "large":
        results.compact(storage)
    path = min((tmp_path / "tables" / table).rglob("*.parquet"))
    whole, expected = path.read_bytes(), results.read(storage, table)
    others = expected[expected["run_id"] == ("" if place == "large" else "abd")]
    draw = random.Random(0)
    reported = 0
    for _ in range(600):
        changed = bytearray(whole)
        changed[draw.randrange(len(whole))] ^= draw.randrange(1, 256)
        path.write_bytes(changed)
        found = results.read(storage, table)
        if not found.equals(expected):
            reported += 1
            pd.testing.assert_frame_equal(found, others.reset_index(drop=True), check_dtype=False)
    assert reported > (599 if place == "large" else 300)


# ------------------------------------------------------------------ messages


def test_nothing_that_a_file_says_steers_a_terminal(
    storage: Storage, run_ids: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Also where a sweep tells of it, or an analysis leaves it out."""
    row = (results.read_run(storage, "runs", run_ids["stream"]) or [])[0]
    results.write(storage, "runs", run_ids["stream"], [{**row, "status": "\x1b[2J\n"}])
    storage.write("tables/tasks/\x1b[2J\n.parquet", b"")
    results.read(storage, "tasks")
    damages = [damage for damage in map(str, inspect(storage).damages) if "[2J" in damage]
    assert len(damages) == 2
    for line in (*damages, caplog.messages[-1]):
        assert "[2J" in line
        assert line.isprintable()


# ------------------------------------------------------------------ gone altogether


def test_a_storage_without_its_table_of_runs_is_not_whole(
    storage: Storage, whole: Path, run_ids: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(Path(storage.root) / "tables" / "runs")
    (damage,) = inspect(storage, artifacts=True).damages
    assert damage.path == "tables/runs"
    assert set(damage.run_ids) == set(run_ids.values())
    assert main(["check", storage.root]) == 1
    said = capsys.readouterr().out
    assert (
        "damaged: tables/runs: 6 runs have rows in other tables, but neither one here nor" in said
    )
    assert main(["check", "--repair", storage.root]) == 1
    assert main(["check", storage.root]) == 0
    said = capsys.readouterr().out
    # Of the measurement, which writes no artifacts, nothing is left.
    assert "\n2 runs await computing: repeat the command that computed them.\n" in said
    run_all(Path(storage.root))
    assert_same_tables(whole, Path(storage.root))
    assert main(["check", storage.root]) == 0
    assert "await" not in capsys.readouterr().out


def test_beside_a_sweep_runs_about_to_end_have_not_lost_their_end(
    storage: Storage, run_ids: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that is quicker than its first save writes its rows, and then its end."""
    storage.delete_file(f"tables/runs/{run_ids['tickets']}.parquet")
    with Lease(storage):
        assert main(["check", storage.root]) == 0
        said = capsys.readouterr().out
        assert "in charge: another sweep (process" in said
        assert "While a sweep runs, lost rows of tables/runs are not looked for.\n" in said
        assert "await" not in said
        assert main(["check", "--repair", storage.root]) == 2
        assert "must not be in use; another sweep (process" in capsys.readouterr().err
    assert main(["check", storage.root]) == 1
    assert "damaged: tables/runs: 1 runs have rows in other tables" in capsys.readouterr().out


@pytest.mark.parametrize("table", ["tasks", "tickets"])
def test_a_run_whose_table_was_set_aside_awaits_computing(
    storage: Storage, run_ids: dict[str, str], capsys: pytest.CaptureFixture[str], table: str
) -> None:
    run_id = run_ids["stream" if table == "tasks" else "tickets"]
    shutil.rmtree(Path(storage.root) / "artifacts" / run_id)
    results.write(storage, "runs", run_id, [_without_files(storage, run_id)])
    _damage(storage, f"tables/{table}/{run_id}.parquet")
    assert main(["check", storage.root]) == 1
    assert capsys.readouterr().out.endswith(
        "1 damaged, 1 ended runs to compute again.\n"
        "check --repair moves damaged files to STORAGE/damaged; then repeat the command that "
        "computed these runs.\n"
    )
    assert main(["check", "--repair", storage.root]) == 1
    assert capsys.readouterr().out.endswith(
        f"Damaged files were moved to {storage.root}/damaged; now repeat the command that "
        "computed these runs.\n"
    )
    assert main(["check", storage.root]) == 0
    assert "\n1 runs await computing: repeat" in capsys.readouterr().out


def _without_files(storage: Storage, run_id: str) -> dict[str, object]:
    (row,) = results.read_run(storage, "runs", run_id) or []
    return {**row, "files": None}


def test_what_is_under_way_has_not_lost_its_end(tmp_path: Path) -> None:
    trial = StreamTrial(trial_config(tmp_path))
    for _ in range(3):
        trial.step()
        assert inspect(Storage(tmp_path), artifacts=True).damages == []


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b'{"line": "python', b'{"whatever": 1}', b"[" * 100_000, "another line's"],
)
def test_a_damaged_record_of_a_command_is_named(
    storage: Storage, content: bytes | str, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.record(storage, "python a.py")
    assert main(["check", storage.root]) == 0
    (name,) = storage.names("commands")
    if isinstance(content, str):
        content = (storage.read(f"commands/{name}") or b"").replace(b"a.py", b"b.py")
    storage.write(f"commands/{name}", content)
    assert commands.commands(storage) == []
    assert main(["check", storage.root]) == 1
    said = capsys.readouterr().out
    assert f"damaged: commands/{name}: is no record of a command\n" in said
    assert said.endswith("check --repair moves damaged files to STORAGE/damaged.\n")
    assert main(["check", "--repair", storage.root]) == 1
    assert main(["check", storage.root]) == 0
    assert storage.read(f"damaged/commands/{name}") == content
