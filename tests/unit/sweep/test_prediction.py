"""Times worked out by hand, and a speed that is really measured."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from raylot.config import (
    ProbeRun,
    RetrainingRun,
    StreamRun,
    TicketBarrierRun,
    TicketsRun,
    TicketStreamRun,
)
from raylot.masks.pruning import density as masks_density
from raylot.sweep import prediction
from raylot.sweep.prediction import Speed, measured_speed, predicted, trials_on_this_machine
from raylot.tasks import Task, datasets, make_task
from raylot.training import Masks, train

#: 100 examples would be one step each; digits have 1,437, so a training is 2 steps of 719.
_SHORT = {"batch_size": 719, "epochs": 1, "tasks": 2, "snapshots": (0,)}


@pytest.fixture(autouse=True)
def speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense: 10 s a step and 1 s an evaluation; sparse: 2 s and 1 s."""
    monkeypatch.setattr(
        prediction,
        "measured_speed",
        lambda run, density: Speed(10.0 if density == 1 else 2.0, 1.0),
    )


_TICKETS = {**_SHORT, "sparsity": 0.75, "rounds": 2, "tickets": 3, "random_masks": 1}


def _whole(*runs: StreamRun) -> list[tuple[StreamRun, int]]:
    """Runs of which nothing is there yet."""
    return [(run, run.training_steps) for run in runs]


@pytest.mark.parametrize(
    ("run", "seconds"),
    [
        # Two tasks of 2 steps and 2 evaluations.
        (StreamRun(**_SHORT), 2 * 22),
        # A fresh network and a snapshot on each of 3 tasks, with 3 evaluations each.
        (ProbeRun(**{**_SHORT, "snapshots": (0, 1)}, probe_tasks=3), 3 * 2 * 23),
        # 2 pairs of two snapshots: 2 trainings of 21 s, and 10 points on two splits.
        (
            RetrainingRun(**{**_SHORT, "snapshots": (0, 1)}, retraining_pairs=2, barrier_points=10),
            2 * 2 * (2 * 21 + 20),
        ),
        # 2 trainings of 5 s at density 0.25, and as many points.
        (TicketBarrierRun(**_TICKETS, ticket_pairs=1, barrier_points=10), 2 * 5 + 20),
        # 3 dense trainings of 21 s; 3 at density 0.5, a third of the way from 0.25 to 1, of
        # 21 / 3 + 2 x 5 / 3 = 31 / 3 s; 3 at 0.25, an untrained and a random mask of 5 s.
        (TicketsRun(**_TICKETS), 3 * 21 + 31 + 3 * 5 + 2 * 5),
        (TicketStreamRun(**_TICKETS, ticket_tasks=4), 4 * (2 * 2 + 2)),
        (TicketStreamRun(**_TICKETS, ticket_tasks=4, subnetwork="dense"), 4 * 22),
    ],
)
def test_a_run_takes_as_long_as_its_trainings(run: StreamRun, seconds: float) -> None:
    text = predicted([_whole(run)], 1)
    assert text.startswith(f"Predicted: {prediction.duration(seconds)} of training")
    assert "with 1 trials at once" in text
    assert f"{seconds / 3600:.2g} core-hours" in text


def test_a_stage_takes_as_long_as_its_longest_run_at_least() -> None:
    short, long = StreamRun(**_SHORT), StreamRun(**{**_SHORT, "tasks": 6})  # 44 s and 132 s
    assert "Predicted: 132 s" not in predicted([_whole(short, long)], 1)
    assert predicted([_whole(short, long)], 1).startswith("Predicted: 3 min")  # 176 s
    assert predicted([_whole(short, long)], 2).startswith("Predicted: 2 min")  # 132 s
    one_after_the_other = [_whole(short), _whole(long)]
    assert predicted(one_after_the_other, 2).startswith("Predicted: 3 min")
    alone = predicted([_whole(short, long)], None)
    assert alone.startswith("Predicted: 3 min of training and evaluation one run after another, ")
    assert "Ray" not in alone


def test_the_speeds_are_told() -> None:
    assert "2e+03 to 1e+04 ms per training step" in predicted([_whole(TicketsRun(**_TICKETS))], 1)


def test_each_setting_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[tuple[int, ...], float]] = []

    def measure(run: StreamRun, density: float) -> Speed:
        measured.append((run.hidden, density))
        return Speed(1.0, 1.0)

    monkeypatch.setattr(prediction, "measured_speed", measure)
    runs = [StreamRun(**_SHORT, hidden=(units,), seed=seed) for units in (3, 4) for seed in (0, 1)]
    predicted([_whole(*runs)], 1)
    assert measured == [((3,), 1.0), ((4,), 1.0)]


