"""Overlap of tickets with the most plastic parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raylot.analysis.figures.material import NothingToDrawError
from raylot.analysis.figures.plastic_overlap import plastic_overlap
from raylot.config import Study
from tests.unit.analysis.studies import materials, write_rows, write_study

pytestmark = pytest.mark.filterwarnings("error")


def values(*_: Any) -> dict[str, float]:
    return {"test_accuracy": 0.9, "ticket_count": 2.0}


def test_each_selection_beside_its_chance_level(tmp_path: Path) -> None:
    write_study(tmp_path, values, seeds=(0, 1), tasks=(0, 5))
    study = Study.checked(tasks=6, snapshots="0,5", rounds=3)
    for seed in (0, 1):
        for task in (0, 5):
            run = study.tickets_run(shift="permuted_pixels", seed=seed, task=task, sparsity=0.8)
            place = {"task": task, "sparsity": 0.8, "protocol": run.protocol, "rounds": 3}
            rows = [
                {**place, "layer": layer, "selection": selection, "chance": chance,
                 "jaccard": jaccard + 0.02 * seed + 0.01 * task + wrong}
                for selection, jaccard, chance in (("first", 0.3, 0.1), ("union", 0.5, 0.2))
                for layer, wrong in (("all", 0), ("0", 9))
            ]  # fmt: skip
            write_rows(tmp_path, "plastic_parameters", run, rows)
    [axes] = (figure := plastic_overlap(*materials(tmp_path))).axes
    first, chance_of_first, union, chance_of_union = axes.get_lines()
    assert first.get_ydata() == pytest.approx([0.31, 0.36])
    assert union.get_ydata() == pytest.approx([0.51, 0.56])
    assert list(chance_of_first.get_ydata()) == [0.1, 0.1]
    assert list(chance_of_union.get_ydata()) == [0.2, 0.2]
    assert chance_of_union.is_dashed()
    assert {text.get_text() for text in axes.texts} == {"first ticket", "union"}
    assert "chance level" in " ".join(figure.get_supxlabel().split())


def test_not_measured(tmp_path: Path) -> None:
    root = write_study(tmp_path, values, seeds=(0,), tasks=(0,))
    with pytest.raises(NothingToDrawError, match="plastic parameters"):
        plastic_overlap(*materials(root))
