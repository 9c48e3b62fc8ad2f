"""Doses are written short, and no two alike."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from raylot.config import StreamRun
from raylot.config.doses import dose_text, in_file_names, labelled


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({"intervention": "l2_init"}, "l2_init"),
        ({"intervention": "l2_init", "l2_strength": 1e-3}, "l2_init(1e-3)"),
        ({"intervention": "redo", "redo_interval": 50}, "redo(redo_interval=50)"),
        (
            {"intervention": "shrink_and_perturb", "shrink": 0.9, "perturb": 0.2},
            "shrink_and_perturb(shrink=0.9, perturb=0.2)",
        ),
        ({"intervention": "none", "l2_strength": 1e-3}, "none"),
    ],
)
def test_what_differs_from_the_defaults_is_told(options: dict[str, Any], label: str) -> None:
    assert labelled("intervention", StreamRun(**options).dose) == label


def test_what_varies_is_told_even_at_its_default() -> None:
    run = StreamRun(shift="rotation", intervention="shrink_and_perturb", perturb=0.2)
    varied = {"shrink", "period", "l2_strength"}
    assert labelled("shift", run.dose, varied) == "rotation(period=0)"
    told = "shrink_and_perturb(shrink=0.8, perturb=0.2)"
    assert labelled("intervention", run.dose, varied) == told


def test_files_of_two_labels_never_have_one_name() -> None:
    labels = [
        "redo", "redo_50", "redo(50)", "redo(redo_interval=50)", "redo_redo_interval_50", "redo@50",
        "redo(redo_threshold=0, redo_interval=50)",
    ]  # fmt: skip
    names = [in_file_names(label) for label in labels]
    assert len({*names}) == len(names)
    assert not {*itertools.chain(*names)} & {*"(), "}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-3, "1e-3"), (0.5, "0.5"), (0.01, "0.01"), (0.0025, "0.0025"), (1e-7, "1e-7"),
        (0.0, "0"), (100, "100"), (100.0, "100"), (1.5, "1.5"), (True, "true"), ("task", "task"),
        (0.12345678, "0.12345678"), (1e-4, "1e-4"), (np.True_, "true"),
        (None, "not given"),
    ],
)  # fmt: skip
def test_a_dose_reads_as_a_user_writes_it(value: Any, text: str) -> None:
    assert dose_text(value) == text