def test_tasks_that_show_all_classes_are_measured_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 2 of 10 classes each, all are shown from task 4 on."""
    measured: list[int] = []

    def measure(run: StreamRun, density: float) -> Speed:
        measured.append(prediction._typical_task(run))
        return Speed(1.0, 1.0)

    monkeypatch.setattr(prediction, "measured_speed", measure)
    grows: dict[str, Any] = {**_SHORT, "shift": "class_incremental", "tasks": 12}
    grows["snapshots"] = (0, 2, 3, 9)
    searches = [TicketsRun(**{**grows, **_TICKETS, "tasks": 12, "snapshots": grows["snapshots"],
                              "task": task}) for task in grows["snapshots"]]  # fmt: skip
    predicted([_whole(StreamRun(**grows)), _whole(*searches)], 1)
    assert sorted(set(measured)) == [0, 6, 9]
    stream = TicketStreamRun(**{**grows, **_TICKETS, "tasks": 12, "snapshots": (2,), "task": 2})
    assert prediction._typical_task(stream) == 3 + stream.ticket_tasks // 2


def test_trials_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "usable_cores", lambda: 8)
    assert trials_on_this_machine(1, None) == 8
    assert trials_on_this_machine(3, None) == 2
    assert trials_on_this_machine(0.5, 5) == 5
    assert trials_on_this_machine(100, None) == 1


# ------------------------------------------------------------------ speeds


@pytest.mark.parametrize(
    "unit",
    [
        # 45 steps take 137 s, far too long to take all 450: speeds come from 45 and 46.
        1.0,
        # All 450 take 1.4 ms.
        1e-6,
    ],
)
def test_a_speed_is_the_slope_over_steps_and_what_is_left(
    monkeypatch: pytest.MonkeyPatch, unit: float
) -> None:
    asked: list[tuple[float, int]] = []

    def timed(run: StreamRun, task: Task, density: float, steps: int) -> float:
        asked.append((density, steps))
        return unit * (2 + 3 * steps)

    monkeypatch.setattr(prediction, "_timed", timed)
    speed = measured_speed(StreamRun(), 0.25)
    assert speed.step == pytest.approx(3 * unit)
    assert speed.evaluation == pytest.approx(2 * unit)
    assert {density for density, _ in asked} == {0.25}
    assert {steps for _, steps in asked} == {45, 46 if unit == 1 else 450}


def test_a_training_of_one_step_has_no_slope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "_timed", lambda *asked: 5.0)
    assert measured_speed(StreamRun(batch_size=1437, epochs=1), 1.0) == Speed(5.0, 0.0)


def test_a_longer_training_that_took_less_time_still_gives_a_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """45 steps in 0.09 s, 450 in 0.045 s: 0.1 ms each."""
    monkeypatch.setattr(
        prediction, "_timed", lambda run, task, density, steps: 0.09 if steps == 45 else 0.045
    )
    speed = measured_speed(StreamRun(), 1.0)
    assert speed.step == pytest.approx(1e-4)
    assert speed.evaluation == pytest.approx(0.09 - 45e-4)


@pytest.mark.parametrize("density", [1.0, 0.1])
def test_a_speed_is_measured_by_real_training(
    monkeypatch: pytest.MonkeyPatch, density: float
) -> None:
    steps: list[int] = []
    densities: list[float] = []

    def watched(network: nn.Module, task: Task, *, masks: Masks | None, **options: Any) -> Any:
        result = train(network, task, masks=masks, **options)
        steps.append(result.steps)
        densities.append(masks_density(masks) if masks else 1.0)
        return result

    monkeypatch.setattr(prediction, "_MEASURED_SECONDS", 0.05)
    monkeypatch.setattr(prediction, "train", watched)
    # 23 batches, 2 epochs: 46 steps, a tenth of which are 4
    speed = measured_speed(StreamRun(batch_size=64, epochs=2), density)
    assert steps[0] == min(steps) == 4
    assert 4 < max(steps) <= 46
    # 64 x 64 + 64 x 10 weights are kept with that probability each: 0.1 +- 0.0044
    assert densities == pytest.approx([density] * len(steps), abs=5 * 0.0044)
    assert speed.step > 0


def test_of_a_run_that_grows_the_rest_counts() -> None:
    run = StreamRun(**_SHORT)
    whole, half = predicted([_whole(run)], 1), predicted([[(run, run.training_steps // 2)]], 1)
    assert whole.startswith("Predicted: 44 s")
    assert half.startswith("Predicted: 22 s")


def test_a_run_in_float16_is_measured_in_float32_on_the_cpu() -> None:
    run = StreamRun(**_SHORT, precision="float16")
    task = make_task(datasets.load(run), run, run.seed, 0)
    assert prediction._timed(run, task, 1.0, 1) > 0
