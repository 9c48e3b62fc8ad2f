"""The report's file: what it holds of a storage, also of one that is half done or empty."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raylot import results
from raylot.analysis import command, primary
from raylot.analysis.figures import plastic_overlap
from raylot.analysis.figures.tickets_and_controls import NETWORKS
from raylot.analysis.report import answers, report, report_data
from raylot.analysis.tables.observations import observe, settings
from raylot.config import Study
from raylot.results.integrity import Unfinished, unfinished_runs
from raylot.results.settings import Setting
from raylot.storage import Storage
from raylot.trials.stream import StreamTrial
from raylot.trials.tickets import TicketsTrial
from tests.unit.analysis.studies import (
    falling,
    falling_metrics,
    write_rows,
    write_study,
    write_ticket_stream,
)
from tests.unit.analysis.studies import finish as mark_finished
from tests.unit.trials.runs import finish, trial_config


def write(root: Path) -> int:
    return command.run(lambda: report.main([str(root)]))


def held(root: Path) -> dict[str, Any]:
    """Writes the report; returns what its page draws from."""
    assert write(root) == 0
    page = (root / "analysis" / "report.html").read_text()
    text = re.search(r'id="data">([^<]*)<', page)
    assert text
    return dict(json.loads(gzip.decompress(base64.b64decode(text[1]))))


def test_the_page_draws_what_the_figures_draw_in_their_colours() -> None:
    script = (report.PAGE / "colours.js").read_text()
    named = dict(re.findall(r'(\w+): \["(#\w{6})", "[\w-]+"\]', script))
    drawn = {column.removesuffix("_accuracy"): own for column, own in NETWORKS.items()}
    drawn |= plastic_overlap._SELECTIONS
    assert named == {name: colour for name, (_, colour, _) in drawn.items()}


def test_it_is_one_file_that_names_no_other(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(storage) == 0
    path = storage / "analysis" / "report.html"
    assert capsys.readouterr().out.startswith(f"report   {path} (")
    page = path.read_text()
    assert "default-src 'none'" in page
    own = page.replace(report.get_plotlyjs(), "")
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)\S+", own)
    assert not re.findall(
        r"\{\{|\}\}", re.sub(r"(?s)<script>.*?</script>|<style>.*?</style>", "", own)
    )


def test_it_says_by_which_center_the_answer_differs(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = (
        "<li>By the interquartile mean over seeds the answer differs (raylot analyse correlation "
        "STORAGE --center iqm)."
    )
    assert report.report(Storage(storage)).count(line) == 1
    monkeypatch.setattr(answers, "find", lambda *_, **__: _found(storage))
    assert line not in report.report(Storage(storage))


def _found(root: Path) -> primary.Findings:
    [setting] = settings(observe(Storage(root)))
    return primary.find(setting)


def test_every_run_is_in_it(storage: Path) -> None:
    data = held(storage)
    assert data["filters"] == {
        "dataset": ["digits"], "network": ["mlp"], "intervention": ["none"],
        "shift": ["permuted_pixels", "stationary"], "seed": list("01234"), "sparsity": [0.8, 0.9],
    }  # fmt: skip
    assert len(data["runs"]["run_id"]) == 10 + 10 + 80
    assert len(data["searches"]["run_id"]) == 80
    snapshots = results.read(storage, "snapshots").set_index("run_id")
    counts = data["searches"]["values"]["ticket_count"]
    for run, count in zip(data["searches"]["run_id"], counts, strict=True):
        assert count == pytest.approx(snapshots.loc[run, "ticket_count"], rel=1e-6)


def test_infinite_values_are_marked_row_by_row(tmp_path: Path) -> None:
    def metrics(*place: Any) -> dict[str, float]:
        _, _, task = place
        return {**falling_metrics(*place), "gradient_norm": float("inf" if task else "-inf")}

    write_study(tmp_path, falling, metrics=metrics, seeds=(0,), tasks=(0, 3), sparsities=(0.8, 0.9))
    data = held(tmp_path)
    assert data["searches"]["infinite"] == {"gradient_norm": {"0": -1, "1": -1, "2": 1, "3": 1}}
    assert "gradient_norm" not in data["along"]["lines"], "nothing of it can be drawn"


def test_what_is_missing_of_a_study(tmp_path: Path) -> None:
    write_study(tmp_path, falling, seeds=(0, 1), sparsities=(0.8, 0.9))
    runs, tasks = results.read(tmp_path, "runs"), results.read(tmp_path, "tasks")
    known = report_data.streams(report_data.begun(runs, []), tasks)
    assert report_data.is_whole(known, runs)
    searched = runs["kind"] == "tickets"
    late = searched & (runs["task"] > 0)
    assert not report_data.is_whole(known, runs[~late]), "ended early"
    one = runs["seed"] == 1
    for gone in (late & one, searched & one):
        assert not report_data.is_whole(known, runs[~gone])
        diverged = runs["status"].mask(one & ~searched, "diverged")
        assert report_data.is_whole(known, runs.assign(status=diverged)[~gone])
    failed = runs["status"].mask(one & ~searched, "failed")
    assert not report_data.is_whole(known, runs.assign(status=failed))


def test_streams_alone_leave_the_question_open(tmp_path: Path) -> None:
    write_study(tmp_path, falling, metrics=falling_metrics)
    for path in (tmp_path / "tables" / "snapshots").iterdir():
        path.unlink()
    data = held(tmp_path)
    page = (tmp_path / "analysis" / "report.html").read_text()
    assert "Open: no tickets have been searched yet." in page
    assert list(data["along"]["lines"]) == [
        "probe_online_gap", "test_accuracy", "dead_fraction", "effective_rank", "gradient_norm",
    ]  # fmt: skip
    seeds = [line["seed"] for line in data["along"]["lines"]["test_accuracy"]]
    assert seeds == ["", "0", "1", "2", "3", "4"]
    assert data["searches"] == {}


def _stream(root: Path, seed: int, **options: Any) -> str:
    run = Study.checked(tasks=31, snapshots="0", **options).stream_run(
        seed=seed, shift="permuted_pixels"
    )
    row = {"task": 0, "subnetwork": "dense", "test_accuracy": 0.5}
    write_rows(root, "tasks", run, [row])
    mark_finished(root, run)
    return run.run_id


def test_streams_that_only_chose_a_setting_are_left_out(tmp_path: Path) -> None:
    write_study(tmp_path, falling, metrics=falling_metrics, seeds=(0, 1))
    known = results.read(tmp_path, "runs")
    searched = known.loc[(known["kind"] == "stream") & (known["seed"] == 0), "run_id"].tolist()
    fresh = _stream(tmp_path, 5, lr=0.5)
    chose = [_stream(tmp_path, 7), _stream(tmp_path, 7, lr=0.5)]
    Setting("a search", "none", {"lr": 0.001}, [*searched, *chose], 31).write(Storage(tmp_path))
    shown = held(tmp_path)
    streams = set(shown["streams"]["run_id"])
    assert streams.isdisjoint(chose)
    assert streams >= {*searched, fresh}
    assert shown["filters"]["seed"] == ["0", "1", "5"]
    assert set(chose) <= set(shown["runs"]["run_id"])


def test_streams_that_chose_a_setting_are_shown_if_there_are_no_others(tmp_path: Path) -> None:
    chose = _stream(tmp_path, 7)
    Setting("a search", "none", {"lr": 0.001}, [chose], 31).write(Storage(tmp_path))
    assert held(tmp_path)["streams"]["run_id"] == [chose]


def test_a_storage_without_results_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(tmp_path) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: STORAGE={tmp_path}: must be the folder or URI")
    assert error.count("\n") == 1


def test_without_dense_ticket_streams_the_stream_itself_is_compared(tmp_path: Path) -> None:
    write_study(tmp_path, falling, seeds=(0,))
    study = Study.checked(tasks=31, snapshots="0,10,20,30", rounds=3, ticket_tasks=2)
    for task in (0, 10):
        write_ticket_stream(tmp_path, study, [0.5, 0.5], seed=0, task=task)
    found = held(tmp_path)["ticket_streams"]["lines"]
    by_start = {
        (line["subnetwork"], line["snapshot"]): line["mean"]
        for line in found if line["seed"] == "0" and "snapshot" in line
    }  # fmt: skip
    tasks = results.read(tmp_path, "tasks")
    own = tasks[tasks["snapshot"].isna()].set_index("task")["test_accuracy"]
    assert by_start["dense", 10] == pytest.approx([own[11], own[12]], abs=1e-4)
    assert by_start["ticket", 0] == [0.5, 0.5]
    assert len(by_start) == 4


def test_ticket_streams_of_each_dose_are_drawn(tmp_path: Path) -> None:
    for strength, accuracy in ((1e-4, 0.5), (1e-3, 0.25)):
        options = {"rounds": 3, "l2_strength": strength}
        write_study(tmp_path, falling, seeds=(0,), tasks=(0, 3), intervention="l2", **options)
        study = Study.checked(tasks=4, snapshots="0,3", ticket_tasks=1, **options)
        write_ticket_stream(tmp_path, study, [accuracy], seed=0, task=0, intervention="l2")
    data = held(tmp_path)
    names = data["streams"]["intervention"]
    found = {
        names[line["stream"]]: line["mean"] for line in data["ticket_streams"]["lines"]
        if line["seed"] == "0" and line["subnetwork"] == "ticket"
    }  # fmt: skip
    assert found == {"l2(1e-4)": [0.5], "l2(1e-3)": [0.25]}


def test_streams_of_which_the_protocol_is_not_known_are_never_averaged(tmp_path: Path) -> None:
    """Those that have not ended tell theirs in their saved state."""
    write_study(tmp_path, falling, seeds=(0, 1), finished=False)
    assert write(tmp_path) == 2
    tasks = results.read(tmp_path, "tasks")
    first, second = tasks["run_id"].unique()
    unfinished = [
        Unfinished(first, "stream", "stream seed=0", 3, 31, "abc", "shift:dim:1"),
        Unfinished(second, "stream", "stream seed=1", 3, 31, "def"),
    ]
    begun = report_data.begun(results.read(tmp_path, "runs"), unfinished)
    known = report_data.streams(begun, tasks)
    assert known.set_index("run_id")["protocol"].to_dict() == {first: "abc", second: "def"}


def test_a_stream_that_has_not_ended_tells_its_dose_in_its_saved_state(tmp_path: Path) -> None:
    """So the one that has ended is named by its dose everywhere."""
    plain = {"intervention": "l2"}
    finish(StreamTrial(trial_config(tmp_path, **plain)))
    for task in (0, 2, 3):
        finish(TicketsTrial(trial_config(tmp_path, **plain, task=task)))
    running = StreamTrial(trial_config(tmp_path, **plain, l2_strength=1e-3))
    assert not running.step()["done"]
    (unfinished,) = unfinished_runs(Storage(tmp_path), results.finished_runs(Storage(tmp_path)))
    assert unfinished.dose == running.run.dose
    data = held(tmp_path)
    assert data["filters"]["intervention"] == ["l2(1e-4)", "l2(1e-3)"]
    assert data["correlations"]["intervention"]["texts"] == ["l2(1e-4)"]


def test_sparsities_with_many_digits_are_offered_as_they_stand_in_the_rows(tmp_path: Path) -> None:
    write_study(tmp_path, falling, seeds=(0,), sparsities=(0.8, 1 - 0.8**10))
    data = held(tmp_path)
    assert data["filters"]["sparsity"] == [0.8, 0.8926258]
    assert set(data["searches"]["sparsity"]) == {0.8, 0.8926258}


def test_long_curves_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = {"protocol": "p", "dataset": "d", "network": "n", "intervention": "i", "shift": "s"}
    known = pd.DataFrame([{**stream, "run_id": run, "seed": seed} for seed, run in enumerate("ab")])
    rows = pd.DataFrame(
        [
            {"run_id": run, "seed": seed, "task": task, "test_accuracy": 0.1 * task + 0.2 * seed,
             "online_accuracy": None, "learning_speed": 0.5}
            for seed, run in enumerate("ab") for task in range(5)
        ]
    )  # fmt: skip
    monkeypatch.setattr(report_data, "MOST_VALUES", 6)  # for two streams of 5 tasks
    nothing = pd.DataFrame(
        columns=["stream_run_id", "snapshot", "task", "layer", "metric", "setting", "value"]
    )
    no_gaps = pd.DataFrame(columns=["stream_run_id", "task"])
    found = report_data.along_stream(known, rows, nothing, no_gaps)
    assert found["width"] == 2
    assert list(found["lines"]) == ["test_accuracy", "learning_speed"]
    whole, first, _ = found["lines"]["test_accuracy"]
    assert whole["x"] == first["x"] == [0.5, 2.5, 4]
    assert whole["mean"] == [0.15, 0.35, 0.5]
    assert first["mean"] == [0.05, 0.25, 0.4]
    # the t interval of 0.05 and 0.25: 0.15 -+ 12.706205 * 0.1
    assert whole["high"][0] == pytest.approx(0.15 + 1.2706205)
    assert whole["seeds"] == [2, 2, 2]


def test_a_measurement_says_what_it_measures() -> None:
    runs = pd.DataFrame(
        {"run_id": list("abc"), "kind": ["measurement", "measurement", "stream"],
         "measured": ["ntk", "metric", None], "metrics": [None, "half_norm", None],
         "seed": 0, "started": None}
    )  # fmt: skip
    assert report_data.run_columns(runs, [])["measured"] == ["ntk", "half_norm", None]


def test_runs_that_have_not_ended_are_listed(storage: Path) -> None:
    runs = results.read(Storage(storage), "runs")
    under_way = Unfinished("abc", "tickets", "tickets seed=7", 100, 400)
    found = report_data.run_columns(runs, [under_way])
    assert found["run_id"][-1] == "abc"
    assert found["error"]["texts"][found["error"]["codes"][-1]] == (
        "tickets seed=7: 100 of 400 steps saved"
    )
