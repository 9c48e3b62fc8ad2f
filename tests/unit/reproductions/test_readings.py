"""Quantities as they are found in rows, worked out by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from raylot.reproductions._readings import (
    along_stream,
    best_of,
    best_of_supermasks,
    minus,
    of_tickets,
    probe_gap,
)


def _read(**tables: list[dict[str, Any]]) -> Any:
    return lambda name: pd.DataFrame(tables[name])


def _ticket(seed: int, control: str, round_index: int, accuracy: float, **more: Any) -> Any:
    row = {"seed": seed, "control": control, "round": round_index, "test_accuracy": accuracy}
    return {"run_id": f"run{seed}", "sparsity": 0.8, **row, **more}


def test_tickets_are_those_of_the_last_round_and_of_one_sparsity() -> None:
    read = _read(
        tickets=[
            _ticket(0, "dense", 0, 0.90),
            _ticket(0, "ticket", 1, 0.91),
            _ticket(0, "ticket", 2, 0.94),
            _ticket(0, "ticket", 2, 0.96),
            _ticket(0, "ticket", 2, 0.5, sparsity=0.9),
            _ticket(1, "ticket", 2, 0.93),
        ]
    )
    assert of_tickets(0.8)(read).to_dict() == {0: pytest.approx(0.95), 1: 0.93}
    assert of_tickets(0.8, round_index=1)(read).to_dict() == {0: 0.91}
    assert of_tickets(0.8, "dense")(read).to_dict() == {0: 0.90}
    gains = minus(of_tickets(0.8), of_tickets(0.8, "dense"))
    assert gains(read).to_dict() == {0: pytest.approx(0.05)}, "seed 1 has no dense network"
    assert of_tickets(0.7)(read).empty


def test_the_best_sparsity_is_the_same_for_all_seeds() -> None:
    masks = [
        _ticket(0, "supermask", 1, 0.7),
        _ticket(0, "supermask", 1, 0.9, sparsity=0.5),
        _ticket(1, "supermask", 1, 0.8),
        _ticket(1, "supermask", 1, 0.7, sparsity=0.5),
        {**_ticket(2, "supermask", 1, 1.0), "run_id": "other"},
    ]
    runs = [{"run_id": "run0", "lr": 0.1}, {"run_id": "run1", "lr": 0.1}]
    read = _read(tickets=masks, runs=[*runs, {"run_id": "other", "lr": 0.2}])
    assert best_of_supermasks(lr=0.1)(read).to_dict() == {0: 0.9, 1: 0.7}
    assert best_of_supermasks(lr=0.3)(read).empty


def test_the_end_of_a_stream_is_its_last_tenth() -> None:
    rows = [{"run_id": "a", "seed": 0, "task": t, "online_accuracy": float(t)} for t in range(20)]
    read = _read(tasks=rows, runs=[{"run_id": "a", "intervention": "none"}])
    assert along_stream("online_accuracy")(read).to_dict() == {0: 18.5}
    assert along_stream("online_accuracy", range(2))(read).to_dict() == {0: 0.5}
    assert along_stream("online_accuracy", intervention="l2")(read).empty
    short = _read(tasks=rows[:7], runs=[{"run_id": "a"}])
    assert along_stream("online_accuracy")(short).to_dict() == {0: 6.0}


def test_a_probe_gap_is_the_fresh_networks_lead() -> None:
    rows = [
        {
            "seed": 0,
            "run_id": f"of {g}",
            "probe_task": p,
            "trained": trained,
            "task": task,
            "gradual": g,
            "speed": speed,
        }
        for p in (0, 1)
        for trained, task, g, speed in [
            ("fresh", None, 0.0, 0.9 + p / 100),
            ("fresh", None, 0.5, 0.95),
            ("snapshot", 5, 0.0, 0.5),
            ("snapshot", 0, 0.0, 0.9),
            ("snapshot", 5, 0.5, 0.8),
        ]
    ]
    read = _read(probes=rows)
    assert probe_gap(5, "speed", gradual=0.0)(read).to_dict() == {0: pytest.approx(0.405)}
    assert probe_gap(7, "speed", gradual=0.0)(read).empty
    # each snapshot is beside the fresh network of its own run: the mean of 0.4, 0.41 and twice 0.15
    assert probe_gap(5, "speed")(read).to_dict() == {0: pytest.approx(0.2775)}


def test_the_best_of_several_is_the_same_for_all_seeds() -> None:
    """By their means 0.5 and 0.6 the second is taken; a variant that is not there never is."""
    first, second = pd.Series({0: 0.9, 1: 0.1}), pd.Series({0: 0.5, 1: 0.7})
    readings = [lambda read: pd.Series(dtype=float), lambda read: first, lambda read: second]
    assert best_of(readings)(_read()) is second
    others = [pd.Series({0: 1.0}), pd.Series({0: 2.0}), pd.Series({0: 3.0})]
    by_change = best_of([lambda read, one=one: one for one in others], by=readings)
    assert by_change(_read()) is others[2]
    assert best_of(readings[:1])(_read()).empty
