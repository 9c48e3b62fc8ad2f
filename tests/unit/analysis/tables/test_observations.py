"""What a snapshot is paired with, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raylot import plugins, results
from raylot.analysis import correlation
from raylot.analysis.report import report_data
from raylot.analysis.tables.measures import main_measures, measure
from raylot.analysis.tables.observations import (
    label_variants,
    observe,
    options_by_protocol,
    settings,
)
from raylot.config import TicketStreamRun
from raylot.config.doses import NOT_GIVEN
from raylot.foundation.errors import OptionError
from raylot.results.columns import IDENTITY
from raylot.results.integrity import Unfinished
from raylot.storage import Storage
from tests.unit.analysis.studies import write_study


def at(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
    return {
        "ticket_count": 2.0, "test_accuracy": 0.9 - task / 100 + seed / 1000,
        "ticket_accuracy": 0.8, "dense_accuracy": 0.85, "random_accuracy": 0.5,
        "probe_online_gap": 0.1,
    }  # fmt: skip


def test_differences_of_accuracies(tmp_path: Path) -> None:
    found = observe(Storage(write_study(tmp_path, at, seeds=(0,), tasks=(0, 10))))
    assert found.frame["ticket_advantage"].to_list() == pytest.approx([-0.05, -0.05])
    assert found.frame["advantage_over_random"].to_list() == pytest.approx([0.3, 0.3])
    assert found.tickets == [
        "ticket_count", "ticket_accuracy", "ticket_advantage", "advantage_over_random"
    ]  # fmt: skip


def _streams(root: Path) -> dict[str, int]:
    tasks = results.read(root, "tasks")
    return dict(zip(tasks["run_id"], tasks["seed"], strict=True))


def test_previous_pairs_with_the_task_before(tmp_path: Path) -> None:
    """Each stream's task t - 1, to the last digit; rows of ticket streams say something else."""
    write_study(tmp_path, at, seeds=(0, 1), tasks=(0, 1, 10))
    storage = Storage(tmp_path)
    tasks = results.read(tmp_path, "tasks").set_index(["run_id", "task"])["test_accuracy"]
    for run_id, seed in _streams(tmp_path).items():
        own = results.read_run(storage, "tasks", run_id) or []
        ticket_stream = [
            {**row, "run_id": f"ticket{seed}", "stream_run_id": run_id, "snapshot": 0,
             "test_accuracy": 0.123} for row in own
        ]  # fmt: skip
        results.write(storage, "tasks", f"ticket{seed}", ticket_stream)
        # a run_id of its own keeps it apart; so must its snapshot, should a run write both
        results.write(storage, "tasks", run_id, own + [{**r, "run_id": run_id} for r in
                                                       ticket_stream])  # fmt: skip
    same, previous = observe(storage), observe(storage, "previous")
    assert len(same.frame) == len(previous.frame) == 6
    for row in same.frame.to_dict("records"):
        expected = at("", row["seed"], row["task"], 0.8)["test_accuracy"]
        assert row["test_accuracy"] == pytest.approx(expected)
    for row in previous.frame.to_dict("records"):
        if row["task"] == 0:
            assert np.isnan(row["test_accuracy"])
        else:
            assert row["test_accuracy"] == tasks[row["stream_run_id"], row["task"] - 1]
    assert list(previous.frame) == list(same.frame)
    gaps = previous.frame["probe_online_gap"]
    assert gaps.tolist() == same.frame["probe_online_gap"].tolist(), "the snapshot's own"


# ------------------------------------------------------------------ settings of measurements


def _measured(root: Path, settings_of: dict[str, tuple[str | None, ...]]) -> Storage:
    """A study whose metrics were each measured with several settings, each 10 larger."""
    write_study(root, at, seeds=(0,), tasks=(0, 10))
    storage = Storage(root)
    for run_id in _streams(root):
        (first, *_) = results.read_run(storage, "tasks", run_id) or []
        row = {name: first[name] for name in (*IDENTITY, "subnetwork")}
        row |= {"run_id": "measurement1", "stream_run_id": run_id, "layer": "all"}
        rows = [
            {**row, "task": task, "metric": metric, "setting": setting, "value": 10.0 * index}
            for task in (0, 10)
            for metric, measured in settings_of.items()
            for index, setting in enumerate(measured)
        ]
        results.write(storage, "plasticity", "measurement1", rows)
    return storage


