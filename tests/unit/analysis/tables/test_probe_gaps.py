"""How far snapshots are behind a fresh network on probe tasks, as the analysis sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raylot import plugins
from raylot.analysis.primary import find
from raylot.analysis.tables.observations import observe, settings
from raylot.analysis.tables.probe_gaps import probe_gaps
from raylot.config import Study
from raylot.foundation import registry
from raylot.storage import Storage
from tests.unit.analysis.studies import falling, finish, write_rows, write_study


def _row(task: int | None, p: int, accuracy: float, shift: str = "rotation") -> dict[str, Any]:
    return {
        "run_id": shift, "stream_run_id": "stream", "task": task,
        "trained": "snapshot" if task is not None else "fresh",
        "probe_shift": shift, "probe_task": p, "online_accuracy": accuracy,
        "learning_speed": accuracy - 0.1, "test_accuracy": accuracy + 0.02,
        "final_train_loss": 1 - accuracy,
    }  # fmt: skip


_ROWS = [
    _row(None, 0, 0.9), _row(None, 1, 0.8), _row(0, 0, 0.9), _row(0, 1, 0.8), _row(10, 0, 0.7),
    _row(10, 1, 0.7),
]  # fmt: skip


_NO_RUNS = pd.DataFrame(columns=["run_id", "plugins", "probe_classes"])


def _gaps(rows: Any, runs: pd.DataFrame = _NO_RUNS) -> pd.DataFrame:
    return probe_gaps(pd.DataFrame(rows), runs)


def test_a_gap_is_positive_where_plasticity_was_lost_and_paired_by_task() -> None:
    gaps = _gaps(_ROWS).set_index("task")
    assert list(gaps.index) == [0, 10]
    for name in ("probe_online_gap", "probe_speed_gap", "probe_test_gap", "probe_loss_gap"):
        assert gaps[name].tolist() == pytest.approx([0, (0.2 + 0.1) / 2]), name
    # without the fresh network's row of a probe task, that task does not count
    gaps = _gaps(_ROWS[1:]).set_index("task")
    assert gaps["probe_online_gap"].tolist() == pytest.approx([0, 0.1])


def test_a_snapshot_whose_training_diverged_has_lost_all() -> None:
    rows = pd.DataFrame(_ROWS)
    rows.loc[rows["task"] == 10, "online_accuracy"] = float("nan")
    assert _gaps(rows).set_index("task")["probe_online_gap"].tolist() == [0, float("inf")]
    # of a fresh network that diverged nothing can be said
    rows = pd.DataFrame(_ROWS)
    rows.loc[rows["trained"] == "fresh", "online_accuracy"] = float("nan")
    assert _gaps(rows)["probe_online_gap"].isna().all()


def test_probe_tasks_of_several_shifts_are_measures_of_their_own() -> None:
    others = [_row(None, 0, 0.5, "noise"), _row(10, 0, 0.1, "noise")]
    gaps = _gaps([*_ROWS, *others]).set_index("task").sort_index()
    assert gaps["probe_online_gap(probe_shift=rotation)"].tolist() == pytest.approx([0, 0.15])
    assert gaps["probe_online_gap(probe_shift=noise)"][10] == pytest.approx(0.4)
    assert pd.isna(gaps["probe_online_gap(probe_shift=noise)"][0])


def _of_run(run_id: str, fresh: float, snapshot: float, shift: str) -> list[dict[str, Any]]:
    rows = [_row(None, 0, fresh, shift), _row(10, 0, snapshot, shift)]
    return [{**row, "run_id": run_id} for row in rows]


@pytest.mark.parametrize(
    ("shift", "differ", "names"),
    [
        ("mine", {"plugins": ["shift:mine:1a,metric:m:3c", "shift:mine:2b"]},
         ["code=1a", "code=2b"]),
        ("class_split", {"probe_classes": [2, 5]}, ["probe_classes=2", "probe_classes=5"]),
    ],
)  # fmt: skip
def test_probe_tasks_of_one_shift_that_differ_are_never_paired_or_averaged(
    shift: str, differ: dict[str, list[Any]], names: list[str]
) -> None:
    runs = pd.DataFrame({"run_id": ["a", "b"], "plugins": None, "probe_classes": None, **differ})
    rows = [*_of_run("a", 0.9, 0.8, shift), *_of_run("b", 0.5, 0.2, shift)]
    (gaps,) = _gaps(rows, runs).to_dict("records")
    assert gaps[f"probe_online_gap({names[0]})"] == pytest.approx(0.1)
    assert gaps[f"probe_online_gap({names[1]})"] == pytest.approx(0.3)
    # one of them alone goes by the plain name
    (gaps,) = _gaps(rows[:2], runs[:1]).to_dict("records")
    assert gaps["probe_online_gap"] == pytest.approx(0.1)


_PLUGIN = """
from raylot import plugins
plugins.shift("mine")(lambda dataset, options, key, t: {0})
"""


def test_an_edited_shift_of_a_plugin_makes_probe_tasks_and_searches_of_their_own(
    tmp_path: Path,
) -> None:
    """Of the control's snapshots, whose stream is the same for both codes."""
    codes, gaps = [], (0.1, 0.3)
    try:
        for number, gap in enumerate(gaps):
            (tmp_path / "mine.py").write_text(_PLUGIN.format(number))
            plugins.load(tmp_path / "mine.py")
            codes.append(registry.listed(registry.code_of([("shift", "mine")]))["shift", "mine"])
            options = {"search_task": "probe", "probe_shift": "mine", "rounds": 3}
            for shift in ("stationary", "mine"):
                write_study(tmp_path, falling, shifts=[shift], seeds=[0], tasks=[0, 10], **options)
                study = Study.checked(tasks=11, snapshots="0,10", **options)
                [run] = study.probe_runs(study.stream_run(shift=shift, seed=0))
                rows = [_row(None, 0, 0.9, "mine"), _row(10, 0, 0.9 - gap, "mine")]
                of = {"run_id": run.run_id, "stream_run_id": run.stream.run_id}
                write_rows(tmp_path, "probes", run, [{**row, **of} for row in rows])
                finish(tmp_path, run)
    finally:
        plugins.forget()
    found = settings(observe(Storage(tmp_path)))
    assert len(found) == len({setting.frame["protocol"].iloc[0] for setting in found}) == 2
    seen = {}
    for setting in found:
        own = setting.frame[setting.frame["task"] == 10].set_index("shift")
        (code,) = [code for code in codes if f"plugins=shift:mine:{code}" in setting.title]
        assert set(own.index) == {"stationary", f"mine@{code}"}
        assert own.loc["stationary", "ticket_count"] > 0
        primary = find(setting).plasticity
        assert primary is not None
        assert primary.name == f"probe_online_gap(code={code})"
        seen[code] = own[primary.name].tolist()
    for code, gap in zip(codes, gaps, strict=True):
        assert seen[code] == pytest.approx([gap, gap])


def test_they_stand_beside_the_tickets_of_their_snapshot(tmp_path: Path) -> None:
    write_study(tmp_path, falling, seeds=[0], tasks=[0, 10])
    study = Study.checked(tasks=11, snapshots="0,10", rounds=3)
    stream = study.stream_run(shift="permuted_pixels", seed=0)
    (run,) = study.probe_runs(stream)
    write_rows(
        tmp_path,
        "probes",
        run,
        [{**row, "run_id": run.run_id, "stream_run_id": stream.run_id} for row in _ROWS],
    )
    observed = observe(Storage(tmp_path))
    assert observed.measures[0] == "probe_online_gap"
    assert observed.frame["probe_online_gap"].tolist() == pytest.approx([0, 0.15])
