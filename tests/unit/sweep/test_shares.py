"""Commands that compute one share each of a study: what they do, and what stands in their way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raylot import results
from raylot.command.studies import TICKET_COUNT_VS_PLASTICITY, run_study
from raylot.config import PRESETS, Study
from raylot.config.presets import preset_with
from raylot.foundation.errors import OptionError
from raylot.results import files
from raylot.results.compaction import compact
from raylot.results.integrity import ended_runs
from raylot.storage import Storage
from raylot.storage.lease import Lease
from raylot.sweep import study_spaces
from raylot.sweep.sweep import Sweep
from raylot.trials.stream import StreamTrial
from tests.support.tables import assert_same_tables

_TINY: Mapping[str, Any] = {
    "hidden": "4", "tasks": 3, "snapshots": "2", "epochs": 1, "batch_size": 512, "lr": 0.01,
    "tickets": 2, "rounds": 1, "random_masks": 1, "rewired_masks": 0, "reinit_tickets": 0,
    "untrained_masks": 0, "sparsities": "0.5", "probe_size": 20, "ntk_examples": 0,
    "sharpness_iterations": 0, "save_interval": 0, "probe_tasks": 1,
    "shifts": "permuted_pixels", "seeds": "0-2", "engine": "generic", "local": True,
    "interventions": "none",
}  # fmt: skip


def _sweep(root: Path, **options: Any) -> Sweep:
    study = Study.checked(**preset_with({**PRESETS["default"], **_TINY, **options}, {}))
    return Sweep(study, Storage(root), *study_spaces(study))


def _words(root: Path, *more: str) -> list[str]:
    options = {**_TINY, "storage": root}
    return [f"--{n.replace('_', '-')}={str(v).lower()}" for n, v in options.items()] + list(more)


def _typed(root: Path, *more: str) -> int:
    return run_study(TICKET_COUNT_VS_PLASTICITY, study_spaces, _words(root, *more))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    assert _sweep(root).run().missing == 0
    return root


def test_shares_equal_one_sweep_and_say_how_far_the_study_is(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _typed(tmp_path, "--share", "2/2", "--dry-run") == 0
    assert "\nShare 2/2: 2 of 3 streams, and what stands on them.\n" in capsys.readouterr().out
    every = len(results.read(whole, "runs"))
    study = "s" * 12
    with Lease(Storage(tmp_path), share="7/9", study=study), pytest.raises(SystemExit):
        _typed(tmp_path, "--share", "2/2")
    assert "error: --share=2/2: must be another share of the same" in capsys.readouterr().err
    assert _typed(tmp_path, "--share", "2/2") == 0
    said = capsys.readouterr().out
    assert "\nNothing is left to compute in this share; once the other shares have ended, " in said
    there = every // 3 * 2
    assert f"raylot analyse {tmp_path} does so at any time with what is there: {there} " in said
    assert not (tmp_path / "analysis").exists()
    assert _typed(tmp_path, "--share", "1/2") == 0
    said = capsys.readouterr().out
    assert f"with what is there: {every} ended runs.\n" in said
    assert_same_tables(whole, tmp_path)
    (command,) = results.commands.commands(Storage(tmp_path))
    assert "--share" not in command.line


def test_the_limit_of_runs_is_that_of_a_share(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    every = len(results.read(whole, "runs"))
    monkeypatch.setattr("raylot.sweep.sweep.MOST_RUNS", every // 3)
    with pytest.raises(SystemExit):
        _typed(tmp_path)
    assert _typed(tmp_path, "--share", "3/3") == 0
    assert f"with what is there: {every // 3} ended runs.\n" in capsys.readouterr().out
    monkeypatch.setattr("raylot.sweep.sweep.MOST_RUNS", 2)
    with pytest.raises(OptionError, match="3 streams in all shares or more: must be at most 2 in"):
        _ = _sweep(tmp_path, share="4/4").stages


def test_a_share_says_that_only_runs_are_left_that_cannot_be_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(self: StreamTrial) -> dict[str, float]:
        raise ValueError("no such weights")

    monkeypatch.setattr(StreamTrial, "advance", failing)
    assert _typed(tmp_path, "--share", "1/2") == 1
    said = capsys.readouterr().out
    assert "1 failed" in said
    assert "\nNothing is left to compute in this share; once the other shares have ended" in said


def test_a_share_without_streams_ends_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _typed(tmp_path, "--share", "16/16") == 0
    assert capsys.readouterr().out.startswith("0 runs finished\n")
    assert _typed(tmp_path, "--share", "16/16", "--dry-run") == 0
    assert "Nothing is left to compute." in capsys.readouterr().out


def test_a_share_works_beside_the_others_of_its_study_alone(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    with Lease(storage, share="3/16", study="a"):
        with Lease(storage, share="4/16", study="a"), Lease(storage, share="16/16", study="a"):
            pass
        for share, study in (("3/16", "a"), ("1/4", "a"), ("4/16", "b")):
            with pytest.raises(OptionError) as refused, Lease(storage, share=share, study=study):
                pytest.fail("two are in charge of the same runs")
            told = f"share={share}: must be another share of the same study, divided in the same"
            assert str(refused.value).startswith(told)
            assert "while share 3/16 of a study (process" in str(refused.value)
        (tmp_path / "tables").mkdir(exist_ok=True)
        with pytest.raises(OptionError, match="must not be in use; share 3/16 of a study"):
            compact(tmp_path)
        with pytest.raises(OptionError, match="must not be in use; share 3/16 of a study"):
            _sweep(tmp_path).run()
    with Lease(storage), pytest.raises(OptionError, match="must not be in use; another sweep"):
        _sweep(tmp_path, share="1/4").run()


def test_a_share_reads_no_files_of_the_other_shares_leases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand shares would read a million files every few seconds."""
    storage, reads = Storage(tmp_path), list[str]()
    with Lease(storage, share="1/3", study="a"), Lease(storage, share="2/3", study="a"):
        read = Storage.read
        monkeypatch.setattr(Storage, "read", lambda s, path: (reads.append(path), read(s, path))[1])
        with Lease(storage, share="3/3", study="a") as lease:
            assert not lease._is_deposed()
        assert reads == []


