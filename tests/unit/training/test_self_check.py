"""Stacking by default needs a check on this machine first; these run it on the CPU."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from raylot.config import OptimizerOptions
from raylot.foundation.randomness import RandomKey
from raylot.training import TrainingJob, TrainingResult, engines, generic, train_all
from raylot.training.stacked import self_check, train_stacked
from tests.support.tasks import random_task, small_network
from tests.unit.training.networks import random_masks

Change = Callable[[Sequence[TrainingJob], list[TrainingResult]], None]


def _jobs(count: int = 3, **changes: Any) -> list[TrainingJob]:
    networks = [small_network(seed=number) for number in range(count)]
    usual: dict[str, Any] = {
        "epochs": 1, "batch_size": 16, "optimizer": OptimizerOptions(lr=0.01),
    }  # fmt: skip
    return [
        TrainingJob(
            **{
                "network": network, "task": random_task(), "key": RandomKey((0, "test", number)),
                "masks": random_masks(network, 0.5, number) if number else None,
                **usual, **changes,
            }
        )
        for number, network in enumerate(networks)
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if jobs were on a GPU of which nothing is known yet; checks are shorter."""
    monkeypatch.setattr(self_check, "_LONG", 12)
    monkeypatch.setattr(self_check, "_REPEATS", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(self_check, "_known", {})
    monkeypatch.setattr(engines, "trains_together", lambda device, engine: engine != "generic")
    return tmp_path / "cache/raylot/self_checks"


class Planted:
    """The stacked engine with another result, and seconds of its own choice for a step.

    Attributes:
        calls: how often it trained for a check.
    """

    def __init__(self, seconds: float, change: Change = lambda jobs, results: None) -> None:
        self.calls, self._seconds, self._change = 0, seconds, change

    def __call__(self, jobs: Sequence[TrainingJob]) -> list[TrainingResult]:
        self.calls += 1
        results = train_stacked(jobs)
        self._change(jobs, results)
        return [dataclasses.replace(r, seconds=r.steps * self._seconds) for r in results]


def _plant(monkeypatch: pytest.MonkeyPatch, seconds: float, **change: Change) -> Planted:
    planted = Planted(seconds, **change)
    monkeypatch.setattr(self_check, "train_stacked", planted)
    return planted


def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in another process."""
    monkeypatch.setattr(self_check, "_known", {})


def _assert_stacked() -> None:
    results = train_all(_jobs())
    assert {(result.engine, result.remark) for result in results} == {("stacked", "")}


def _remark() -> str:
    """Why jobs were not stacked; they are trained as they would be otherwise."""
    jobs, alone = _jobs(), _jobs()
    results = train_all(jobs)
    expected = [generic.train(job) for job in alone]
    for result, other in zip(results, expected, strict=True):
        assert result.engine == "fast"
        assert result.test_loss == pytest.approx(other.test_loss, rel=1e-4)
    (remark,) = {result.remark for result in results}
    return remark


def test_a_machine_that_passes_stacks_and_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    planted = _plant(monkeypatch, 0)
    _assert_stacked()
    calls = planted.calls
    (kept,) = cache.iterdir()
    assert json.loads(kept.read_text())["outcome"] == ""
    _assert_stacked()
    _forget(monkeypatch)
    _assert_stacked()
    assert planted.calls == calls > 0
    train_all(_jobs(task=random_task(pixels=6, seed=3)))  # the same kind of job
    assert planted.calls == calls


def test_a_slower_machine_is_refused_and_remembered(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    planted = _plant(monkeypatch, 1e3)
    said = _remark()
    assert said.startswith(
        "the generic engine trained, as the stacked one was slower in its self-check on this "
        "machine, by "
    )
    calls = planted.calls
    _forget(monkeypatch)
    assert _remark() == said
    assert planted.calls == calls
    assert [result.engine for result in train_all(_jobs(), "stacked")] == ["stacked"] * 3


@torch.no_grad()
def _shift_a_weight(jobs: Sequence[TrainingJob], _: list[TrainingResult]) -> None:
    jobs[-1].network.get_parameter("2.weight")[0, 0] += 0.1


@torch.no_grad()
def _move_pruned_weights(jobs: Sequence[TrainingJob], _: list[TrainingResult]) -> None:
    for name, mask in (jobs[-1].masks or {}).items():
        jobs[-1].network.get_parameter(name)[~mask] += 1e-6


@torch.no_grad()
def _swap_members(jobs: Sequence[TrainingJob], _: list[TrainingResult]) -> None:
    first, second = (copy.deepcopy(job.network.state_dict()) for job in jobs)
    jobs[0].network.load_state_dict(second)
    jobs[1].network.load_state_dict(first)


def _misreport(_: Sequence[TrainingJob], results: list[TrainingResult]) -> None:
    results[0] = dataclasses.replace(results[0], test_loss=results[0].test_loss * 1.1)


def _fail(_: Sequence[TrainingJob], __: list[TrainingResult]) -> None:
    raise RuntimeError("CUDA error: operation failed\nduring capture")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_shift_a_weight, "weights that move by "),
        (_swap_members, "weights that move by "),
        (_move_pruned_weights, "pruned weights of 0.weight move"),
        (_misreport, "test_loss is "),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_result_is_refused_and_remembered(
    change: Change, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = _plant(monkeypatch, 0, change=change)
    said = _remark()
    assert said.startswith(
        "the generic engine trained, as the stacked one failed its self-check on this machine: "
        + reason
    )
    _forget(monkeypatch)
    assert _remark() == said
    assert planted.calls == 1


def test_an_error_is_refused_and_the_check_made_again_by_the_next_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be a passing one, as of memory that others had taken."""
    planted = _plant(monkeypatch, 0, change=_fail)
    said = _remark()
    assert "on this machine: CUDA error: operation failed during capture" in said
    _forget(monkeypatch)
    assert _remark() == said
    assert planted.calls == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"checked": {}, "outcome": ""}', "\ud800"])
