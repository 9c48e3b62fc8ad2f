"""The figures exist, say what they show and can be edited as text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import command
import figures
import numpy as np
import pytest
from matplotlib import image

pytestmark = pytest.mark.filterwarnings("error")


def draw(root: Path) -> dict[str, bytes]:
    assert command.run(lambda: figures.main([str(root)])) == 0
    return {path.name: path.read_bytes() for path in (root / "analysis/figures").iterdir()}


def test_both_figures(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = draw(storage)
    printed = capsys.readouterr().out
    assert sorted(files) == [
        "along_stream.png", "along_stream.svg",
        "ticket_count_vs_plasticity.png", "ticket_count_vs_plasticity.svg",
    ]  # fmt: skip
    assert all(f"written  {storage}/analysis/figures/{name}\n" in printed for name in files)
    along = files["along_stream.svg"].decode()
    for label in ("permuted_pixels, 5 seeds", "stationary, 5 seeds", "sparsity 0.8",
                  "sparsity 0.9", "Task of the stream", "Test accuracy",
                  "Mean pairwise overlap", "chance level"):  # fmt: skip
        assert label in along
    scatter = files["ticket_count_vs_plasticity.svg"].decode()
    for label in ("task 0", "task 30", "permuted_pixels", "Ticket count (effective number)",
                  "Test accuracy (fraction)", "sparsity 0.9"):  # fmt: skip
        assert label in scatter
    width = image.imread(storage / "analysis/figures/along_stream.png").shape[1]
    assert width == 7.2 * 200


def test_drawing_again_gives_the_same_bytes(
    tmp_path: Path, write_study: Callable[..., Path], falling: Any
) -> None:
    root = write_study(tmp_path, falling, seeds=(0, 1), tasks=(0, 3))
    assert draw(root) == draw(root)


def test_each_protocol_has_its_own_files(
    tmp_path: Path, write_study: Callable[..., Path], falling: Any
) -> None:
    for lr in (0.001, 0.01):
        write_study(tmp_path, falling, seeds=(0, 1), lr=lr)
    names = sorted(draw(tmp_path))
    assert len(names) == 8
    assert len({name.rpartition("_")[2] for name in names}) == 4


def test_one_seed_and_one_snapshot(
    tmp_path: Path, write_study: Callable[..., Path], falling: Any
) -> None:
    assert len(draw(write_study(tmp_path, falling, seeds=(0,), tasks=(0,)))) == 4


def test_diverged_runs(tmp_path: Path, write_study: Callable[..., Path]) -> None:
    lost = dict.fromkeys(("ticket_count", "overlap_mean", "test_accuracy"), np.nan)
    assert len(draw(write_study(tmp_path, lambda *_: lost, seeds=(0, 1), tasks=(0, 10)))) == 4
