"""How long many results take to compact, to read and to analyse, and how much memory.

    python tests/benchmarks/results_at_scale.py

Writes the tables of 100,000 tickets runs, of their streams and of their probes with raylot's own
writer, run by run, as a sweep does (20 minutes, 8 GB of disk); compacts them, reads every table and
runs analysis/correlation.py and analysis/report.py, each in a process of its own. Prints wall-clock
seconds and peak memory beside the limits.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from raylot import results
from raylot.config import ProbeRun, StreamRun, Study, TicketsRun
from raylot.config.parser import OneLineParser
from raylot.foundation.errors import OptionError
from raylot.foundation.names import PERFORMANCE, WHOLE_NETWORK
from raylot.foundation.version import VERSION
from raylot.storage import Storage

ANALYSIS = Path(__file__).parents[2] / "analysis"
SECONDS, GIGABYTES = 60.0, 4.0
PROCESSES = 2

SHIFTS = ("permuted_pixels", "rotation", "permuted_labels", "stationary")
INTERVENTIONS = ("none", "l2_init")
SNAPSHOTS = tuple(range(0, 100, 10))
SPARSITIES = (0.6, 0.7, 0.8, 0.9, 0.95)
#: Tickets runs of each seed.
PER_SEED = len(SHIFTS) * len(INTERVENTIONS) * len(SNAPSHOTS) * len(SPARSITIES)

_LAYERS = (WHOLE_NETWORK, "hidden1", "output")
_WEIGHTS = (WHOLE_NETWORK, "hidden1.weight", "output.weight")
#: Metric -> its value on a fresh network and its change along the stream.
_STRUCTURE = {
    "dead_fraction": (0.05, 0.1),
    "dormant_fraction": (0.08, 0.12),
    "effective_rank": (40.0, -10.0),
    "stable_rank": (9.0, -3.0),
    "srank": (35.0, -8.0),
    "weight_norm": (12.0, 6.0),
    "weight_magnitude": (0.04, 0.02),
    "distance_from_init": (2.0, 9.0),
    "gradient_norm": (1.0, 0.1),
    "gradient_zero_fraction": (0.1, 0.1),
    "unit_sign_entropy": (0.6, -0.1),
    "ntk_effective_rank": (12.0, -4.0),
    "ntk_condition_number": (300.0, 900.0),
    "sharpness": (20.0, 15.0),
}


def study() -> Study:
    """The options that all runs share."""
    return Study.checked(tasks=SNAPSHOTS[-1] + 1, snapshots=",".join(map(str, SNAPSHOTS)))


# ------------------------------------------------------------------ rows like a sweep's


def write_seed(storage: Storage, seed: int) -> None:
    """Writes all runs of one seed, each run's table ``runs`` last, as trials do."""
    options = study()
    for shift, intervention in itertools.product(SHIFTS, INTERVENTIONS):
        stream = options.stream_run(shift=shift, seed=seed, intervention=intervention)
        tables, performance = _stream_tables(stream)
        _write_run(storage, stream, tables)
        for probe in options.probe_runs(stream):
            _write_run(storage, probe, {"probes": _probe_rows(probe, performance)})
        for task, sparsity in itertools.product(SNAPSHOTS, SPARSITIES):
            run = options.tickets_run(
                shift=shift, seed=seed, intervention=intervention, task=task, sparsity=sparsity
            )
            _write_run(storage, run, _tickets_tables(run, performance[task]))


def _write_run(storage: Storage, run: StreamRun, tables: dict[str, list[dict[str, Any]]]) -> None:
    identity = results.identity_columns(run)
    for table, rows in tables.items():
        results.write(storage, table, run.run_id, [{**identity, **row} for row in rows])
    ended = {
        **results.option_values(run),
        **identity,
        "kind": run.kind,
        "status": "finished",
        "stream_run_id": run.stream.run_id,
        "protocol": run.protocol,
        "training_steps": run.training_steps,
        "seconds": 6.1,
        "training_seconds": 5.7,
        "plasticity_seconds": 0.2,
        "started": datetime(2025, 3, 4, 5, 6, 7, run.seed, UTC),
        "device_used": "cpu",
        "raylot_version": VERSION,
        "torch_version": "2.6.0",
        "ray_version": "2.60.0",
    }
    results.write(storage, "runs", run.run_id, [ended])


