"""After a fix has raised a version, old rows are listed, left out, and computed anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raylot import results
from raylot.analysis.tables import tables
from raylot.command import storage as command
from raylot.config import Study
from raylot.foundation import science
from raylot.results.outdated import outdated_runs
from raylot.storage import Storage
from tests.unit.trials.runs import TINY, chain, finish, trial_config


def _run(root: Path, **options: Any) -> None:
    for trial, place in chain("dense", "ticket"):
        finish(trial(trial_config(root, **place, **options)))


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stream, a measurement, a search and two ticket streams, under noise and of the control."""
    root = tmp_path_factory.mktemp("computed")
    for shift in ("noise", "stationary"):
        _run(root, shift=shift)
    return root


_OF_SEARCHES = ("tickets", "ticket_stream", "ticket_measurement")


def _kinds(root: Path) -> set[tuple[str, str]]:
    runs = results.read(root, "runs")
    own = runs[runs["run_id"].isin(outdated_runs(Storage(root)))]
    return {(str(row.shift), str(row.kind)) for row in own.itertuples()}


@pytest.mark.parametrize(
    ("concept", "outdated"),
    [
        (
            ("shift", "noise"),
            {("noise", kind) for kind in ("stream", "probes", "measurement", *_OF_SEARCHES)},
        ),
        (("shift", "permuted_pixels"), {("noise", "probes"), ("stationary", "probes")}),
        (
            ("measurement", "structure"),
            {
                (shift, kind)
                for shift in ("noise", "stationary")
                for kind in ("measurement", "ticket_measurement")
            },
        ),
        (("measurement", "probes"), {("noise", "probes"), ("stationary", "probes")}),
        (("measurement", "ntk"), set()),
        (("shift", "rotation"), set()),
        (("network", "lenet"), set()),
        (("criterion", "movement"), set()),
        (
            ("search", "tickets"),
            {(shift, kind) for shift in ("noise", "stationary") for kind in _OF_SEARCHES},
        ),
    ],
)
def test_what_a_fix_changes_is_outdated(
    computed: Path,
    monkeypatch: pytest.MonkeyPatch,
    concept: tuple[str, str],
    outdated: set[tuple[str, str]],
) -> None:
    assert _kinds(computed) == set()
    monkeypatch.setitem(science.VERSIONS, concept, 2)
    assert _kinds(computed) == outdated


def test_a_dense_network_needs_no_search(computed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(science.VERSIONS, ("search", "tickets"), 2)
    runs = results.read(computed, "runs")
    old = outdated_runs(Storage(computed))
    assert set(runs[runs["run_id"].isin(old)]["subnetwork"].dropna()) == {"ticket"}


def test_the_analysis_leaves_it_out_with_one_line_and_check_lists_it(
    computed: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tables.report_once.cache_clear()
    assert set(tables.read(Storage(computed), "snapshots")["shift"]) == {"noise", "stationary"}
    monkeypatch.setitem(science.VERSIONS, ("shift", "noise"), 2)
    assert set(tables.read(Storage(computed), "snapshots")["shift"]) == {"stationary"}
    assert "computed before a fix (version 1, now shift:noise:2; 1 row)" in caplog.text
    assert command.check([str(computed)]) == 0
    said = capsys.readouterr().out
    assert "outdated: 14 runs were computed before a fix (version 1, now shift:noise:2)" in said


def test_it_is_computed_anew_and_the_control_is_not(
    computed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study.checked(**TINY)
    before = {s: study.tickets_run(shift=s, task=2, sparsity=0.5) for s in ("noise", "stationary")}
    assert before["noise"].stream.run_id in set(results.read(computed, "runs")["run_id"])
    monkeypatch.setitem(science.VERSIONS, ("shift", "noise"), 2)
    now = {s: study.tickets_run(shift=s, task=2, sparsity=0.5) for s in ("noise", "stationary")}
    assert now["noise"].run_id != before["noise"].run_id
    assert now["noise"].stream.run_id != before["noise"].stream.run_id
    assert now["stationary"].run_id == before["stationary"].run_id
    assert {run.protocol for run in (*now.values(), *before.values())} == {
        before["noise"].protocol
    }, "versions of what a study compares do not split comparisons"
    monkeypatch.setitem(science.VERSIONS, ("search", "tickets"), 3)
    fixed = study.tickets_run(shift="noise", task=2, sparsity=0.5)
    assert fixed.stream.run_id == now["noise"].stream.run_id
    assert fixed.run_id != now["noise"].run_id
    assert fixed.protocol != now["noise"].protocol