def test_each_setting_of_a_metric_is_a_measure_of_its_own(tmp_path: Path) -> None:
    """They are never averaged, and stand where the measure stands."""
    iterations = [f"probe_size=512, sharpness_iterations={n}" for n in (20, 50)]
    observed = observe(
        _measured(
            tmp_path,
            {
                "sharpness": tuple(iterations),
                "own": ("probe_size=512, code=a", "probe_size=512, code=b"),
                "srank": ("probe_size=512",),
                "weight_norm": (None,),
            },
        )
    )
    assert observed.measures == [
        "probe_online_gap", "test_accuracy", "srank", "weight_norm",
        "sharpness(sharpness_iterations=20)", "sharpness(sharpness_iterations=50)", "own(code=a)",
        "own(code=b)",
    ]  # fmt: skip
    assert observed.frame["sharpness(sharpness_iterations=20)"].tolist() == [0.0, 0.0]
    assert observed.frame["sharpness(sharpness_iterations=50)"].tolist() == [10.0, 10.0]
    label = measure("sharpness(sharpness_iterations=50)").label
    assert label == "sharpness (sharpness_iterations=50)"
    assert main_measures(observed.measures) == [
        "probe_online_gap", "test_accuracy", "weight_norm", "own(code=a)", "own(code=b)"
    ]  # fmt: skip


def test_a_measure_with_several_settings_must_be_asked_for_with_one(tmp_path: Path) -> None:
    _measured(tmp_path, {"sharpness": ("probe_size=20", "probe_size=50"), "srank": (None,)})
    with pytest.raises(OptionError) as told:
        correlation.main([str(tmp_path), "--measure", "sharpness"])
    assert str(told.value) == (
        "measure=sharpness: must be one of sharpness(probe_size=20), sharpness(probe_size=50)"
    )


# ------------------------------------------------------------------ plugins

_PLUGIN = """
from raylot import plugins
plugins.shift("dim")(lambda dataset, options, key, t: {0})
plugins.intervention("clip")(lambda options: {0})
plugins.network("mine")(lambda shape, options, classes: {0})
plugins.metric("size")(lambda probe: {0})
"""


