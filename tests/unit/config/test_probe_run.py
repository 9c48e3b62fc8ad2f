"""The run of probe tasks: its identity, what it stands on, its cost, and which shift it takes."""

from __future__ import annotations

from typing import Any

import pytest

from raylot.config import ProbeRun, StreamRun, Study
from raylot.foundation import science
from raylot.foundation.errors import OptionError


def test_more_snapshots_and_probe_tasks_are_the_same_run() -> None:
    few = ProbeRun(snapshots=(0, 10), probe_tasks=2)
    more = ProbeRun(snapshots=(0, 5, 10), probe_tasks=4, tasks=41)
    assert few.run_id == more.run_id
    assert not more.is_covered_by(few.extent)
    assert few.widened({"snapshots": [5], "probe_tasks": 3}).extent == {
        "snapshots": [0, 5, 10], "probe_tasks": 3
    }  # fmt: skip


def test_another_probe_shift_or_stream_is_another_run() -> None:
    runs = [
        ProbeRun(),
        ProbeRun(probe_shift="rotation"),
        ProbeRun(seed=1),
        ProbeRun(intervention="l2_init"),
        ProbeRun(shift="stationary"),
    ]
    assert len({run.run_id for run in runs}) == len(runs)
    # the shift that is customary is not another one
    assert ProbeRun(probe_shift="permuted_pixels").run_id == ProbeRun().run_id


def test_it_needs_its_stream_up_to_its_last_snapshot() -> None:
    run = ProbeRun(seed=2, snapshots=(0, 10))
    assert run.parent is not None
    assert run.parent.run_id == StreamRun(seed=2).run_id
    assert run.parent.extent == {"snapshots": [0, 10], "tasks": 11}


def test_its_training_steps_are_those_of_each_network_on_each_probe_task() -> None:
    # 1,437 images are 45 batches of 32; 10 epochs; snapshot 0 is the fresh network
    assert ProbeRun(snapshots=(0, 10), probe_tasks=3).training_steps == 3 * 2 * 450
    assert ProbeRun(snapshots=(10,), probe_tasks=3).training_steps == 3 * 2 * 450
    grown = ProbeRun(snapshots=(0, 10, 20), probe_tasks=4)
    assert grown.steps_beyond({"snapshots": [0, 10], "probe_tasks": 3}) == (4 * 3 - 3 * 2) * 450


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "permuted_pixels"),
        ({"shifts": "stationary"}, "permuted_pixels"),
        ({"shifts": "stationary,rotation,permuted_labels"}, "rotation"),
        ({"shifts": "noise,stationary,random_labels"}, "random_labels"),
        ({"shifts": "class_split"}, "class_split"),
        ({"shifts": "rotation", "probe_shift": "permuted_labels"}, "permuted_labels"),
    ],
)
def test_all_streams_of_a_study_have_probe_tasks_of_one_shift(
    options: dict[str, Any], expected: str
) -> None:
    study = Study.checked(**options)
    for shift in study.shifts:
        (run,) = study.probe_runs(study.stream_run(seed=0, shift=shift))
        assert run.probe_shift == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"classes_per_task": 5}, 5),
        ({"search": {"classes_per_task": [5, 3]}}, 3),  # networks with 3 outputs learn no 5 classes
        ({}, 2),
    ],
)
def test_all_streams_of_a_study_have_probe_tasks_of_as_many_classes(
    options: dict[str, Any], expected: int
) -> None:
    study = Study.checked(shifts="class_split,stationary", search_task="probe", **options)
    doses = (options.get("search") or {}).get("classes_per_task", [study.classes_per_task])
    points = [{"shift": "stationary"}]
    points += [{"shift": "class_split", "classes_per_task": dose} for dose in doses]
    searches = [study.tickets_run(**at, seed=0, task=0, sparsity=0.8) for at in points]
    assert len({run.protocol for run in searches}) == 1
    probed = [run for search in searches for run in study.probe_runs(search.stream)]
    for run in (*searches, *probed):
        assert run.trained_classes == expected
    # 10 epochs on 287, 431 or 718 examples
    steps = {2: 90, 3: 140, 5: 230}[expected]
    assert {run.steps_per_training for run in (*searches, *probed)} == {steps}


def test_another_number_of_classes_is_another_run() -> None:
    split: dict[str, Any] = {"shift": "stationary", "probe_shift": "class_split"}
    two, five = ProbeRun(**split), ProbeRun(**split, probe_classes=5)
    assert two.run_id == ProbeRun(**split, probe_classes=2).run_id != five.run_id
    assert two.stream.run_id == five.stream.run_id
    assert two.protocol != five.protocol
    # no other shift has a number of classes
    assert ProbeRun(probe_classes=5).run_id == ProbeRun().run_id
    with pytest.raises(OptionError, match=r"^classes_per_task=2: must be at least 5, the classes"):
        ProbeRun.checked(shift="class_split", probe_classes=5)


def test_a_fix_of_the_probe_training_makes_another_run_and_protocol(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = ProbeRun()
    assert before.run_id == "a27982d953fc"
    monkeypatch.setitem(science.VERSIONS, ("measurement", "probes"), 2)
    after = ProbeRun()
    assert after.run_id != before.run_id
    assert after.protocol != before.protocol
    assert after.stream.run_id == before.stream.run_id
    assert after.versions == "measurement:probes:2"


def test_a_study_without_probe_tasks_has_no_such_run() -> None:
    study = Study.checked(probe_tasks=0)
    assert study.probe_runs(study.stream_run(seed=0, shift="rotation")) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"probe_shift": "stationary"},
            "probe_shift=stationary: must be one of bit_flipping, class_split, perm",
        ),
        (
            {"probe_shift": "noise"},
            "probe_shift=noise: must be one of bit_flipping, class_split, permuted_labels",
        ),
        ({"probe_shift": "permuted"}, "probe_shift=permuted: must be one of bit_flipping"),
        ({"probe_tasks": -1}, "probe_tasks=-1: must be"),
        (
            {"shifts": "class_split", "probe_shift": "rotation"},
            "probe_shift=rotation: must be class_split with shift class_split",
        ),
    ],
)
def test_what_makes_no_probe_tasks_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as error:
        Study.checked(**options)
    assert str(error.value).startswith(message)
