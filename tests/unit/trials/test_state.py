"""Saved state: everything comes back, and damage is noticed."""

from __future__ import annotations

import math

import pytest
import torch

from raylot.trials.state import RunState, tensors_from_bytes, tensors_to_bytes


def test_everything_comes_back_to_the_last_bit() -> None:
    state = RunState(
        started="2026-01-01T00:00:00+00:00",
        steps=3,
        training_steps=7,
        seconds=0.1,
        diverged=True,
        rows={"tasks": [{"task": 0, "test_accuracy": 1 / 3, "train_loss": math.inf}]},
        tensors={"a": torch.tensor([1e-30, -0.0, math.nan]), "m": torch.tensor([True, False])},
    )
    again = RunState.from_bytes(state.to_bytes())
    assert again.rows == state.rows
    assert (again.steps, again.training_steps, again.seconds) == (3, 7, 0.1)
    assert again.diverged
    bits = [tensors["a"].view(torch.int32) for tensors in (again.tensors, state.tensors)]
    assert torch.equal(*bits)
    assert torch.equal(again.tensors["m"], state.tensors["m"])


def test_a_state_without_tensors_or_rows_is_possible() -> None:
    assert RunState.from_bytes(RunState(started="now").to_bytes()) == RunState(started="now")


@pytest.mark.parametrize("damage", [b"", b"\x00" * 40, b"no such file at all, but long enough"])
def test_damage_is_an_error_not_data(damage: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        RunState.from_bytes(damage)


def test_truncation_is_an_error_wherever_it_happens() -> None:
    data = RunState(started="now", tensors={"a": torch.ones(10)}).to_bytes()
    for length in range(len(data)):
        with pytest.raises(ValueError, match="not a"):
            RunState.from_bytes(data[:length])


def test_a_file_of_tensors_alone_is_no_state() -> None:
    with pytest.raises(ValueError, match="not a saved state"):
        RunState.from_bytes(tensors_to_bytes({"a": torch.ones(2)}))


def test_views_of_one_storage_are_saved_as_tensors_of_their_own() -> None:
    whole = torch.arange(6.0)
    saved = tensors_from_bytes(tensors_to_bytes({"a": whole[:3], "b": whole.view(2, 3).T}))
    assert saved["a"].tolist() == [0, 1, 2]
    assert saved["b"].tolist() == [[0, 3], [1, 4], [2, 5]]
