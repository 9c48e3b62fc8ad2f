"""A sweep over all plugins of docs/extending.md, by its command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch

from raylot import results
from tests.support import docs

_MORE = """
from raylot import plugins

@plugins.metric("brightest")
def brightest(probe):
    return probe.inputs.max()

@plugins.shift("broken")
def broken(dataset, options, key, t):
    if t == 1:
        raise ValueError("no second task")
    return dataset
"""

_LESS = [
    "--address", "local", "--tasks", "3", "--snapshots", "0-2", "--epochs", "1", "--batch-size",
    "64", "--hidden", "7", "--tickets", "2", "--rounds", "1", "--seeds", "0", "--sparsities",
    "0.8", "--random-masks", "1", "--rewired-masks", "0", "--reinit-tickets", "0",
    "--probe-size", "400", "--ntk-examples", "0", "--sharpness-iterations", "0",
    "--max-concurrent", "1",
]  # fmt: skip


def _run(folder: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    """Runs the command of docs/extending.md there, with one plugin more and less to do."""
    (words,) = [words for words in docs.commands() if "dim.py" in words]
    more = ["--plugin", "more.py", "--metrics", "saturated,brightest"]
    command = [sys.executable, "-m", "raylot", *words, *_LESS, *more, *extra]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=400
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the package with the plugins and the results of a sweep over them."""
    folder = tmp_path_factory.mktemp("own")
    files = docs.write_plugins(folder)
    assert len(files) == 6
    assert all(len(file.read_text().splitlines()) < 25 for file in files)
    (folder / "more.py").write_text(_MORE)
    done = _run(folder, "--shifts", "dim,broken,stationary")
    assert done.returncode == 1, done.stderr  # as some runs failed
    assert "Traceback" not in done.stderr
    return folder


@pytest.fixture
def storage(folder: Path) -> Path:
    return folder / "results" / "plugins"


def test_runs_that_a_plugin_fails_are_recorded_and_others_go_on(storage: Path) -> None:
    runs = results.read(storage, "runs")
    failed = runs[runs["status"] == "failed"]
    assert set(failed["shift"]) == {"broken"}
    assert len(failed) == 2  # of 2 interventions; no tickets are searched there
    assert set(failed["error"]) == {"ValueError: no second task (at more.py:11)"}
    finished = runs[runs["status"] == "finished"]
    assert finished.groupby(["shift", "intervention", "kind"]).size().to_dict() == {
        (shift, intervention, kind): count
        for shift in ("dim", "stationary")
        for intervention in ("none", "clip")
        for kind, count in (("stream", 1), ("probes", 1), ("measurement", 5), ("tickets", 3))
    }
    trained = finished[finished["kind"] != "measurement"]
    assert set(trained["engine_used"]) == {"generic"}
    assert set(finished["metrics"].dropna()) == {"brightest", "saturated"}


def test_the_code_that_was_used_stands_in_the_table_of_runs(storage: Path) -> None:
    runs = results.read(storage, "runs").set_index(["shift", "intervention"])
    runs["used"] = runs["plugins"].map(
        lambda text: [part.rsplit(":", 1)[0] for part in text.split(",")]
    )
    of_searches = runs["used"].map(lambda own: own.count("criterion:own_taylor"))
    assert of_searches.tolist() == [int(kind == "tickets") for kind in runs["kind"]]
    runs["used"] = runs["used"].map(lambda own: [part for part in own if "criterion" not in part])
    used = runs.loc[runs["metrics"].isna(), "used"]
    always = ["network:tanh"]
    # dim makes the probe tasks of both streams
    on_probes = runs.loc[runs["metrics"].isna(), "kind"].isin(["probes", "tickets"])
    of_control = ("stationary", "none")
    assert all(own == always for own in used[~on_probes][of_control])
    assert all(own == [*always, "shift:dim"] for own in used[on_probes][of_control])
    assert all(own == [*always, "shift:dim"] for own in used["dim", "none"])
    assert all(own == ["intervention:clip", *always, "shift:dim"] for own in used["dim", "clip"])
    metrics = runs[runs["metrics"].notna()]
    assert all(
        f"metric:{name}" in own
        for name, own in zip(metrics["metrics"], metrics["used"], strict=True)
    )
    # What a sweep compares can be compared.
    finished = runs[runs["status"] == "finished"]
    same = finished.groupby(["kind", "measured", "metrics"], dropna=False)
    assert (same["protocol"].nunique() == 1).all()