def test_a_damaged_file_only_costs_the_check_again(
    content: str, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    planted = _plant(monkeypatch, 1e3)
    _remark()
    calls = planted.calls
    (kept,) = cache.iterdir()
    kept.write_bytes(content.encode("utf-8", "surrogatepass"))
    _forget(monkeypatch)
    _remark()
    assert planted.calls == 2 * calls
    assert "slower" in json.loads(kept.read_text())["outcome"]


def test_a_folder_that_cannot_be_written_only_costs_the_check_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    planted = _plant(monkeypatch, 0)
    _assert_stacked()
    calls = planted.calls
    _assert_stacked()
    assert planted.calls == calls  # this process knows
    _forget(monkeypatch)
    _assert_stacked()
    assert planted.calls == 2 * calls


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": OptimizerOptions(optimizer="sgd")},
        {"optimizer": OptimizerOptions(weight_decay=0.1)},
        {"batch_size": 8},
        {"masks": None},
        {"gradient_magnitudes": True},
    ],
    ids=lambda changes: "+".join(changes),
)
def test_other_kinds_of_jobs_are_checked_too(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    _plant(monkeypatch, 0)
    _assert_stacked()
    train_all(_jobs(**changes))
    assert len(list(cache.iterdir())) == 2
    train_all(_jobs(1, optimizer=OptimizerOptions(lr=0.3)))
    assert len(list(cache.iterdir())) == 3  # one job alone is another kind, a rate is not


@pytest.mark.parametrize("planted", [torch.OutOfMemoryError("CUDA out of memory."), None])
def test_what_says_nothing_of_other_jobs_is_not_remembered(
    planted: Exception | None, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def fail(_: Sequence[TrainingJob], __: list[TrainingResult]) -> None:
        if planted:
            raise planted

    _plant(monkeypatch, 0, change=fail)
    jobs = _jobs(2)
    if not planted:
        torch.nn.init.constant_(jobs[1].network.get_parameter("2.bias"), torch.inf)
    (remark,) = {result.remark for result in train_all(jobs)}
    assert ("memory" if planted else "diverges") in remark
    assert not cache.exists()


def test_jobs_and_random_state_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    _plant(monkeypatch, 0)
    jobs = _jobs()
    before = [copy.deepcopy(job.network.state_dict()) for job in jobs]
    state = torch.get_rng_state()
    assert not self_check.why_untrusted(jobs)
    assert torch.equal(torch.get_rng_state(), state)
    for job, expected in zip(jobs, before, strict=True):
        assert all(torch.equal(t, expected[n]) for n, t in job.network.state_dict().items())
