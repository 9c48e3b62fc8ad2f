"""A sweep over a user's own shift, network, metric and intervention, each in a file of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch

from raylot import results

_ROOT = Path(__file__).parents[2]
_SCRIPT = _ROOT / "sweeps" / "ticket_count_vs_plasticity.py"

_FILES = {
    "dim.py": """
from raylot import plugins
from raylot.tasks import map_inputs

@plugins.shift("dim")
def dim(dataset, options, key, t):
    return map_inputs(dataset, lambda images: (images * 0.5**t).to(images.dtype))
""",
    "broken.py": """
from raylot import plugins

@plugins.shift("broken")
def broken(dataset, options, key, t):
    if t == 1:
        raise ValueError("no second task")
    return dataset
""",
    "tanh.py": """
from torch import nn
from raylot import plugins

@plugins.network("tanh")
def tanh(input_shape, options, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7), nn.Tanh(), nn.Linear(7, classes))
""",
    "metrics.py": """
from raylot import plugins

@plugins.metric("brightest")
def brightest(probe):
    return probe.inputs.max()

@plugins.metric("units", of="activations")
def units(layer, options):
    return layer.outputs.shape[1]
""",
    "clip.py": """
from raylot import plugins
from raylot.training import Intervention

@plugins.intervention("clip")
class Clip(Intervention):
    def after_step(self, training):
        training.flat.vector.detach().clamp_(-0.1, 0.1)
""",
}

_TINY = [
    "--address", "local", "--tasks", "3", "--snapshots", "0-2", "--epochs", "1", "--batch-size",
    "64", "--tickets", "2", "--rounds", "1", "--seeds", "0-1", "--sparsities", "0.8",
    "--random-masks", "1", "--shuffled-masks", "0", "--reinit-tickets", "0", "--probe-size", "400",
    "--ntk-examples", "0", "--sharpness-iterations", "0", "--interventions", "none,clip",
    "--shifts", "dim,broken,stationary", "--network", "tanh", "--metrics", "units,brightest",
]  # fmt: skip


def _run(folder: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    """The script in the folder of the plugins, which are named by paths from there."""
    given = [word for file in _FILES for word in ("--plugin", file)]
    command = [sys.executable, str(_SCRIPT), *given, *_TINY, "--storage", "results", *extra]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=400
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the package with the plugins and the results of a sweep over them."""
    folder = tmp_path_factory.mktemp("own")
    for name, source in _FILES.items():
        assert len(source.strip().splitlines()) < 20
        (folder / name).write_text(source)
    done = _run(folder)
    assert done.returncode == 1, done.stderr  # as some runs failed
    assert "Traceback" not in done.stderr
    return folder


def test_runs_that_a_plugin_fails_are_recorded_and_others_go_on(folder: Path) -> None:
    runs = results.read(folder / "results", "runs")
    failed = runs[runs["status"] == "failed"]
    assert set(failed["shift"]) == {"broken"}
    assert len(failed) == 4  # of 2 seeds and 2 interventions; no tickets are searched there
    assert set(failed["error"]) == {"ValueError: no second task (at broken.py:7)"}
    finished = runs[runs["status"] == "finished"]
    assert finished.groupby(["shift", "intervention", "kind"]).size().to_dict() == {
        (shift, intervention, kind): count
        for shift in ("dim", "stationary")
        for intervention in ("none", "clip")
        for kind, count in (("stream", 2), ("tickets", 6))
    }
    assert set(finished["engine_used"]) == {"generic"}
    assert set(finished["metrics"]) == {"brightest,units"}


def test_the_code_that_was_used_stands_in_the_table_of_runs(folder: Path) -> None:
    runs = results.read(folder / "results", "runs").set_index(["shift", "intervention"])
    used = runs["plugins"].map(lambda text: [part.rsplit(":", 1)[0] for part in text.split(",")])
    always = ["metric:brightest", "metric:units", "network:tanh"]
    assert all(own == always for own in used["stationary", "none"])
    assert all(own == [*always, "shift:dim"] for own in used["dim", "none"])
    assert all(own == ["intervention:clip", *always, "shift:dim"] for own in used["dim", "clip"])
    # What a sweep compares can be compared.
    finished = runs[runs["status"] == "finished"]
    assert (finished.groupby("kind")["protocol"].nunique() == 1).all()


def test_values_of_the_metrics_by_hand(folder: Path) -> None:
    rows = results.read(folder / "results", "plasticity")
    brightest = rows[rows["metric"] == "brightest"].set_index(["shift", "task"])["value"]
    for task, value in ((0, 16.0), (1, 8.0), (2, 4.0)):  # the pixels of digits reach 16
        assert set(brightest["dim", task]) == {value}
        assert set(brightest["stationary", task]) == {16.0}
    units = rows[rows["metric"] == "units"]
    assert set(units["layer"]) == {"1", "all"}
    assert set(units["value"]) == {7.0}


