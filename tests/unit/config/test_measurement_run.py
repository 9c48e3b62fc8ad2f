"""The measurement of a stream's snapshots: its identity, what it stands on, and its cost."""

from __future__ import annotations

import functools
from typing import Any, get_args

import pytest

from raylot.config import MeasurementRun, PlasticityOptions, StreamRun, Study
from raylot.config.measurement_run import MEASURED_WITH, Measured
from raylot.config.plasticity_options import FurtherMeasure
from tests.unit.config.refused import refusal

#: A value other than the default for each option that decides how something is measured.
_CHANGED: dict[str, Any] = {
    "probe_size": 100,
    "dormant_threshold": 0.1,
    "ntk_examples": 8,
    "sharpness_iterations": 50,
    "duplicate_cosine": 0.9,
    "saturation_threshold": 1e-3,
    "churn_batches": 2,
    "sample_plasticity_examples": 8,
    "hessian_iterations": 20,
    "hessian_starts": 2,
    "hessian_threshold": 0.1,
    "trace_ntk_examples": 8,
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
    for measured in get_args(Measured):
        assert MeasurementRun(measured=measured).training_steps == 0


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ({}, {*get_args(FurtherMeasure)}),
        ({"sharpness_iterations": 0}, {"sharpness", *get_args(FurtherMeasure)}),
        ({"ntk_examples": 0}, {"ntk", *get_args(FurtherMeasure)}),
        ({"measures": get_args(FurtherMeasure)}, set()),
        ({"measures": "churn"}, {*get_args(FurtherMeasure)} - {"churn"}),
    ],
)
def test_a_study_measures_what_is_not_switched_off_or_asked_for(
    options: dict[str, Any], left_out: set[str]
) -> None:
    study = Study.checked(**options)
    stream = study.stream_run(seed=0, shift="noise")
    runs = study.measurement_runs(stream)
    assert {run.measured for run in runs} == {*MEASURED_WITH} - left_out - {"metric"}
    assert all(run.stream == stream for run in runs)


@pytest.mark.parametrize("measured", ["ntk", "trace_ntk", "sample_plasticity"])
def test_these_need_no_larger_probe_than_their_own_examples(measured: Any) -> None:
    (name,) = MEASURED_WITH[measured]
    plain = MeasurementRun(measured=measured, **{name: 32})
    same = MeasurementRun(measured=measured, probe_size=100, **{name: 32})
    assert same.run_id == plain.run_id
    small = MeasurementRun(measured=measured, probe_size=20, **{name: 32})
    assert small.run_id == MeasurementRun(measured=measured, **{name: 20}).run_id
    assert small.setting == f"{name}=20"


def test_a_measure_that_does_not_exist_or_is_given_twice_is_refused() -> None:
    told = "must be one or more of duplicates, saturation, weight_rank, churn, "
    for given in ("curvature", "", "churn,churn"):
        message = refusal(functools.partial(Study.checked, measures=given))
        assert message.startswith(f"measures={given}: {told}")


def test_a_probe_is_no_larger_than_the_training_set() -> None:
    whole = MeasurementRun.checked(probe_size=1437)
    assert MeasurementRun.checked(probe_size=2000).probe_size == 1437
    assert MeasurementRun.checked(probe_size=2000).run_id == whole.run_id