@pytest.fixture
def version(tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """Loads a plugin in one of its versions."""
    path = tmp_path / "mine.py"

    def load(number: int) -> None:
        path.write_text(_PLUGIN.format(number))
        plugins.load(path)

    plugins.forget()
    yield load
    plugins.forget()


def test_one_version_of_a_plugin_goes_by_its_name(
    tmp_path: Path, version: Callable[[int], None]
) -> None:
    version(1)
    write_study(
        tmp_path, at, shifts=("dim", "noise"), network="mine", intervention="clip",
        metrics=lambda shift, seed, task: {"size": 3.0},
    )  # fmt: skip
    plugins.forget()
    observations = observe(Storage(tmp_path))
    (setting,) = settings(observations)
    assert set(setting.frame["shift"]) == {"dim", "noise"}
    assert set(setting.frame["intervention"]) == {"clip"}
    assert observations.measures[-1] == "size"
    assert set(setting.frame["size"]) == {3.0}


def test_versions_of_a_plugin_are_told_apart(
    tmp_path: Path, version: Callable[[int], None]
) -> None:
    """Of shifts and interventions by name, beside what is built in; of networks by protocol."""
    for number in (1, 2):
        version(number)
        write_study(tmp_path, at, shifts=("dim", "noise"), intervention="clip", seeds=(0,))
    write_study(tmp_path, at, shifts=("noise",), seeds=(0,))
    plugins.forget()
    found = settings(observe(Storage(tmp_path)))
    assert len({setting.frame["protocol"].iloc[0] for setting in found}) == 1
    shifts = {s.frame["intervention"].iloc[0]: set(s.frame["shift"]) for s in found}
    assert len(shifts) == 3
    clipped = sorted(name for name in shifts if name.startswith("clip@"))
    assert len(clipped) == 2
    for name in clipped:
        code = name.removeprefix("clip@")  # one file, one code for all in it
        assert shifts[name] == {f"dim@{code}", "noise"}
    assert shifts["none"] == {"noise"}


def test_a_changed_network_is_another_setting(
    tmp_path: Path, version: Callable[[int], None]
) -> None:
    for number in (1, 2):
        version(number)
        write_study(tmp_path, at, shifts=("dim",), network="mine", seeds=(0,))
    plugins.forget()
    found = settings(observe(Storage(tmp_path)))
    assert len(found) == 2
    assert all(", plugins=network:mine:" in setting.title for setting in found)
    assert all("shift:" not in setting.title for setting in found)


def test_tickets_of_plugins_are_found_again(version: Callable[[int], None]) -> None:
    """A ticket stream has its search's protocol, which is read where no plugin is loaded."""
    version(1)
    run = TicketStreamRun.checked(shift="dim", network="mine", intervention="clip")
    assert run.protocol == run.search.protocol
    assert run.model_copy(update={"subnetwork": "dense"}).protocol == run.stream.protocol
    plugins.forget()
    row = {**results.option_values(run), "protocol": run.protocol}
    (options,) = options_by_protocol(pd.DataFrame([row])).values()
    kept = [part.rsplit(":", 1)[0] for part in options["plugins"].split(",")]
    assert kept == ["network:mine"]


def test_an_option_that_one_protocol_lacks_is_said_in_words(tmp_path: Path) -> None:
    for lr in (0.001, 0.002):
        write_study(tmp_path, at, seeds=(0,), lr=lr)
    observed = observe(Storage(tmp_path))
    first, second = observed.options
    observed.options[first]["random_masks"] = "1"
    observed.options[second]["random_masks"] = NOT_GIVEN
    titles = {part.frame["protocol"].iloc[0]: part.title for part in settings(observed)}
    assert titles[first].endswith(", random_masks=1")
    assert titles[second].endswith(", random_masks not given")


def test_options_in_which_searches_of_a_protocol_have_grown_apart_are_all_named(
    tmp_path: Path,
) -> None:
    for seed, tickets in ((0, 5), (1, 3)):
        write_study(tmp_path, at, seeds=(seed,), tasks=(0,), tickets=tickets)
    runs = results.read(tmp_path, "runs")
    (searched,) = options_by_protocol(runs[runs["kind"] == "tickets"]).values()
    assert (searched["tickets"], searched["random_masks"]) == ("3 or 5", "3 or 5")
    assert searched["tolerance"] == "0.01"


# ------------------------------------------------------------------ doses


def _labels(root: Path) -> dict[str, set[str]]:
    """Intervention -> the shifts beside it, all of one protocol."""
    found = settings(observe(Storage(root)))
    assert len({setting.frame["protocol"].iloc[0] for setting in found}) == 1
    return {setting.intervention: {*setting.frame["shift"]} for setting in found}


def test_doses_of_an_intervention_are_told_apart_beside_one_control(tmp_path: Path) -> None:
    """The control is written twice and is there once, as it does not use the strength."""
    for strength in (1e-4, 1e-3):
        for intervention in ("none", "l2_init"):
            write_study(
                tmp_path, at, shifts=("noise", "stationary"), seeds=(0,), tasks=(0, 10),
                intervention=intervention, l2_strength=strength,
            )  # fmt: skip
    both = {"noise", "stationary"}
    assert _labels(tmp_path) == {"none": both, "l2_init(1e-4)": both, "l2_init(1e-3)": both}
    found = settings(observe(Storage(tmp_path)))
    assert {len(setting.frame) for setting in found} == {4}  # two shifts, two snapshots
    assert {setting.suffix for setting in found} == {"_none", "_l2_init=1e-4", "_l2_init=1e-3"}
    assert {setting.suffix_of_interventions for setting in found} == {""}
    assert all("strength" not in setting.title for setting in found)


def test_one_dose_is_told_unless_it_is_the_default(tmp_path: Path) -> None:
    write_study(tmp_path, at, seeds=(0,), intervention="l2_init", l2_strength=1e-3, fraction=0.5)
    (setting,) = settings(observe(Storage(tmp_path)))
    assert setting.title.endswith(", intervention=l2_init(1e-3)")
    assert setting.suffix == ""
    write_study(tmp_path, at, seeds=(0,), intervention="l2", l2_strength=1e-4, fraction=0.5)
    shifts = {"permuted_pixels(0.5)"}
    assert _labels(tmp_path) == {"l2_init(1e-3)": shifts, "l2": shifts}


def test_doses_of_a_shift_are_told_apart_beside_one_control(tmp_path: Path) -> None:
    for fraction in (1.0, 0.5):
        shifts = ("permuted_pixels", "stationary", "rotation")
        write_study(tmp_path, at, shifts=shifts, seeds=(0,), fraction=fraction)
    doses = {"permuted_pixels(1)", "permuted_pixels(0.5)"}
    assert _labels(tmp_path) == {"none": {*doses, "stationary", "rotation"}}


def test_parameters_that_vary_are_named_if_there_are_several(tmp_path: Path) -> None:
    for shrink, perturb in ((0.8, 0.1), (0.9, 0.1), (0.8, 0.01)):
        write_study(
            tmp_path, at, seeds=(0,), intervention="shrink_and_perturb",
            shrink=shrink, perturb=perturb,
        )  # fmt: skip
    assert {*_labels(tmp_path)} == {
        "shrink_and_perturb(shrink=0.8, perturb=0.1)",
        "shrink_and_perturb(shrink=0.9, perturb=0.1)",
        "shrink_and_perturb(shrink=0.8, perturb=0.01)",
    }


def test_versions_of_a_plugin_have_doses_too(
    tmp_path: Path, version: Callable[[int], None]
) -> None:
    for number, strength in ((1, 1e-3), (1, 1e-4), (2, 1e-4)):
        version(number)
        write_study(tmp_path, at, seeds=(0,), intervention="clip", l2_strength=strength)
    plugins.forget()
    names = sorted(_labels(tmp_path))
    assert [name.partition("(")[2] for name in names].count("1e-4)") == 2
    assert len({name.partition("(")[0] for name in names}) == 2
    assert all(name.startswith("clip@") for name in names)


def test_only_runs_that_have_not_failed_decide_which_doses_are_told(tmp_path: Path) -> None:
    for strength in (1e-4, 1e-3):
        write_study(tmp_path, at, seeds=(0,), intervention="l2", l2_strength=strength)
    runs = results.read(tmp_path, "runs")
    failed = runs.assign(status=runs["status"].mask(runs["l2_strength"] == 1e-3, "failed"))
    labels = label_variants(runs, failed)["intervention"]
    assert {*labels[runs["l2_strength"] == 1e-4]} == {"l2"}
    assert {*labels[runs["l2_strength"] == 1e-3]} == {"l2(1e-3)"}, "never averaged with the others"


def test_a_run_without_a_row_in_runs_has_its_dose(tmp_path: Path) -> None:
    """A sweep writes the row in ``runs`` last; or it was lost."""
    for strength in (1e-4, 1e-3):
        write_study(tmp_path, at, seeds=(0,), intervention="l2", l2_strength=strength)
    runs = results.read(tmp_path, "runs")
    for name in ("snapshots", "tasks"):
        rows = results.read(tmp_path, name)
        labelled = label_variants(rows, runs[runs["l2_strength"] == 1e-4])["intervention"]
        assert {*labelled} == {"l2(1e-4)", "l2(1e-3)"}
        assert labelled.equals(label_variants(rows, runs)["intervention"])


def test_doses_of_runs_that_have_not_ended_are_told_apart(tmp_path: Path) -> None:
    write_study(tmp_path, at, seeds=(0,), intervention="l2", l2_strength=1e-3)
    dose = {"shift": "permuted_pixels", "intervention": "l2", "l2_strength": 1e-4}
    unfinished = Unfinished("f" * 12, "stream", "stream seed=0", 1, 2, "p", None, dose)
    begun = report_data.begun(results.read(tmp_path, "runs"), [unfinished])
    observed = observe(Storage(tmp_path), begun=begun)
    assert set(observed.frame["intervention"]) == {"l2(1e-3)"}
    assert label_variants(begun, begun)["intervention"].iloc[-1] == "l2(1e-4)"