def test_the_intervention_held_the_weights(folder: Path) -> None:
    runs = results.read(folder / "results", "runs")
    streams = runs[(runs["kind"] == "stream") & (runs["shift"] == "dim")]
    largest: dict[str, list[float]] = {}
    for run_id, intervention in zip(streams["run_id"], streams["intervention"], strict=True):
        path = folder / "results" / "artifacts" / run_id / "snapshot-2.safetensors"
        network = safetensors.torch.load_file(path)
        assert network["1.weight"].shape == (7, 64)
        largest.setdefault(intervention, []).append(
            max(float(w.abs().max()) for w in network.values())
        )
    assert largest["clip"] == pytest.approx([0.1, 0.1])
    assert min(largest["none"]) > 0.1


def _changed(folder: Path, change: Callable[[str], str]) -> str:
    """What ``--dry-run`` says of the study with another ``dim.py``, which is put back."""
    path = folder / "dim.py"
    path.write_text(change(_FILES["dim.py"]))
    try:
        done = _run(folder, "--dry-run")
    finally:
        path.write_text(_FILES["dim.py"])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_command_again_computes_nothing(folder: Path) -> None:
    done = _run(folder)
    assert done.returncode == 1
    assert "starting Ray" not in done.stderr


def test_formatting_and_comments_of_a_plugin_do_not_count(folder: Path) -> None:
    def change(source: str) -> str:
        return '"""Darker."""\n' + source.replace("0.5**t", "(0.5 ** t)").replace(
            ".to(", "  # half\n.to("
        )

    assert "Nothing is left to compute." in _changed(folder, change)


def test_changed_code_is_computed_again(folder: Path) -> None:
    lines = _changed(folder, lambda source: source.replace("0.5", "0.25")).splitlines()
    counts = {line.split()[0]: line.split()[1:4] for line in lines[1:3]}
    # 2 seeds x 2 interventions x 3 shifts, of which one is new; 3 snapshots each.
    assert counts["streams"] == ["12", "4", "4"], "four have failed"
    assert counts["tickets"] == ["36", "12", "12"]


def test_a_prediction_that_a_plugin_fails_says_so(folder: Path) -> None:
    lines = _changed(folder, lambda source: source.replace("0.5", "missing")).splitlines()
    assert lines[-1] == (
        "Not predicted: a training failed (NameError: name 'missing' is not defined (at dim.py:7))."
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


@pytest.mark.parametrize(
    "script", ["correlation", "figures", "plastic_parameters", "report", "reproduction"]
)
def test_the_analysis_needs_no_plugin(script: str, folder: Path, tmp_path: Path) -> None:
    path = _ROOT / "analysis" / f"{script}.py"
    code = _ANALYSIS.format(
        folder=str(path.parent), script=str(path), storage=str(folder / "results")
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if script == "reproduction":  # these runs are none of the original's
        assert done.returncode == 2
        assert done.stderr.startswith("error: STORAGE=")
        return
    assert done.returncode == 0, done.stderr
    if script == "correlation":
        written = (folder / "results" / "analysis" / "correlation.csv").read_text()
        assert "brightest" in written
        assert ",dim," in written
    if script == "figures":
        names = {file.stem for file in (folder / "results" / "analysis" / "figures").glob("*.svg")}
        assert "plasticity_along_stream_clip" in names
        drawn = folder / "results" / "analysis" / "figures" / "plasticity_along_stream_none.svg"
        assert "Brightest" in drawn.read_text()


def test_two_versions_are_told_apart(folder: Path) -> None:
    """Last, as it adds to the results: a changed plugin beside what the old one gave."""
    (folder / "dim.py").write_text(_FILES["dim.py"].replace("0.5", "0.25"))
    done = _run(folder, "--shifts", "dim,stationary", "--interventions", "none")
    assert done.returncode == 0, done.stderr
    rows = results.read(folder / "results", "plasticity")
    own = rows[(rows["metric"] == "brightest") & (rows["shift"] == "dim") & (rows["task"] == 2)]
    assert set(own["value"]) == {4.0, 1.0}
    assert set(rows["shift"]) == {"dim", "broken", "stationary"}
    written = results.read(folder / "results", "runs")
    used = written.loc[written["shift"] == "dim", "plugins"]
    codes = {text.split("shift:dim:")[1] for text in used}
    assert len(codes) == 2
    for code in codes:
        assert f"dim@{code}" in done.stdout