def _stream_tables(
    run: StreamRun,
) -> tuple[dict[str, list[dict[str, Any]]], dict[int, dict[str, float]]]:
    """Rows of ``tasks`` and ``plasticity``, and the performance at each snapshot."""
    draw = np.random.default_rng([run.seed, *run.run_id.encode()])
    own = {"subnetwork": "dense", "stream_run_id": run.run_id}
    trend = _trend(run)
    accuracies = 0.95 - 0.06 * trend + 0.008 * draw.normal(size=run.tasks)
    tasks: list[dict[str, Any]] = [
        {
            **own, "task": task, "train_loss": 1 - accuracy, "online_accuracy": accuracy - 0.05,
            "test_loss": 1.1 - accuracy, "test_accuracy": accuracy,
            "learning_speed": accuracy - 0.1,
        }
        for task, accuracy in enumerate(accuracies.tolist())
    ]  # fmt: skip
    plasticity, performance = [], {}
    for task in run.snapshots:
        noise = draw.normal(size=(len(_STRUCTURE), len(_LAYERS))).tolist()
        values = [
            (layer, metric, start + change * (float(trend[task]) + 0.1 * n))
            for (metric, (start, change)), row in zip(_STRUCTURE.items(), noise, strict=True)
            for layer, n in zip(_LAYERS, row, strict=True)
        ]
        performance[task] = {name: tasks[task][name] for name in PERFORMANCE[:3]}
        values += [(WHOLE_NETWORK, name, value) for name, value in performance[task].items()]
        plasticity += [
            {**own, "task": task, "layer": layer, "metric": metric, "value": value}
            for layer, metric, value in values
        ]
    return {"tasks": tasks, "plasticity": plasticity}, performance


def _probe_rows(run: ProbeRun, performance: dict[int, dict[str, float]]) -> list[dict[str, Any]]:
    """Rows of the fresh network and of the snapshots, which learn as well as their own task."""
    own = {"stream_run_id": run.stream.run_id, "probe_shift": run.probe_shift}
    networks: list[tuple[int | None, float]] = [(None, 0.95)]
    networks += [(task, measures["test_accuracy"]) for task, measures in performance.items()]
    return [
        {
            **own, "task": task, "trained": "fresh" if task is None else "snapshot",
            "probe_task": p, "final_train_loss": 1 - accuracy, "train_loss": 1 - accuracy,
            "online_accuracy": accuracy - 0.05, "test_loss": 1.1 - accuracy,
            "test_accuracy": accuracy, "learning_speed": accuracy - 0.1,
        }
        for task, accuracy in networks
        for p in range(run.probe_tasks)
    ]  # fmt: skip


def _trend(run: StreamRun) -> np.ndarray[Any, np.dtype[np.float64]]:
    """How far plasticity is lost at each task, about 0 to 1: less under an intervention."""
    strength = 0.0 if run.shift == "stationary" else 1.0 if run.intervention == "none" else 0.4
    return strength * np.arange(run.tasks) / run.tasks


def _tickets_tables(
    run: TicketsRun, performance: dict[str, float]
) -> dict[str, list[dict[str, Any]]]:
    draw = np.random.default_rng([run.seed, *run.run_id.encode()])
    place = {"stream_run_id": run.stream.run_id, "task": run.task, "sparsity": run.sparsity}
    setting = {**place, "protocol": run.protocol, "rounds": run.rounds}
    kept = (1 - run.sparsity) ** (1 / run.round_count)
    trained = [("dense", t, 0) for t in range(run.tickets)]
    trained += [("ticket", t, r + 1) for r in range(run.round_count) for t in range(run.tickets)]
    trained += [("random", t, run.round_count) for t in range(run.random_mask_count)]
    accuracies = (performance["test_accuracy"] + 0.01 * draw.normal(size=len(trained))).tolist()
    tickets: list[dict[str, Any]] = [
        {
            **place, "control": control, "ticket": ticket, "round": number,
            "density": kept**number, "train_loss": 1 - accuracy, "test_loss": 1.1 - accuracy,
            "online_accuracy": accuracy - 0.05, "test_accuracy": accuracy,
            "test_examples": 10_000,
            "wins": accuracy > 0.93 if control == "ticket" and number == run.round_count else None,
        }
        for (control, ticket, number), accuracy in zip(trained, accuracies, strict=True)
    ]  # fmt: skip
    chance = (1 - run.sparsity) / (1 + run.sparsity)
    lost = 0.96 - performance["test_accuracy"]

    def overlap() -> dict[str, float]:
        jaccard = 0.5 + 4 * lost + 0.02 * draw.normal()
        return {"jaccard": jaccard, "chance": chance,
                "corrected": (jaccard - chance) / (1 - chance)}  # fmt: skip

    overlaps: list[dict[str, Any]] = [
        {
            **place,
            "layer": layer,
            "compared_with": "ticket",
            "ticket_a": a,
            "ticket_b": b,
            **overlap(),
        }
        for a, b in itertools.combinations(range(run.tickets), 2)
        for layer in _WEIGHTS
    ]
    plastic = [
        {**setting, "layer": layer, "selection": selection, "density": 1 - run.sparsity,
         "selection_density": 1 - run.sparsity, **overlap()}
        for selection in ("first", "union", "intersection")
        for layer in _WEIGHTS
    ]  # fmt: skip
    jaccards = [row["jaccard"] for row in overlaps if row["layer"] == WHOLE_NETWORK]
    own = [row["test_accuracy"] for row in tickets if row["wins"] is not None]
    wins = sum(accuracy > 0.93 for accuracy in own)
    count = 3.5 - 15 * lost + 0.2 * draw.normal()
    snapshot = {
        **setting,
        "density": 1 - run.sparsity,
        "tickets": run.tickets,
        "test_examples": 10_000,
        "winning_tickets": wins,
        "ticket_count": count,
        "winning_ticket_count": count * wins / run.tickets,
        "overlap_mean": float(np.mean(jaccards)),
        "overlap_std": float(np.std(jaccards)),
        "overlap_chance": chance,
        "overlap_corrected": (float(np.mean(jaccards)) - chance) / (1 - chance),
        "dense_accuracy": performance["test_accuracy"],
        "ticket_accuracy": float(np.mean(own)),
        "random_accuracy": performance["test_accuracy"] - 0.03 + 0.01 * draw.normal(),
        **performance,
    }
    return {
        "tickets": tickets, "overlaps": overlaps, "snapshots": [snapshot],
        "plastic_parameters": plastic,
    }  # fmt: skip


