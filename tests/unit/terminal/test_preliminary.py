"""What ended searches say so far, by hand and beside the analysis."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from raylot import results
from raylot.config import ProbeRun, StreamRun, Study
from raylot.config.probe_options import ProbeTaskOptions
from raylot.config.probe_run import probes
from raylot.storage import Storage
from raylot.terminal.preliminary import AnswerSoFar, Change, SoFar

_STUDY = Study.checked(tasks=11, snapshots="0,5,10")


def _answer(seeds: int = 1, tasks: tuple[int, ...] = (0, 5, 10)) -> AnswerSoFar:
    """Of one setting; a search is named seed.task, and the probe tasks of a seed's stream pSEED."""
    places = {f"{s}.{t}": ("permuted_pixels", s, t) for s in range(seeds) for t in tasks}
    return AnswerSoFar(places, {f"p{s}": frozenset({"permuted_pixels"}) for s in range(seeds)})


def _add(answer: AnswerSoFar, run_id: str, tickets: float | None, random: float | None) -> None:
    answer.add(run_id, {"ticket_accuracy": tickets, "random_accuracy": random, "density": 0.2})


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
    places = AnswerSoFar.of(runs, {"shift", "l2_strength"}).places
    assert [name for name, _, _ in places.values()] == [
        "permuted_pixels(0.5) l2(1e-4)", "stationary l2(1e-4)",
        "permuted_pixels(0.5) l2(1e-3)", "stationary l2(1e-3)",
    ]  # fmt: skip


def test_probe_tasks_are_shown_with_all_searches_of_their_stream() -> None:
    """Of two shifts and two sparsities."""
    runs: list[StreamRun] = []
    for shift in ("permuted_pixels", "stationary"):
        searches = [
            _STUDY.tickets_run(seed=0, shift=shift, sparsity=sparsity, task=0)
            for sparsity in (0.8, 0.95)
        ]
        stream = searches[0].stream
        runs += [stream, *probes(stream, ProbeTaskOptions(), "permuted_pixels"), *searches]
    answer = AnswerSoFar.of(runs, {"shift", "sparsity"})
    of_probes = [run.run_id for run in runs if isinstance(run, ProbeRun)]
    assert answer.probes == {
        of_probes[0]: {"permuted_pixels 0.8", "permuted_pixels 0.95"},
        of_probes[1]: {"stationary 0.8", "stationary 0.95"},
    }
    for run in runs:
        _add(answer, run.run_id, 0.5, 0.4)
    answer.add(of_probes[1], {"probe_online_gap": 0.25})
    gaps = {setting: answer.so_far(setting).probe_gap for setting in answer.known()}
    assert gaps == {
        "permuted_pixels 0.8": None, "permuted_pixels 0.95": None,
        "stationary 0.8": 0.25, "stationary 0.95": 0.25,
    }  # fmt: skip


def test_from_first_to_last_snapshot_over_the_seeds_that_have_both() -> None:
    answer = _answer(seeds=3)
    assert answer.known() == []
    _add(answer, "0.5", 0.8, 0.7)
    assert answer.known() == ["permuted_pixels"]
    assert answer.so_far("permuted_pixels") == SoFar(None), "one snapshot is no trend"
    _add(answer, "0.0", 0.9, 0.5)
    _add(answer, "1.0", 0.7, 0.5)
    _add(answer, "2.10", 0.1, 0.3)  # a last snapshot without a first one
    assert _ends(answer) == pytest.approx((0, 5, 0.4, 0.1, 1))
    _add(answer, "1.5", 0.6, 0.7)
    assert _ends(answer) == pytest.approx((0, 5, 0.3, 0.0, 2))
    _add(answer, "0.10", 0.5, None)  # without random masks there is nothing to compare with
    assert _ends(answer) == pytest.approx((0, 5, 0.3, 0.0, 2))


def _ends(answer: AnswerSoFar) -> tuple[float, ...]:
    """First and last task, the means there and the number of seeds."""
    found = answer.so_far("permuted_pixels").advantage
    assert found is not None
    return (found.first_task, found.last_task, found.first, found.last, found.seeds)


def test_random_masks_of_another_density_are_no_level_of_chance() -> None:
    runs = [
        _STUDY.tickets_run(seed=0, sparsity=0.8, task=task, random_density=0.05) for task in (0, 5)
    ]
    answer = AnswerSoFar.of(runs, set())
    for run in runs:
        _add(answer, run.run_id, 0.9, 0.4)
    (setting,) = answer.known()
    assert answer.so_far(setting) == SoFar(None)


def test_the_probe_gap_is_the_mean_over_the_seeds_that_have_one() -> None:
    answer = _answer(seeds=3)
    _add(answer, "0.0", 0.9, 0.5)
    for run_id, gap in {"p0": 0.25, "p1": 0.75, "p2": math.nan}.items():
        answer.add(run_id, {"probe_online_gap": gap})
    assert answer.so_far("permuted_pixels").probe_gap == 0.5


@pytest.mark.parametrize("accuracy", [None, float("nan")])
def test_what_is_no_number_or_no_search_of_the_sweep_is_left_out(accuracy: float | None) -> None:
    answer = _answer()
    _add(answer, "0.0", accuracy, 0.5)
    _add(answer, "another", 0.9, 0.5)
    answer.add("0.0", {"test_accuracy": 0.9})  # a stream's measures
    answer.add("another", {"probe_online_gap": 0.5})
    assert answer.known() == []


def test_ended_runs_are_read_and_newer_ones_count_first(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    runs = [_STUDY.tickets_run(seed=0, sparsity=0.8, task=task) for task in (0, 5, 10)]
    for run in runs:
        row = {"ticket_accuracy": 0.75, "random_accuracy": 0.5}
        results.write(storage, "snapshots", run.run_id, [{**results.identity_columns(run), **row}])
    (tmp_path / "tables" / "snapshots" / f"{runs[2].run_id}.parquet").write_bytes(b"cut off")
    (probed,) = probes(runs[0].stream, ProbeTaskOptions(), "permuted_pixels")
    rows = [
        {**results.identity_columns(probed), "stream_run_id": runs[0].stream.run_id,
         "probe_shift": "permuted_pixels", "probe_task": 0, "task": task,
         "trained": "fresh" if task is None else "snapshot", "online_accuracy": accuracy}
        for task, accuracy in {None: 0.75, 0: 0.75, 5: 0.5, 10: 0.25}.items()
    ]  # fmt: skip
    results.write(storage, "probes", probed.run_id, rows)
    answer = AnswerSoFar.of([probed, *runs[1:]], {"task"})
    newer = {"ticket_accuracy": 0.75, "random_accuracy": 0.25}
    answer.add(runs[1].run_id, newer)
    answer.read(storage)
    assert answer.known() == [runs[0].shift]
    assert not answer.is_complete, "one is damaged"
    assert answer.so_far(runs[0].shift) == SoFar(None, 0.5)
    whole = AnswerSoFar.of([probed, *runs], {"task"})
    whole.add(runs[1].run_id, newer)
    whole.add(probed.run_id, {"probe_online_gap": 0.125})
    whole.read(storage)
    expected = Change(0, 5, 0.25, 0.5, seeds=1)
    assert whole.so_far(runs[0].shift) == SoFar(expected, 0.125), "what was added counts first"
