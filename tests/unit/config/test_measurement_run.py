"""The measurement of a stream's snapshots: its identity, what it stands on, and its cost."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from raylot.config import MeasurementRun, PlasticityOptions, StreamRun, Study
from raylot.config.measurement_run import MEASURED_WITH, Measured

#: A value other than the default for each option that decides how something is measured.
_CHANGED: dict[str, Any] = {
    "probe_size": 100,
    "dormant_threshold": 0.1,
    "ntk_examples": 8,
    "sharpness_iterations": 50,
}


def test_each_measurement_knows_its_options() -> None:
    assert set(MEASURED_WITH) == set(get_args(Measured))
    used = {name for names in MEASURED_WITH.values() for name in names}
    assert used | {"plugin_options"} == set(PlasticityOptions.model_fields)


@pytest.mark.parametrize("measured", sorted({*MEASURED_WITH} - {"metric"}))
@pytest.mark.parametrize("name", _CHANGED)
def test_a_measurement_is_decided_by_its_own_options_alone(measured: Any, name: str) -> None:
    plain = MeasurementRun(measured=measured)
    changed = MeasurementRun(measured=measured, **{name: _CHANGED[name]})
    is_used = name in MEASURED_WITH[measured]
    assert (changed.run_id != plain.run_id) is is_used
    assert (changed.setting != plain.setting) is is_used
    assert (f"{name}={_CHANGED[name]}" in changed.setting) is is_used
    assert (name in plain.unused_options) is not is_used
    assert changed.stream == plain.stream


def test_measurements_of_more_snapshots_are_the_same_runs() -> None:
    few, more = MeasurementRun(snapshots=(0, 10)), MeasurementRun(snapshots=(0, 5, 10), tasks=41)
    assert few.run_id == more.run_id
    assert more.is_covered_by(more.extent)
    assert not more.is_covered_by(few.extent)
    assert few.widened({"snapshots": [5]}).snapshots == (0, 5, 10)


def test_a_measurement_needs_its_stream_up_to_its_last_snapshot() -> None:
    run = MeasurementRun(seed=2, snapshots=(0, 10), measured="ntk")
    assert run.parent.run_id == StreamRun(seed=2).run_id
    assert run.parent.extent == {"snapshots": [0, 10], "tasks": 11}
    assert run.protocol != StreamRun(seed=2).protocol


def test_measurements_train_nothing() -> None:
    for measured in ("weights", "structure", "dormant", "sharpness", "ntk"):
        assert MeasurementRun(measured=measured).training_steps == 0


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ({}, set()),
        ({"sharpness_iterations": 0}, {"sharpness"}),
        ({"ntk_examples": 0}, {"ntk"}),
    ],
)
def test_a_study_measures_what_is_not_switched_off(
    options: dict[str, Any], left_out: set[str]
) -> None:
    study = Study.checked(**options)
    stream = study.stream_run(seed=0, shift="noise")
    runs = study.measurement_runs(stream)
    assert {run.measured for run in runs} == {*MEASURED_WITH} - left_out - {"metric"}
    assert all(run.stream == stream for run in runs)


def test_the_ntk_needs_no_larger_probe_than_its_own_examples() -> None:
    plain = MeasurementRun(measured="ntk", ntk_examples=32)
    assert MeasurementRun(measured="ntk", ntk_examples=32, probe_size=100).run_id == plain.run_id
    small = MeasurementRun(measured="ntk", ntk_examples=32, probe_size=20)
    assert small.run_id == MeasurementRun(measured="ntk", ntk_examples=20).run_id
    assert small.setting == "ntk_examples=20"


def test_a_probe_is_no_larger_than_the_training_set() -> None:
    whole = MeasurementRun.checked(probe_size=1437)
    assert MeasurementRun.checked(probe_size=2000).probe_size == 1437
    assert MeasurementRun.checked(probe_size=2000).run_id == whole.run_id
