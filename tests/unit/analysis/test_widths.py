"""The widest interval of the primary pair, by hand, over the runs that count."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from raylot.analysis import primary
from raylot.analysis.tables.observations import observe, settings
from raylot.analysis.widths import widest
from raylot.config import Study
from raylot.results.commands import record
from raylot.storage import Storage
from tests.unit.analysis.studies import write_study

_TASKS = (0, 10)


def _values(shift: str, seed: int, task: int, sparsity: float) -> Mapping[str, float]:
    """Seed s loses 0.01 s of plasticity, on the stationary stream 0.02 s, and no tickets."""
    slope = 0.02 if shift == "stationary" else 0.01
    gap = slope * seed if task else 0.0
    return {"probe_online_gap": gap, "advantage_over_random": 0.1}


def _run_ids(seeds: Collection[int], shifts: Collection[str]) -> set[str]:
    study = Study.checked(tasks=11, snapshots="0,10", rounds=3)
    found = set()
    for shift in shifts:
        for seed in seeds:
            stream = study.stream_run(shift=shift, seed=seed)
            searches = [
                study.tickets_run(shift=shift, seed=seed, task=task, sparsity=0.8)
                for task in _TASKS
            ]
            found |= {run.run_id for run in [stream, *study.probe_runs(stream), *searches]}
    return found


BOTH = ("permuted_pixels", "stationary")


def test_the_widest_interval_is_that_of_the_stream_whose_seeds_differ_most(tmp_path: Path) -> None:
    write_study(tmp_path, _values, shifts=BOTH, tasks=_TASKS, seeds=range(7))
    found = widest(Storage(tmp_path), _run_ids(range(7), BOTH))
    error = 0.02 * np.std(range(7), ddof=1) / math.sqrt(7)
    assert found.width == pytest.approx(2 * stats.t.ppf(1 - 0.025 / 2, 6) * error)
    assert "probe" in found.of
    assert "under stationary at sparsity 0.8" in found.of


def test_runs_of_other_sweeps_do_not_count(tmp_path: Path) -> None:
    write_study(tmp_path, _values, shifts=BOTH, tasks=_TASKS, seeds=range(9))
    found = widest(Storage(tmp_path), _run_ids(range(5), BOTH[:1]))
    error = 0.01 * np.std(range(5), ddof=1) / math.sqrt(5)
    assert found.width == pytest.approx(2 * stats.t.ppf(1 - 0.025 / 2, 4) * error)


def test_fewer_than_five_seeds_are_never_enough(tmp_path: Path) -> None:
    write_study(tmp_path, lambda *place: _values(*place) | {"probe_online_gap": 0.1}, tasks=_TASKS)
    assert widest(Storage(tmp_path), _run_ids(range(5), BOTH)).width == pytest.approx(0)
    assert widest(Storage(tmp_path), _run_ids(range(4), BOTH)).width == math.inf


def test_a_measure_that_is_nowhere_known_has_no_width(tmp_path: Path) -> None:
    write_study(tmp_path, lambda *place: {"probe_online_gap": 0.1}, tasks=_TASKS)
    found = widest(Storage(tmp_path), _run_ids(range(5), BOTH))
    assert (found.width, found.of) == (math.inf, "both measures")


def test_where_seeds_were_added_each_p_counts_twice_and_intervals_are_wider(tmp_path: Path) -> None:
    write_study(tmp_path, _values, shifts=BOTH, tasks=_TASKS, seeds=range(6))
    (plain,) = settings(observe(Storage(tmp_path)))
    record(Storage(tmp_path), "raylot sweep --until-width 0.1", adds_seeds=True)
    (setting,) = settings(observe(Storage(tmp_path)))
    assert replace(setting, adds_seeds=False).adds_seeds == plain.adds_seeds
    before, now = primary.find(plain), primary.find(setting)
    assert (before.corrections, now.corrections) == (1, 2)
    assert (before.confidence, now.confidence) == (0.95, 0.95)
    ours, same = now.searches[0], primary.find(plain, confidence=0.975).searches[0]
    assert ours.plasticity == same.plasticity
    assert ours.against_control == same.against_control
    assert ours.link.r == before.searches[0].link.r
    assert list(primary.intervals(setting).values()) == [
        mean for one in [*now.searches, *now.controls] for mean in (one.plasticity, one.tickets)
    ]


def test_a_verdict_needs_half_the_p(tmp_path: Path) -> None:
    """Changes of plasticity with a p between 0.025 and 0.05."""
    lost = [0.0, 0.02, 0.05, 0.09, 0.01]
    p = stats.ttest_1samp(lost, 0).pvalue
    assert 0.05 < p < 0.2
    shifted = [value + 0.012 for value in lost]
    assert 0.025 < stats.ttest_1samp(shifted, 0).pvalue < 0.05

    def values(shift: str, seed: int, task: int, sparsity: float) -> Mapping[str, float]:
        gap = shifted[seed] if task else 0.0
        return {"probe_online_gap": gap, "advantage_over_random": 0.1}

    write_study(tmp_path, values, tasks=_TASKS)
    (setting,) = settings(observe(Storage(tmp_path)))
    for adds_seeds, verdict in ((False, "worse"), (True, "cannot tell")):
        [search] = primary.find(replace(setting, adds_seeds=adds_seeds)).searches
        assert search.verdicts is not None
        assert search.verdicts.plasticity == verdict
