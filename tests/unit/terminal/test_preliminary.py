"""What ended searches say so far, by hand and beside the analysis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raylot import results
from raylot.config import Study
from raylot.storage import Storage
from raylot.terminal.preliminary import AnswerSoFar, SoFar

_STUDY = Study.checked(tasks=11, snapshots="0,5,10")


def _answer(
    seeds: int = 1, tasks: tuple[int, ...] = (0, 5, 10), shift: str = "permuted_pixels"
) -> AnswerSoFar:
    """Of one setting; a run is named seed.task."""
    places = {f"{s}.{t}": (shift, s, t) for s in range(seeds) for t in tasks}
    return AnswerSoFar(places, {"permuted_pixels": "stationary", "stationary": "stationary"})


def _add(answer: AnswerSoFar, run_id: str, accuracy: float | None, count: float | None) -> None:
    answer.add(run_id, {"test_accuracy": accuracy, "ticket_count": count, "density": 0.2})


def test_settings_are_named_by_what_varies() -> None:
    runs = [
        _STUDY.tickets_run(seed=seed, shift=shift, sparsity=sparsity, lr=0.01, task=5)
        for shift in ("rotation", "stationary")
        for sparsity in (0.8, 0.95)
        for seed in (0, 1)
    ]
    searched = {"seed", "shift", "sparsity", "task", "lr", "intervention", "subnetwork"}
    streams = [run.stream for run in runs]
    places = AnswerSoFar.of([*streams, *runs], searched).places
    assert list(places) == [run.run_id for run in runs], "streams are no searches"
    assert [place[0] for place in places.values()] == [
        "rotation 0.8", "rotation 0.8", "rotation 0.95", "rotation 0.95",
        "stationary 0.8", "stationary 0.8", "stationary 0.95", "stationary 0.95",
    ]  # fmt: skip
    assert [place[1:] for place in places.values()] == [(0, 5), (1, 5)] * 4


def test_other_options_are_named_and_interventions_known_by_their_value() -> None:
    runs = [
        _STUDY.tickets_run(seed=0, intervention=intervention, lr=lr, sparsity=0.8, task=0)
        for intervention in ("none", "l2")
        for lr in (0.01, 0.1)
    ]
    places = AnswerSoFar.of(runs, {"intervention", "lr", "sparsity"}).places
    assert [name for name, _, _ in places.values()] == [
        f"{runs[0].shift} {intervention} lr={lr}"
        for intervention in ("none", "l2")
        for lr in (0.01, 0.1)
    ]


def test_doses_are_named_as_the_analysis_names_them() -> None:
    """The control has no dose of the shift, and the same one of the intervention."""
    runs = [
        _STUDY.tickets_run(seed=0, intervention="l2", l2_strength=strength, fraction=0.5,
                           shift=shift, sparsity=0.8, task=0)
        for strength in (1e-4, 1e-3)
        for shift in ("permuted_pixels", "stationary")
    ]  # fmt: skip
    answer = AnswerSoFar.of(runs, {"shift", "l2_strength"})
    assert [name for name, _, _ in answer.places.values()] == [
        "permuted_pixels(0.5) l2(1e-4)", "stationary l2(1e-4)",
        "permuted_pixels(0.5) l2(1e-3)", "stationary l2(1e-3)",
    ]  # fmt: skip
    assert answer.controls["permuted_pixels(0.5) l2(1e-3)"] == "stationary l2(1e-3)"


def test_from_first_to_last_snapshot_over_the_seeds_that_have_both() -> None:
    answer = _answer(seeds=3)
    assert answer.known() == []
    _add(answer, "0.5", 0.8, 2.0)
    assert answer.known() == ["permuted_pixels"]
    assert answer.so_far("permuted_pixels") == SoFar(None, None), "one snapshot is no trend"
    _add(answer, "0.0", 0.9, 3.0)
    _add(answer, "1.0", 0.7, 5.0)
    _add(answer, "2.10", 0.1, 1.0)  # a last snapshot without a first one
    assert _ends(answer) == [(0, 5, 0.9, 0.8, 1), (0, 5, 3.0, 2.0, 1)]
    _add(answer, "1.5", 0.6, 3.0)
    assert _ends(answer) == [
        pytest.approx((0, 5, 0.8, 0.7, 2)), pytest.approx((0, 5, 4.0, 2.5, 2)),
    ]  # fmt: skip


def _ends(answer: AnswerSoFar) -> list[tuple[float, ...]]:
    """First and last task, the means there and the number of seeds, of both measures."""
    found = answer.so_far("permuted_pixels")
    return [
        (own.first_task, own.last_task, own.first, own.last, own.seeds)
        for own in (found.test_accuracy, found.ticket_count)
        if own is not None
    ]


def test_a_correlation_waits_for_three_seeds_with_three_snapshots_each() -> None:
    answer = _answer(seeds=3, shift="stationary")
    for number, run_id in enumerate(answer.places):
        assert not any(answer.so_far(name).pearson for name in answer.known())
        _add(answer, run_id, 0.9 - number / 100, 3.0 + (number - 4) ** 2)
    # counts lie symmetrically around the middle
    assert answer.so_far("stationary").pearson == pytest.approx(0.0, abs=1e-12)
    _add(answer, "0.0", 0.9, 100.0)
    accuracies = [0.9 - number / 100 for number in range(9)]
    counts = [100.0, *(3.0 + (number - 4) ** 2 for number in range(1, 9))]
    r = np.corrcoef(accuracies, counts)[0, 1]
    assert answer.so_far("stationary").pearson == pytest.approx(r), "what changes is computed again"


def test_a_correlation_stands_beside_that_of_its_control() -> None:
    """Of all that a sweep varies, the control shares everything but the shift."""
    runs = [
        _STUDY.tickets_run(seed=seed, shift=shift, sparsity=sparsity, task=task)
        for shift in ("rotation", "stationary")
        for sparsity in (0.8, 0.95)
        for seed in range(3)
        for task in (0, 5, 10)
    ]
    answer = AnswerSoFar.of(runs, {"seed", "shift", "sparsity", "task"})
    counts = {0: 3.0, 5: 1.0, 10: 2.0}
    for run in runs:
        falls = run.shift == "rotation"
        accuracy = 0.9 - run.task / 100 if falls else 0.5 + counts[run.task] * run.sparsity / 10
        if (run.shift, run.sparsity) != ("stationary", 0.95):
            _add(answer, run.run_id, accuracy, counts[run.task])
    each = {name: answer.so_far(name) for name in answer.known()}
    found = {name: (own.pearson, own.control) for name, own in each.items()}
    assert found == {
        # of 3, 1, 2 with 0, -5, -10: 0.5
        "rotation 0.8": (pytest.approx(0.5), pytest.approx(1)),
        "rotation 0.95": (None, None),
        "stationary 0.8": (pytest.approx(1), None),
    }


@pytest.mark.parametrize(("accuracy", "count"), [(0.5, None), (None, 2.0)])
def test_a_constant_measure_correlates_with_nothing(
    accuracy: float | None, count: float | None
) -> None:
    answer = _answer(seeds=3, shift="stationary")
    for number, run_id in enumerate(answer.places):
        _add(answer, run_id, accuracy or number / 10, count or float(number))
    assert answer.so_far("stationary").pearson is None


@pytest.mark.parametrize("count", [None, float("nan"), float("inf")])
def test_what_is_no_number_or_no_search_of_the_sweep_is_left_out(count: float | None) -> None:
    answer = _answer()
    _add(answer, "0.0", 0.9, count)
    _add(answer, "another", 0.9, 2.0)
    answer.add("0.0", {"test_accuracy": 0.9})  # a stream's measures
    assert answer.known() == []


def test_ended_searches_are_read_and_newer_ones_count_first(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    runs = [_STUDY.tickets_run(seed=0, sparsity=0.8, task=task) for task in (0, 5, 10)]
    for run in runs:
        row = {**results.identity_columns(run), "test_accuracy": 0.5, "ticket_count": 1.0}
        results.write(storage, "snapshots", run.run_id, [row])
    (tmp_path / "tables" / "snapshots" / f"{runs[2].run_id}.parquet").write_bytes(b"cut off")
    answer = AnswerSoFar.of(runs[1:], {"task"})
    answer.add(runs[1].run_id, {"test_accuracy": 0.75, "ticket_count": 2.0})
    answer.read(storage)
    answer.add(runs[1].run_id, {"test_accuracy": 0.75, "ticket_count": 2.0})
    assert answer.known() == [runs[0].shift]
    assert not answer.is_complete, "one is damaged"
    assert answer.so_far(runs[0].shift).pearson is None
    whole = AnswerSoFar.of(runs, {"task"})
    whole.read(storage)
    trend = whole.so_far(runs[0].shift).test_accuracy
    assert trend is not None
    assert (trend.first_task, trend.last_task) == (0, 5)
    whole.add(runs[1].run_id, {"test_accuracy": 0.75, "ticket_count": 2.0})
    whole.read(storage)
    trend = whole.so_far(runs[0].shift).test_accuracy
    assert trend is not None
    assert trend.last == 0.75, "what was added counts first"
