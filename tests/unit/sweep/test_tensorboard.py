"""What the real TensorBoard shows first: curves along streams, and a table of all searches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from raylot.config import Study
from raylot.sweep.tensorboard import TensorBoard
from tests.unit.analysis.report.browser import chromium
from tests.unit.sweep.tensorboard_server import TensorBoardServer

_COUNTS = {0: 3.0, 10: 2.5, 20: 2.25, 30: 1.5}
_ROUNDS = 3


@dataclass(eq=False)
class _Trial:
    """What the logger asks of a trial of Tune's."""

    folder: Path
    config: dict[str, Any]

    @property
    def local_path(self) -> str:
        return str(self.folder)

    @property
    def evaluated_params(self) -> dict[str, Any]:
        return {"run": self.config["run"]}


def _log_search(board: TensorBoard, folder: Path, task: int) -> None:
    """Tells the logger of a whole search, as Ray Tune does."""
    study = Study.checked(tasks=31, snapshots="0,10,20,30", rounds=_ROUNDS)
    run = study.tickets_run(shift="stationary", seed=4, task=task, sparsity=0.8)
    searched = {"seed": 4, "task": task, "sparsity": 0.8}
    shared = run.model_dump(mode="json", exclude=set(searched))
    trial = _Trial(
        folder / f"tickets_{task}", {"kind": "tickets", "shared": shared, "run": searched}
    )
    for step in range(_ROUNDS + 2):  # dense training, the rounds, random masks
        done = step == _ROUNDS + 1
        measures = {"ticket_count": _COUNTS[task], "density": 0.25} if done else {"density": 0.5}
        report = {"kind": "tickets", "done": done, "timesteps_total": step + 1}
        board.log_trial_result(step, trial, {**report, "measures": measures})
    board.log_trial_end(trial)


def test_what_was_measured_at_a_snapshot_is_a_point_there_and_no_other(tmp_path: Path) -> None:
    """A run's last report repeats it, for those who look at ended runs alone."""
    study = Study.checked(tasks=5, snapshots="0,2")
    run = study.stream_run(shift="stationary", seed=4)
    config = {"kind": "stream", "shared": run.model_dump(mode="json"), "run": {"seed": 4}}
    trial = _Trial(tmp_path / "stream", config)
    board = TensorBoard()
    for step in range(5):
        measures = {"test_accuracy": 0.5}
        if step in (0, 2):
            measures["dead_fraction"] = step / 10
        if step == 4:
            measures |= {"dead_fraction": 0.2, "sharpness": 3.0}  # the latter of an earlier sweep
        report = {"kind": "stream", "done": step == 4, "timesteps_total": step + 1}
        board.log_trial_result(step, trial, {**report, "measures": measures})
    board.log_trial_end(trial)
    assert not board._reported
    events = EventAccumulator(str(tmp_path / "stream"))
    events.Reload()
    steps = {tag: [e.step for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert steps == {
        "stream/test_accuracy": [0, 1, 2, 3, 4],
        "stream/dead_fraction": [0, 2],
        "stream/sharpness": [4],
    }


def test_what_an_ended_search_adds_does_not_grow_with_the_searches_before(tmp_path: Path) -> None:
    board = TensorBoard()
    for task in (0, 10, 20, 30):
        _log_search(board, tmp_path, task)
    [stream] = tmp_path.glob("stream_*")
    _, *later = (file.stat().st_size for file in sorted(stream.iterdir()))  # 0 takes no bytes
    assert len(later) == 3
    assert len(set(later)) == 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TensorBoardServer]:
    """Shows four searches of one stream, which did not end in the order of their tasks."""
    folder = tmp_path_factory.mktemp("tune")
    board = TensorBoard()
    for task in (20, 0, 30, 10):
        _log_search(board, folder, task)
    with TensorBoardServer(folder) as found:
        yield found


def test_what_searches_found_are_curves_along_their_stream(server: TensorBoardServer) -> None:
    tags = server.tags(runs=5)
    [stream] = [run for run in tags if run.startswith("stream_")]
    assert stream.startswith("stream_seed=4_stationary_sparsity=0.8_")
    first = min(tag.split("/")[0] for own in tags.values() for tag in own)
    assert first == "answer"
    curve = server.scalars(stream, "answer/ticket_count")
    assert list(curve.items()) == list(_COUNTS.items())
    assert server.scalars(stream, "found/density") == dict.fromkeys(_COUNTS, 0.25)
    for task, count in _COUNTS.items():  # each search is a point of that curve
        own = f"tickets_{task}"
        assert server.scalars(own, "answer/ticket_count") == {task: count}
        assert server.scalars(own, "tickets/density") == dict.fromkeys(range(_ROUNDS + 1), 0.5)
    compared = {options["task"]: measures for options, measures in server.hparams()}
    assert {task: own["answer/ticket_count"] for task, own in compared.items()} == _COUNTS


def test_the_first_view_and_hparams_in_a_browser(server: TensorBoardServer) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(server.address)
        page.locator("card-view").first.wait_for()
        assert page.locator("metrics-card-groups").first.inner_text().split()[0] == "answer"
        assert "ticket_count" in page.locator("card-view").first.inner_text()
        page.get_by_text("HPARAMS").click()
        rows = page.locator("tf-hparams-table-view vaadin-grid-cell-content:visible")
        rows.get_by_text("stationary").or_(rows.get_by_text("20.000")).first.wait_for()
