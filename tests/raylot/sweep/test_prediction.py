"""raylot.sweep.prediction: times worked out by hand, and a speed that is really measured."""

from __future__ import annotations

import pytest

from raylot.config import StreamRun, TicketsRun, TicketStreamRun
from raylot.sweep import prediction
from raylot.sweep.prediction import Speed, measured_speed, predicted, trials_on_this_machine

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


@pytest.mark.parametrize(
    ("run", "seconds"),
    [
        # Two tasks of 2 steps and 2 evaluations, and a fresh network with one.
        (StreamRun(**_SHORT), 2 * 22 + 21),
        (StreamRun(**_SHORT, trainability_gap=False), 2 * 22),
        # 3 dense trainings of 21 s; 3 at density 0.5, a third of the way from 0.25 to 1, of
        # 21 / 3 + 2 x 5 / 3 = 31 / 3 s; 3 at 0.25 and a random mask of 5 s.
        (TicketsRun(**_TICKETS), 3 * 21 + 31 + 3 * 5 + 5),
        (TicketStreamRun(**_TICKETS, ticket_tasks=4), 4 * (2 * 2 + 2)),
        (TicketStreamRun(**_TICKETS, ticket_tasks=4, subnetwork="dense"), 4 * 22),
    ],
)
def test_a_run_takes_as_long_as_its_trainings(run: StreamRun, seconds: float) -> None:
    text = predicted([[run]], 1)
    assert text.startswith(f"Predicted: {prediction.duration(seconds)} of training")
    assert "with 1 trials at once" in text
    assert f"{seconds / 3600:.2g} core-hours" in text


def test_a_stage_takes_as_long_as_its_longest_run_at_least() -> None:
    short, long = StreamRun(**_SHORT), StreamRun(**{**_SHORT, "tasks": 4})  # 65 s and 109 s
    assert "Predicted: 109 s" not in predicted([[short, long]], 1)
    assert predicted([[short, long]], 1).startswith("Predicted: 3 min")  # 174 s
    assert predicted([[short, long]], 2).startswith("Predicted: 2 min")  # 109 s
    assert predicted([[short], [long]], 2).startswith("Predicted: 3 min")  # one after the other


def test_the_speeds_are_told() -> None:
    assert "2e+03 to 1e+04 ms per training step" in predicted([[TicketsRun(**_TICKETS)]], 1)


def test_each_setting_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[tuple[int, ...], float]] = []

    def measure(run: StreamRun, density: float) -> Speed:
        measured.append((run.hidden, density))
        return Speed(1.0, 1.0)

    monkeypatch.setattr(prediction, "measured_speed", measure)
    runs = [StreamRun(**_SHORT, hidden=(units,), seed=seed) for units in (3, 4) for seed in (0, 1)]
    predicted([runs], 1)
    assert measured == [((3,), 1.0), ((4,), 1.0)]


def test_trials_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction.os, "cpu_count", lambda: 8)
    assert trials_on_this_machine(1, None) == 8
    assert trials_on_this_machine(3, None) == 2
    assert trials_on_this_machine(0.5, 5) == 5
    assert trials_on_this_machine(100, None) == 1


@pytest.mark.parametrize("density", [1.0, 0.1])
def test_a_speed_is_measured_by_real_training(density: float) -> None:
    speed = measured_speed(StreamRun(batch_size=64, epochs=2), density)
    assert speed.step > 0
    assert speed.evaluation >= 0