# ------------------------------------------------------------------ measuring


def _written(root: str, seed: int) -> int:
    """Writes one seed's runs, unless they are there."""
    storage = Storage(root)
    last = study().tickets_run(
        shift=SHIFTS[-1], seed=seed, intervention=INTERVENTIONS[-1], task=SNAPSHOTS[-1],
        sparsity=SPARSITIES[-1],
    )  # fmt: skip
    if results.read_run(storage, "runs", last.run_id) is None:
        write_seed(storage, seed)
    return seed


def generate(root: str, seeds: int) -> None:
    """Writes all runs, in a few processes, and says how far it is."""
    started = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(PROCESSES, seeds)) as pool:
        done = pool.imap_unordered(functools.partial(_written, root), range(seeds))
        for number, _ in enumerate(done, start=1):
            if number % max(1, seeds // 10) == 0:
                seconds = time.monotonic() - started
                print(f"written {number * PER_SEED:,} tickets runs, {seconds:.0f} s", flush=True)


def measured(*command: str) -> tuple[float, float]:
    """Wall-clock seconds and peak memory in GB (1e9 bytes) of a process.

    Raises:
        RuntimeError: it failed.
    """
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return time.monotonic() - started, usage.ru_maxrss * unit / 1e9


def report(root: str, small_files: bool, figures: bool) -> None:
    """Reads, compacts, reads again, analyses, and prints what it took."""
    print(f"\n{'':<34}{'seconds':>9}{'limit':>7}{'GB':>8}{'limit':>7}")
    if small_files:
        for table in results.SCHEMAS:
            _print(f"read {table}, small files", *_reading(root, table))
    _print("compact", *measured("-m", "raylot", "compact", root))
    reading = 0.0
    for table in results.SCHEMAS:
        seconds, memory = _reading(root, table)
        reading += seconds
        _print(f"read {table}", seconds, memory, limited=True)
    _print("read all, one after another", reading, limited=True)
    _print("analysis/correlation.py", *_analysis(root, "correlation.py"), limited=True)
    seconds, memory = _analysis(root, "report.py")
    size = (Path(root) / "analysis" / "report.html").stat().st_size
    _print(f"analysis/report.py ({size / 1e6:.1f} MB)", seconds, memory)
    if figures:
        _print("analysis/figures.py", *_analysis(root, "figures.py"))


def _reading(root: str, table: str) -> tuple[float, float]:
    code = "import sys; from raylot import results; results.read(*sys.argv[1:])"
    return measured("-c", code, root, table)


def _analysis(root: str, script: str) -> tuple[float, float]:
    return measured(str(ANALYSIS / script), root)


def _print(
    what: str, seconds: float, gigabytes: float | None = None, *, limited: bool = False
) -> None:
    limits = [f"{SECONDS:.0f}", f"{GIGABYTES:.0f}"] if limited else ["", ""]
    memory = "" if gigabytes is None else f"{gigabytes:.2f}"
    bounds = limits if gigabytes is not None else [limits[0], ""]
    print(f"{what:<34}{seconds:>9.1f}{bounds[0]:>7}{memory:>8}{bounds[1]:>7}", flush=True)


# ------------------------------------------------------------------ the command


def whole(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line asks for; returns the exit status."""
    parser = OneLineParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--runs", type=whole, default=100_000, metavar="RUNS",
        help=f"tickets runs, a whole number from 1; rounded up to seeds of {PER_SEED} "
        "(default: 100000)",
    )  # fmt: skip
    parser.add_argument(
        "--storage", metavar="FOLDER",
        help="where results are kept, and found again (default: a temporary folder)",
    )  # fmt: skip
    parser.add_argument(
        "--small-files", action="store_true", help="also read every table before compaction"
    )
    parser.add_argument("--figures", action="store_true", help="also draw all figures")
    try:
        given = parser.parse_args(arguments)
        with tempfile.TemporaryDirectory(prefix="raylot-results-") as temporary:
            root = Storage(given.storage or temporary).root
            generate(root, math.ceil(given.runs / PER_SEED))
            report(root, given.small_files, given.figures)
    except OptionError as error:
        print("error:", error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
