"""Every option with a range: both its ends, and what is no number; the customary rounds."""

from __future__ import annotations

import math
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import annotated_types
import pytest
from pydantic.fields import FieldInfo

from raylot.config import DataOptions, Study, TicketsRun, TicketStreamRun, customary_rounds
from raylot.config.options import Options, accepted
from tests.unit.config.refused import refusal

#: What must be given along with an option at the end of its range, to contradict nothing.
COMPANIONS: dict[str, dict[str, Any]] = {
    "train_examples": {"dataset": "slowly_changing_regression"},
    "samples": {"search": "lr=loguniform(1e-4,1e-2)"},
    "max_seeds": {"until_width": 0.1},
    "momentum": {"optimizer": "sgd"},
    "probe_classes": {"search_task": "probe", "probe_shift": "class_split"},
    "probe_size": {"dataset": "mnist"},
    "fraction": {"shifts": "noise"},
    "rewind_steps": {"dataset": "mnist", "epochs": 100_000, "batch_size": 1},
    "untrained_masks": {"tickets": 1000},
    "ticket_pairs": {"tickets": 1000},
    "rewired_masks": {"tickets": 1000},
    "reinit_tickets": {"tickets": 1000},
    "supermasks": {"tickets": 1000},
    "examples_per_class": {"criterion": "snip"},
    "early_bird": {"epochs": 9},
    "early_bird_epochs": {"epochs": 1001, "early_bird": 0.1},
    "edge_popup_lr": {"criterion": "edge_popup"},
    "edge_popup_momentum": {"criterion": "edge_popup"},
}


def number_type(field: FieldInfo) -> Any:
    """int or float for a numeric option, also if it may be left out."""
    annotation = field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [a for a in get_args(annotation) if a is not type(None)]
        annotation = kinds[0] if len(kinds) == 1 else None
    return annotation if annotation in (int, float) else None


def _models() -> dict[str, type[Options]]:
    """Every option, and one model that has it."""
    return {
        name: model for model in (TicketStreamRun, TicketsRun, Study) for name in model.model_fields
    }


NUMERIC = {
    (model, name): number_type(model.model_fields[name])
    for name, model in _models().items()
    if name != "rounds" and number_type(model.model_fields[name])
}


def ends(field: FieldInfo, number: Any) -> list[tuple[Any, Any]]:
    """For each end of an option's range: the last value inside and the first one outside."""
    found: list[tuple[Any, Any]] = []
    for limit in field.metadata:
        if isinstance(limit, annotated_types.Ge):
            found.append((limit.ge, _step(limit.ge, number, -1)))
        elif isinstance(limit, annotated_types.Gt):
            found.append((_step(limit.gt, number, 1), limit.gt))
        elif isinstance(limit, annotated_types.Le):
            found.append((limit.le, _step(limit.le, number, 1)))
        elif isinstance(limit, annotated_types.Lt):
            found.append((_step(limit.lt, number, -1), limit.lt))
    return found


def _step(value: Any, number: Any, sign: int) -> Any:
    return value + sign if number is int else math.nextafter(value, sign * math.inf)


ENDS = [
    pytest.param(model, name, inside, outside, id=f"{model.__name__}-{name}-{outside}")
    for (model, name), number in NUMERIC.items()
    for inside, outside in ends(model.model_fields[name], number)
]


# ------------------------------------------------------------------ every numeric option


def test_every_numeric_option_has_a_range() -> None:
    assert len(NUMERIC) > 35
    for (model, name), number in NUMERIC.items():
        limits = ends(model.model_fields[name], number)
        assert len(limits) >= (2 if number is float else 1), f"{name} has an open end"


@pytest.mark.parametrize(("model", "name", "inside", "outside"), ENDS)
def test_a_range_ends_where_the_message_says(
    model: type[Options], name: str, inside: Any, outside: Any
) -> None:
    words = accepted(model.model_fields[name])
    assert str(inside) in words or str(outside) in words
    for wrong in (outside, str(outside)):
        told = refusal(lambda wrong=wrong: model.checked(**{name: wrong}))  # type: ignore[misc]
        assert told == f"{name}={outside}: must be {words}"
    companions = COMPANIONS.get(name, {})
    for right in (inside, str(inside)):
        assert getattr(model.checked(**{name: right}, **companions), name) == inside


@pytest.mark.parametrize(("model", "name"), NUMERIC)
def test_what_is_no_number_is_refused(model: type[Options], name: str) -> None:
    for value in (math.nan, -math.inf, "word", [1], {}):
        told = refusal(lambda value=value: model.checked(**{name: value}))  # type: ignore[misc]
        assert told == f"{name}={value}: must be {accepted(model.model_fields[name])}"


@pytest.mark.parametrize(
    ("model", "name"), [key for key, number in NUMERIC.items() if number is int]
)
def test_whole_numbers_are_whole(model: type[Options], name: str) -> None:
    assert refusal(lambda: model.checked(**{name: 2.5})).startswith(f"{name}=2.5: must be")


@pytest.mark.parametrize("slip", ["$HOME/x", "s3:/bucket/x", " x"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_slip_in_a_folder_is_told_of_a_text_and_of_a_path(kind: type, slip: str) -> None:
    told = refusal(lambda: DataOptions.checked(dataset="mnist", data_root=kind(slip)))
    assert told.startswith(f"data_root={slip}: must be a folder that holds MNIST")


def test_a_path_to_a_folder_that_is_there_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "$HOME"
    folder.mkdir()
    for path in (folder, Path("$HOME")):
        assert DataOptions.checked(dataset="mnist", data_root=path).data_root == folder


@pytest.mark.parametrize(
    ("sparsity", "rounds"),
    [
        (0.0, 1),  # nothing to prune, and yet a round
        (0.1, 1),
        (0.2, 1),  # 0.8
        (0.36, 2),  # 0.64 = 0.8 ** 2
        (0.488, 3),  # 0.512 = 0.8 ** 3
        (0.8, 7),  # 0.8 ** 7 = 0.2097
        (0.9, 10),  # 0.8 ** 10 = 0.1074
        (0.95, 13),  # 0.8 ** 13 = 0.0550
    ],
)
def test_customary_rounds(sparsity: float, rounds: int) -> None:
    assert customary_rounds(sparsity) == rounds
