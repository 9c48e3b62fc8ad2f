"""The script: its files, what is left out, settings kept apart, storages with gaps."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image

from raylot.analysis import command
from raylot.analysis.figures import figures
from raylot.analysis.figures.along_stream import along_stream
from raylot.analysis.figures.plasticity_along_stream import plasticity_along_stream
from raylot.foundation.errors import OptionError
from raylot.storage import Storage
from tests.unit.analysis.studies import falling, materials, write_study

pytestmark = pytest.mark.filterwarnings("error")

NO_STREAMS = "left out  ticket_streams: no ticket streams were trained here\n"


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, bytes]]:
    """Draws all figures, or those named; returns the contents of the files."""

    def run(root: Path, *names: str) -> dict[str, bytes]:
        if names:
            for table in ("FIGURES", "COMPARISONS"):
                own = {n: f for n, f in getattr(figures, table).items() if n in names}
                monkeypatch.setattr(figures, table, own)
        assert command.run(lambda: figures.main([str(root)])) == 0
        files = (root / "analysis/figures").glob("[!.]*")
        return {path.name: path.read_bytes() for path in files if path.is_file()}

    return run


def test_all_figures(tmp_path: Path, draw: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_study(tmp_path, lambda *at: {**falling(*at), "dense_accuracy": 0.9}, seeds=(0, 1))
    files = draw(root)
    printed = capsys.readouterr().out
    drawn = [
        "accuracy_along_stream", "along_stream", "correlation_matrix_first_differences",
        "correlation_matrix_pearson", "first_differences", "plasticity_along_stream",
        "tickets_and_controls", "tickets_vs_plasticity",
    ]  # fmt: skip
    assert sorted(files) == [f"{name}.{ending}" for name in drawn for ending in ("png", "svg")]
    assert f"figures  {root}/analysis/figures/ (" in printed
    assert all(name in printed for name in drawn)
    assert NO_STREAMS in printed
    assert "left out  plastic_parameters: no overlaps" in printed
    along = files["along_stream.svg"].decode()
    for label in ("permuted_pixels", "sparsity 0.8", "Task of the stream",
                  "Test accuracy", "Mean pairwise overlap", "chance level",
                  "Means over 2 seeds"):  # fmt: skip
        assert label in along
    scatter = files["tickets_vs_plasticity.svg"].decode()
    for label in ("task 0", "task 30", "permuted_pixels", "sparsity 0.8",
                  "Ticket minus random accuracy", "(difference of accuracies)",
                  "Probe gap (difference of online accuracies)"):  # fmt: skip
        assert label in scatter
    width = image.imread(root / "analysis/figures/along_stream.png").shape[1]
    assert width == 3.5 * 200


def test_one_figure_is_drawn_by_its_name(tmp_path: Path) -> None:
    storage = Storage(write_study(tmp_path, falling, seeds=(0, 1), tasks=(0, 3)))
    assert set(figures.names(storage)) == {*figures.FIGURES, *figures.COMPARISONS}
    assert figures.draw(storage, "along_stream").axes[0].get_title() == "permuted_pixels"
    for name, why in (("ticket_streams", "cannot be drawn, no ticket"), ("mine", "must be one of")):
        with pytest.raises(OptionError, match=f"figure={name}: {why}"):
            figures.draw(storage, name)


def test_which_measures_are_in_the_matrices_is_an_option(
    tmp_path: Path, draw: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "correlation_matrix_pearson"
    assert b"winning ticket count" not in draw(write_study(tmp_path, falling), name)[f"{name}.svg"]
    assert command.run(lambda: figures.main([str(tmp_path), "--measures", "all"])) == 0
    assert b"winning ticket count" in (tmp_path / f"analysis/figures/{name}.svg").read_bytes()
    assert capsys.readouterr().err.endswith("drawing figures ...\n")
    assert command.run(lambda: figures.main([str(tmp_path), "--measures", "most"])) == 2
    assert capsys.readouterr().err == "error: --measures=most: must be one of main, all\n"


def test_without_probe_tasks_the_figure_says_what_the_control_s_accuracy_does_not_tell(
    tmp_path: Path, draw: Any
) -> None:
    def without_probes(*at: Any) -> dict[str, float]:
        return {k: v for k, v in falling(*at).items() if k != "probe_online_gap"}

    root = write_study(
        tmp_path, without_probes, shifts=("permuted_pixels", "stationary"), tasks=(0, 3)
    )
    (_, figure) = sorted(draw(root, "tickets_vs_plasticity").items())
    assert figure[0] == "tickets_vs_plasticity.svg"
    words = " ".join(re.sub(r"<[^>]*>", " ", figure[1].decode()).split())
    assert "Test accuracy (fraction)" in words
    assert "only probe tasks (--probe-tasks) can tell whether it still learns" in words


def test_drawing_again_gives_the_same_bytes(tmp_path: Path, draw: Any) -> None:
    root = write_study(tmp_path, falling, seeds=(0, 1), tasks=(0, 3))
    assert draw(root, "along_stream") == draw(root)


def test_each_protocol_has_its_own_files(tmp_path: Path, draw: Any) -> None:
    for lr in (0.001, 0.01):
        write_study(tmp_path, falling, seeds=(0,), tasks=(0, 3), lr=lr)
    files = draw(tmp_path, "along_stream", "accuracy_along_stream")
    assert len(files) == 8
    assert len({name.rpartition("_")[2] for name in files}) == 4
    shown = [b"lr=0.001" in files[name] for name in files if name.endswith(".svg")]
    assert sorted(shown) == [False, False, True, True]


def test_only_its_own_figures_of_an_earlier_call_are_removed(tmp_path: Path, draw: Any) -> None:
    write_study(tmp_path, falling, seeds=(0,), tasks=(0, 3))
    assert "along_stream.png" in draw(tmp_path, "along_stream")
    mine = {
        "mine.png", "along_stream_annotated_by_me.svg", "along_stream_5ba11f8f78ec.png",
        "tickets_vs_plasticity.svg", "along_stream.pdf",
    }  # fmt: skip
    for name in mine:
        (tmp_path / "analysis/figures" / name).touch()
    write_study(tmp_path, falling, seeds=(0,), tasks=(0, 3), lr=0.01)
    left = set(draw(tmp_path, "along_stream"))
    assert mine < left
    assert "along_stream.png" not in left
    assert "along_stream.svg" not in left
    assert len(left - mine) == 4
    assert all(name.startswith("along_stream_") for name in left - mine)


def test_what_a_killed_call_has_written_is_removed_as_its_own(
    tmp_path: Path, draw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(tmp_path, falling, seeds=(0,), tasks=(0, 3))
    write = Storage.write

    def killed(storage: Storage, path: str, data: bytes) -> None:
        write(storage, path, data)
        if path.endswith(".png"):
            raise SystemExit

    monkeypatch.setattr(Storage, "write", killed)
    with pytest.raises(SystemExit):
        draw(tmp_path, "along_stream")
    monkeypatch.setattr(Storage, "write", write)
    assert (tmp_path / "analysis/figures/along_stream.png").exists()
    write_study(tmp_path, falling, seeds=(0,), tasks=(0, 3), lr=0.01)
    assert "along_stream.png" not in draw(tmp_path, "along_stream")


def test_a_note_of_another_hand_removes_nothing_outside_the_folder(
    tmp_path: Path, draw: Any
) -> None:
    write_study(tmp_path, falling, seeds=(0,), tasks=(0, 3))
    outside = tmp_path / "precious.txt"
    outside.touch()
    (tmp_path / "analysis/figures/folder").mkdir(parents=True)
    note = b"folder\n../../precious.txt\n/etc/passwd\nfolder/../../../precious.txt\n\xff\n"
    (tmp_path / "analysis/figures/.written").write_bytes(note)
    draw(tmp_path, "along_stream")
    assert outside.exists()


def test_the_line_shows_every_task_and_points_mark_the_snapshots(tmp_path: Path) -> None:
    """A dip between two snapshots is as bold as they are."""
    [own] = materials(write_study(tmp_path, falling, tasks=(0, 10)))
    dipped = own.tables.tasks.copy()
    dipped.loc[dipped["task"] == 5, "test_accuracy"] = 0.2
    material = replace(own, tables=replace(own.tables, tasks=dipped))
    upper = along_stream(material).axes[0]
    [plastic] = [
        axes
        for axes in plasticity_along_stream(material).axes
        if axes.get_title().startswith("Test accuracy")
    ]
    for axes in (upper, plastic):
        points, line = axes.get_lines()
        assert list(points.get_xdata()) == [0, 10]
        assert (points.get_linestyle(), points.get_marker()) == ("None", "o")
        assert list(line.get_xdata()) == list(range(11))
        assert line.get_ydata()[5] == pytest.approx(0.2)
        assert [line.get_ydata()[task] for task in (0, 10)] == pytest.approx(points.get_ydata())
        assert line.get_linewidth() == points.get_linewidth()
        assert line.get_alpha() is None


def test_interventions_share_the_figure_of_accuracy(tmp_path: Path, draw: Any) -> None:
    for intervention in ("none", "redo"):
        write_study(tmp_path, falling, seeds=(0,), tasks=(0, 3), intervention=intervention)
    files = draw(tmp_path, "along_stream", "accuracy_along_stream")
    assert {name.rpartition(".")[0] for name in files} == {
        "accuracy_along_stream", "along_stream_none", "along_stream_redo",
    }  # fmt: skip
    assert b"redo" in files["accuracy_along_stream.svg"]


def test_one_seed_and_one_snapshot(
    tmp_path: Path, draw: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    files = draw(write_study(tmp_path, falling, seeds=(0,), tasks=(0,)))
    assert len(files) == 10
    assert "left out  first_differences: no stream has two neighbouring" in capsys.readouterr().out
    assert b"One seed, so no intervals" in files["along_stream.svg"]


def test_diverged_runs(tmp_path: Path, draw: Any, capsys: pytest.CaptureFixture[str]) -> None:
    lost = dict.fromkeys(("ticket_count", "overlap_mean", "test_accuracy"), np.nan)
    files = draw(write_study(tmp_path, lambda *_: lost, seeds=(0, 1), tasks=(0, 10)))
    assert b"no finite values" in files["along_stream.svg"]
    assert "left out  accuracy_along_stream: no stream has an accuracy" in capsys.readouterr().out