def test_values_of_the_metrics_by_hand(storage: Path) -> None:
    rows = results.read(storage, "plasticity")
    brightest = rows[rows["metric"] == "brightest"].set_index(["shift", "task"])["value"]
    for task, value in ((0, 16.0), (1, 8.0), (2, 4.0)):  # the pixels of digits reach 16
        assert set(brightest["dim", task]) == {value}
        assert set(brightest["stationary", task]) == {16.0}
    saturated = rows[(rows["metric"] == "saturated") & (rows["shift"] != "broken")]
    assert len(saturated) == 4 * 3 * 2  # streams, snapshots, the hidden layer and all of them
    assert set(saturated["layer"]) == {"1", "all"}
    assert saturated["value"].between(0, 1).all()


def test_the_intervention_held_the_weights(storage: Path) -> None:
    runs = results.read(storage, "runs")
    streams = runs[(runs["kind"] == "stream") & (runs["shift"] == "dim")]
    largest: dict[str, list[float]] = {"clip": [], "none": []}
    for run_id, intervention in zip(streams["run_id"], streams["intervention"], strict=True):
        path = storage / "artifacts" / run_id / "snapshot-2.safetensors"
        network = safetensors.torch.load_file(path)
        assert network["1.weight"].shape == (7, 64)
        largest[intervention].append(max(float(w.abs().max()) for w in network.values()))
    assert largest["clip"] == pytest.approx([0.2])
    assert min(largest["none"]) > 0.2


def test_a_prediction_that_a_plugin_fails_says_so(folder: Path) -> None:
    plugin = folder / "dim.py"
    source = plugin.read_text()
    plugin.write_text(source.replace("0.5", "missing"))
    done = _run(folder, "--dry-run")
    plugin.write_text(source)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "Not predicted: a training failed (NameError: name 'missing' is not defined (at dim.py:8))."
    )


_ANALYSIS = """
import runpy, sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        assert name not in ("torch", "ray"), name

sys.meta_path.insert(0, Refusing())
sys.path.insert(0, {folder!r})
sys.argv = [{script!r}, {storage!r}]
runpy.run_path({script!r}, run_name="__main__")
"""


@pytest.mark.parametrize("script", ["correlation", "figures", "plastic_parameters", "report"])
def test_the_analysis_needs_no_plugin(script: str, storage: Path, tmp_path: Path) -> None:
    path = docs.ROOT / "analysis" / f"{script}.py"
    code = _ANALYSIS.format(folder=str(path.parent), script=str(path), storage=str(storage))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    written = storage / "analysis"
    if script == "correlation":
        table = (written / "correlation.csv").read_text()
        assert "brightest" in table
        assert ",dim," in table
    if script == "figures":
        assert (written / "figures" / "plasticity_along_stream_clip.svg").exists()
        drawn = written / "figures" / "plasticity_along_stream_none.svg"
        assert "Brightest" in drawn.read_text()


@pytest.mark.slow  # faster: test_versions_of_a_plugin_are_told_apart in test_observations.py
def test_two_versions_are_told_apart(folder: Path, storage: Path) -> None:
    """Last, as it adds to the results: a changed plugin beside what the old one gave."""
    plugin = folder / "dim.py"
    plugin.write_text(plugin.read_text().replace("0.5", "0.25"))
    done = _run(folder, "--interventions", "none")
    assert done.returncode == 0, done.stderr
    rows = results.read(storage, "plasticity")
    own = rows[(rows["metric"] == "brightest") & (rows["shift"] == "dim") & (rows["task"] == 2)]
    assert set(own["value"]) == {4.0, 1.0}
    assert set(rows["shift"]) == {"dim", "broken", "stationary"}
    written = results.read(storage, "runs")
    used = written.loc[written["shift"] == "dim", "plugins"]
    codes = {text.split("shift:dim:")[1] for text in used}
    assert len(codes) == 2
    for code in codes:
        assert f"dim@{code}" in done.stdout