def test_a_share_rewrites_no_file_with_runs_of_others(whole: Path, tmp_path: Path) -> None:
    for path in (p for p in whole.rglob("*") if p.is_file()):
        (tmp_path / path.relative_to(whole)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path.relative_to(whole)).write_bytes(path.read_bytes())
    storage = Storage(tmp_path)
    compact(storage)
    (large,) = files.large_files(storage, "tasks")
    assert isinstance(large, files.TableFile)
    share = _sweep(tmp_path, share="2/2")
    stream = share.stages[0].runs[0].run_id
    files.drop(storage, large, {stream})  # so that its rows are missing
    before = storage.versions("tables")
    (reason,) = share.run().lost
    assert reason.startswith(f"{stream}: is damaged, and its row of runs lies in one file with")
    own, other = (
        set(ended_runs(storage, _sweep(tmp_path, share=one)._planned)) for one in ("2/2", "1/2")
    )
    streams = {run.run_id for run in share.stages[0].runs}
    assert results.forget_runs(storage, own, share=streams) == own
    results.drop_replaced(storage, own, share=streams)
    assert storage.versions("tables") == before
    every = {run.run_id for run in _sweep(tmp_path).stages[0].runs}
    assert results.forget_runs(storage, own, share=every) == set()
    assert set(results.read(storage, "runs")["run_id"]) == other


def test_a_share_rewrites_its_own_files_though_it_plans_less_than_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raylot.sweep.gathering.AT_ONCE", 2)
    assert _sweep(tmp_path, sparsities="0.5,0.8", share="1/2").run().missing == 0
    assert files.large_names(Storage(tmp_path), "tickets")
    share = _sweep(tmp_path, tickets=3, share="1/2")
    assert share.run().missing == 0
    for table in ("runs", "tickets", "snapshots"):
        plain = pd.read_parquet(tmp_path / "tables" / table)
        assert len(plain) == len(results.read(tmp_path, table)), "plain pandas reads no row twice"
    stream = share.stages[0].runs[0].run_id
    storage = Storage(tmp_path)
    for large in files.undamaged(files.large_files(storage, "tasks")):
        files.drop(storage, large, {stream})
    outcome = share.run()
    assert (outcome.missing, outcome.lost) == (0, [])


def test_runs_that_ended_in_earlier_commands_are_gathered_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = len(_sweep(tmp_path, seeds="0").stages)
    monkeypatch.setattr("raylot.sweep.gathering.AT_ONCE", 2 * stage)
    assert _sweep(tmp_path, seeds="0").run().missing == 0
    storage = Storage(tmp_path)
    before = files.small_runs(storage, "runs")
    assert len(before) == len(results.read(tmp_path, "runs"))
    assert _sweep(tmp_path, seeds="0-1").run().missing == 0
    assert set(before).isdisjoint(files.small_runs(storage, "runs"))
