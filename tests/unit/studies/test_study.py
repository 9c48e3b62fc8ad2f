"""A study from Python asks for what the command line asks for, in the same words."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raylot
from raylot.command.arguments import parse


@pytest.mark.parametrize(
    ("options", "typed"),
    [
        ({}, ""),
        ({"preset": "original"}, "--preset original"),
        (
            {"seeds": range(3), "shifts": ["permuted_pixels"], "tasks": 11},
            "--seeds 0-2 --shifts permuted_pixels --tasks 11",
        ),
        (
            {"seeds": np.arange(2), "sparsities": np.array([0.5]), "lr": np.float64(0.5)},
            "--seeds 0,1 --sparsities 0.5 --lr 0.5",
        ),
        ({"seeds": "0-4", "snapshots": "0-:5", "rounds": "auto"}, "--snapshots 0-:5 --rounds auto"),
        (
            {"sparsities": (0.8, 0.9), "rounds": {0.8: 3, 0.9: 5}, "hidden": [32, 16]},
            "--sparsities 0.8 0.9 --rounds 0.8:3,0.9:5 --hidden 32,16",
        ),
        ({"preset": "original", "sparsities": 0.9}, "--preset original --sparsities 0.9"),
        (
            {"search": {"fraction": np.array([0.5, 1]), "period": range(2, 4), "gradual": 0.5}},
            "--search fraction=0.5,1 --search period=2,3 gradual=0.5",
        ),
        ({"carry_optimizer": True, "random_masks": None}, "--carry-optimizer true"),
    ],
)
def test_it_equals_the_command_line(options: dict[str, Any], typed: str) -> None:
    assert dict(raylot.Study(**options)) == dict(parse("", "study", typed.split()).study)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": range(0)}, r"seeds=range\(0, 0\): must be whole numbers from 0, each once"),
        ({"seeds": [1, 1]}, r"seeds=\[1, 1\]: must be whole numbers from 0, each once"),
        ({"lr": -1}, r"lr=-1: must be a number in \(0, 100\]"),
        ({"tasks": True}, "tasks=True: must be a whole number"),
        ({"seed": 0}, "seed=0: unknown option; did you mean seeds"),
        ({"preset": "orignal"}, "preset=orignal: must be one of default, original"),
        ({"preset": ["stationary"]}, r"preset=\['stationary'\]: must be one of default, original"),
        ({"tasks": 10**5000}, "tasks=a huge int: must be"),
        ({"shifts": ["permuted"]}, "shifts=permuted: must be one or more of bit_flipping"),
        ({"preset": "original", "sparsities": [0.5]}, r"sparsities=\[0.5\]: must go with rounds"),
        ({"device": "cuda"}, "device=cuda: must go with gpus_per_trial"),
        ({"search": {"shrink": [0.8]}}, "search=shrink=0.8: must go with intervention shrink_and"),
        ({"search": {"lr": [0.1, 1]}, "lr": 1}, "search=lr=0.1,1.0: must be given without lr=1.0"),
    ],
)
def test_a_mistake_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(raylot.OptionError, match=f"^{message}") as refused:
        raylot.Study(**options)
    assert "\n" not in str(refused.value)


def test_it_shows_what_differs_from_the_preset(tmp_path: Path) -> None:
    assert repr(raylot.Study()) == "Study()"
    study = raylot.Study("original", seeds=range(2), data_root=None, tasks=101)
    assert str(study) == "Study('original', tasks=101, snapshots=(0, 50, 100), seeds=(0, 1))"
    assert eval(repr(study), {"Study": raylot.Study}) == study
    wide = raylot.Study(seeds=range(100), snapshots=[0, 1, 3], data_root=tmp_path)
    assert repr(wide) == (
        f"Study(snapshots=(0, 1, 3), data_root={str(tmp_path)!r}, seeds=range(0, 100))"
    )
    assert eval(repr(wide), {"Study": raylot.Study}) == wide
    doses = raylot.Study(search={"fraction": np.array([0.5, 0.25])})
    assert repr(doses) == "Study(search={'fraction': (0.5, 0.25)})"
    assert eval(repr(doses), {"Study": raylot.Study}) == doses
    assert pickle.loads(pickle.dumps(study)) == study


def test_the_signature_and_the_docstring_list_every_option() -> None:
    names = set(raylot.Study.model_fields)
    assert names <= set(inspect.signature(raylot.Study).parameters)
    assert all(f"        {name}: " in (raylot.Study.__doc__ or "") for name in names)
