"""How many runs trials get, and what they do with them; Tune's part is played here."""

from __future__ import annotations

import pytest
import ray

from raylot.config import StreamRun, Study
from raylot.sweep import bundles
from raylot.sweep.bundles import Bundles
from raylot.sweep.experiment import _at_once
from raylot.trials.trainable import BUNDLE_SECONDS


def _runs(number: int, tasks: int = 1) -> list[StreamRun]:
    """Runs of equal length; copies are quicker to make than runs that are checked."""
    first = Study.checked(tasks=tasks, snapshots="0").stream_run(seed=0)
    runs = [first.model_copy(update={"seed": seed}) for seed in range(number)]
    for run in runs:
        run.__dict__["run_id"] = f"run{run.seed}"
    return runs


def test_a_stage_of_short_runs_is_bundled_and_no_worker_waits_long() -> None:
    """1,000 runs of a tenth of a second on 4 workers."""
    runs, seconds, workers = _runs(1000), 0.1, 4
    stage = Bundles(runs, (), lambda: workers)
    free_at = [0.0] * workers
    computed: list[StreamRun] = []
    trials = 0
    under_way: list[tuple[float, int, list[StreamRun]]] = []
    while not stage.are_all_out or under_way:
        for worker in range(workers):
            if not any(of == worker for _, of, _ in under_way) and (own := stage.take(0)):
                free_at[worker] += seconds * len(own)
                under_way.append((free_at[worker], worker, own))
                trials += 1
        ends, worker, own = min(under_way, key=lambda one: one[:2])
        under_way.remove((ends, worker, own))
        stage.learn(own, seconds * len(own))
        computed += own
        assert seconds * len(own) <= BUNDLE_SECONDS + 1e-9
    assert sorted(run.seed for run in computed) == list(range(1000))
    assert trials < 70
    assert max(free_at) - min(free_at) < BUNDLE_SECONDS / 2
    assert max(free_at) < 1.02 * 1000 * seconds / workers


def test_first_runs_show_how_long_they_take_but_nobody_waits_for_long_ones() -> None:
    now = [0.0]
    stage = Bundles(_runs(200), (), lambda: 3, clock=lambda: now[0])
    assert [len(stage.take(out)) for out in range(5)] == [1, 1, 1, 0, 0]
    now[0] = 31.0  # an hour each, perhaps
    assert [len(stage.take(out)) for out in range(3, 8)] == [1] * 5
    stage.learn(_runs(1), 3600.0)
    assert [len(stage.take(out)) for out in range(50, 55)] == [1] * 5


def test_runs_are_as_long_as_their_steps_say() -> None:
    short, long = _runs(200), _runs(1, tasks=40)
    stage = Bundles([short[0], *short[1:20], *long, *short[20:]], (), lambda: 1)
    stage.take(0)
    stage.learn(short[:1], 0.2)
    assert len(stage.take(0)) == 19
    assert stage.take(0) == long
    assert len(stage.take(0)) == 25


def test_what_a_trial_had_no_time_for_comes_next() -> None:
    runs = _runs(150)
    stage = Bundles(runs, (), lambda: 1)
    stage.learn(stage.take(0), 0.5)
    own = stage.take(0)
    assert [run.seed for run in own] == list(range(1, 11))
    assert not stage.take(2), "two that are ready are enough for one worker"
    stage.give_back(own[4:])
    assert [run.seed for run in stage.take(0)][:3] == [5, 6, 7]


def test_runs_that_must_be_alone_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MANY", 1)
    runs = _runs(12)
    stage = Bundles(runs, {"run4", "run5"}, lambda: 1)
    stage.learn(stage.take(0), 0.01)
    taken = [[run.seed for run in stage.take(0)] for _ in range(4)]
    assert taken[0] == [1, 2, 3]
    assert taken[1:3] == [[4], [5]]
    assert len(taken[3]) > 1


@pytest.mark.parametrize(("number", "may"), [(bundles.MANY - 1, True), (200, False)])
def test_few_runs_and_runs_that_are_logged_get_a_trial_each(number: int, may: bool) -> None:
    stage = Bundles(_runs(number), (), lambda: 1, may)
    stage.learn(stage.take(0), 0.001)
    assert {len(stage.take(0)) for _ in range(number - 1)} == {1}
    assert stage.are_all_out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 64),
        ({"cpus_per_trial": 2.0}, 32),
        ({"gpus_per_trial": 0.5}, 4),
        ({"gpus_per_trial": 0.5, "cpus_per_trial": 32.0}, 2),
        ({"gpus_per_trial": 0.5, "max_concurrent": 3}, 3),
    ],
)
def test_the_scarcest_resource_decides_how_many_trials_run(
    options: dict[str, float], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 64.0, "GPU": 2.0})
    assert _at_once(Study.checked(**options)) == expected
