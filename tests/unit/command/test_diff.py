"""``raylot diff``: two runs, two storages, and what cannot be compared."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from raylot import results
from raylot.command.main import main
from raylot.storage import Storage
from raylot.trials.stream import StreamTrial
from tests.unit.sweep.other_machine import change_row
from tests.unit.trials.runs import finish, run_all, trial_config


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stream with all that stands on it, and the stream of another seed; not to be written to."""
    folder = tmp_path_factory.mktemp("diff") / "one"
    run_all(folder, "ticket")
    finish(StreamTrial(trial_config(folder, seed=1)))
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, list[list[str]]]:
    """The exit status, and the cells of each line that holds any."""
    status = main(["diff", *map(str, words)])
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith("│") or line[:1].isalpha()]
    return status, [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def streams(root: Path) -> dict[int, str]:
    runs = results.read(root, "runs").query("kind == 'stream'")
    return dict(zip(runs["seed"], runs["run_id"], strict=True))


def test_a_copy_differs_in_nothing(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(root, tmp_path / "with: colon")
    results.compact(Storage(copy))
    status, lines = said(capsys, root, copy)
    assert status == 0
    assert lines == [["No difference in options, versions and the results of 7 tables."]]


def test_two_runs_of_one_storage(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = streams(root)[0], streams(root)[1]
    status, lines = said(capsys, f"{root}:{first[:6]}", f"{root}:{second}")
    assert status == 1
    assert ["seed", "0", "1"] in lines
    assert not [line for line in lines if line[0] in ("hidden", "run_id", "started", "host")]
    tasks = results.read(root, "tasks").query("subnetwork == 'dense'")
    values = [tasks[tasks["run_id"] == run_id]["test_accuracy"] for run_id in (first, second)]
    (line,) = (line for line in lines if line[:2] == ["tasks", "test_accuracy"])
    gaps = [abs(a - b) for a, b in zip(*values, strict=True)]
    assert line[2:] == [
        "4", str(sum(gap > 0 for gap in gaps)), f"{max(gaps):.3g}",
        *(f"{each.mean():.6g}" for each in values),
    ]  # fmt: skip


def test_two_storages_of_which_one_has_a_changed_value_and_another_version(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(root, tmp_path / "copy")
    change_row(Storage(copy), streams(root)[1], 2)
    Storage(copy).delete_file(f"tables/runs/{streams(root)[0]}.parquet")
    status, lines = said(capsys, root, copy)
    assert status == 1
    assert ["stream", "1", "0", "1"] in lines
    versions = {line[0]: line[1:] for line in lines if len(line) == 3}
    assert versions["device_used"] == ["cpu", "another, cpu"]
    changed = [line for line in lines if line[0] == "tasks"]
    assert [line[1:4] for line in changed] == [["test_loss", "11", "1"]]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["ROOT"], "the following arguments are required: B"),
        (["ROOT", "ROOT/nowhere"], "storage=ROOT/nowhere: must be"),
        (["ROOT", "ROOT:RUN"], "ROOT:RUN: must be a storage or a run, as ROOT is"),
        (
            ["ROOT:RUN", "ROOT:xyz"],
            "ROOT:xyz: must end with the run_id of an ended run there, or with",
        ),
        (["ROOT:RUN", "ROOT:"], "ROOT:: must end with"),
        (["ROOT:RUN", "/nowhere:a"], "storage=/nowhere: must be"),
    ],
)
def test_a_mistake_is_one_line(
    root: Path, words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def filled(text: str) -> str:
        return text.replace("ROOT", str(root)).replace("RUN", streams(root)[0])

    assert main(["diff", *map(filled, words)]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.replace("STORAGE=", "storage=").startswith(f"error: {filled(why)}")
    assert out.err.count("\n") == 1


def test_a_beginning_of_several_runs_names_them(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = sorted(results.read(root, "runs")["run_id"])
    first = next(c for c in "0123456789abcdef" if sum(r.startswith(c) for r in known) > 1)
    several = [run_id for run_id in known if run_id.startswith(first)]
    assert main(["diff", f"{root}:{first}", f"{root}:{several[0]}"]) == 2
    assert f"here it is the beginning of {', '.join(several[:5])}" in capsys.readouterr().err
