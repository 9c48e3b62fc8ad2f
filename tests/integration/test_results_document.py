"""docs/results.md tells the truth: its lines run as written, and all tools say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raylot.results.compaction import compact
from tests.unit.analysis.studies import falling, write_study

DOCUMENT = Path(__file__).parents[2] / "docs" / "results.md"
AXES = ["lr", "shift", "intervention", "sparsity", "task"]


def lines_of(tool: str) -> str:
    """The code below a heading, after that with which all begin."""
    _, text = DOCUMENT.read_text(encoding="utf-8").split("## Read with any tool")
    before, *parts = re.split(r"^### (.*)$", text, flags=re.MULTILINE)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    blocks = [
        re.findall(r"```python\n(.*?)```", text, re.DOTALL) for text in (before, sections[tool])
    ]
    (root,), (code,) = blocks
    return str(root + code)


@pytest.fixture(params=["as written", "compacted"])
def storage(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a study of two learning rates, one of them with fewer seeds."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "results" / "ticket_count_vs_plasticity"
    for lr, seeds in ((0.001, 3), (0.01, 2)):
        write_study(
            root, falling, shifts=("permuted_pixels", "stationary"), seeds=range(seeds),
            tasks=(0, 10), lr=lr,
        )  # fmt: skip
    if request.param == "compacted":
        compact(root)
    return root


@pytest.mark.parametrize("tool", ["pandas", "polars", "DuckDB", "xarray"])
def test_its_lines_run_as_written(
    storage: Path, tool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    exec(compile(lines_of(tool), "docs/results.md", "exec"), names)
    assert capsys.readouterr().out
    along = names["along"]
    if tool == "xarray":
        found = along.to_series().dropna()
        counts = [3, 3, 3, 3, 2, 2, 2, 2]
    else:
        frame = along.to_pandas() if tool == "polars" else along
        frame = frame if tool == "pandas" else frame.set_index(AXES)
        found, counts = frame["mean"], frame["count"].tolist()
    assert counts == [3, 3, 3, 3, 2, 2, 2, 2]
    expected = [
        np.mean([falling(shift, seed, task, 0.8)["ticket_count"] for seed in range(seeds)])
        for seeds in (3, 2)
        for shift in ("permuted_pixels", "stationary")
        for task in (0, 10)
    ]
    assert found.to_numpy() == pytest.approx(expected)
    assert list(found.index.names) == AXES
    if tool == "xarray":
        assert set(names["lost"].dims) == {"lr", "shift", "intervention", "sparsity", "seed"}
        assert isinstance(names["cube"].to_dataframe(), pd.DataFrame)
