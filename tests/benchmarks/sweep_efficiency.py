"""How much of a small sweep's time on all cores is training, and where the rest goes.

    python tests/benchmarks/sweep_efficiency.py --data-root data --download

Runs the original study's protocol, cut short, through Ray on this machine's cores, and prints the
time inside the training loops of all trials divided by cores x wall-clock. Then, as a second sweep,
many trials of next to no work: what a trial costs by itself. Other work on the machine counts
against both; only compare figures of one run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from raylot import results

SCRIPT = Path(__file__).parents[2] / "sweeps" / "ticket_count_vs_plasticity.py"

#: Of the original study: fewer tasks, snapshots and tickets, and one seed per core at least.
TRAINING = {
    "preset": "original", "tasks": "12", "snapshots": "0,6", "tickets": "3", "random-masks": "3",
    "rewired-masks": "1", "sparsities": "0.8", "ticket-tasks": "0", "seeds": "0-3",
}  # fmt: skip

#: One training of 2 steps each.
SHORT = {
    "tasks": "1", "snapshots": "0", "epochs": "1", "batch-size": "1000", "hidden": "4",
    "tickets": "1", "random-masks": "0", "rewired-masks": "0", "reinit-tickets": "0",
    "probe-tasks": "0", "ntk-examples": "0", "sharpness-iterations": "0",
    "shifts": "stationary", "sparsities": "0.8", "rounds": "1",
}  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-root", default="data", help="folder that holds MNIST")
    parser.add_argument("--download", action="store_true", help="put MNIST there if it is missing")
    parser.add_argument("--trials", type=int, default=100, help="of next to no work, per stage")
    parser.add_argument(
        "--only", choices=["training", "short"], help="one of the two sweeps (default: both)"
    )
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.only != "short":
            measure_training(f"{folder}/training", arguments.data_root, arguments.download)
        if arguments.only != "training":
            measure_overhead(f"{folder}/short", arguments.trials)
    return 0


def measure_training(storage: str, data_root: str, download: bool) -> None:
    """Runs the sweep that trains, and says where the time of the cores went."""
    data = {"data-root": data_root, "download": str(download).lower()}
    begun, wall, peak = swept(storage, {**TRAINING, **data})
    cores = os.cpu_count() or 1
    runs = results.read(storage, "runs")
    first = (runs["started"].min().to_pydatetime() - begun).total_seconds()
    everything = cores * wall
    training, plasticity = runs["training_seconds"].sum(), runs["plasticity_seconds"].sum()
    in_trials = runs["seconds"].sum()
    print(f"{len(runs)} trials, {wall:.0f} s on {cores} cores; shares of cores x wall-clock:")
    for name, seconds in (
        ("training", training),
        ("plasticity metrics", plasticity),
        ("evaluation, permutation, tables", in_trials - training - plasticity),
        ("start, until the first trial began", cores * first),
        ("between trials, idle cores, analysis", everything - in_trials - cores * first),
    ):
        print(f"  {name:<38}{seconds / everything:>7.1%}")
    steps = runs["training_steps"].sum()
    print(f"{steps:,} training steps, {1e3 * training / steps:.3f} ms each")
    print(f"{first:.1f} s from the command to the first trial")
    print(f"{peak:.0f} MiB: peak resident memory of a worker, the shared data set included")


def measure_overhead(storage: str, trials: int) -> None:
    """Runs the sweep of short trials, twice as many to see what one more costs."""
    times = []
    for count in (trials, 2 * trials):
        _, wall, _ = swept(f"{storage}-{count}", {**SHORT, "seeds": f"0-{count - 1}"})
        times.append(wall)
    each = (times[1] - times[0]) / (2 * trials)  # two stages
    print(
        f"{2 * trials} trials of next to no work: {times[0]:.1f} s; {4 * trials}: {times[1]:.1f} s;"
        f" one more trial: {1e3 * each:.0f} ms of wall-clock on {os.cpu_count()} cores"
    )


def swept(storage: str, options: dict[str, str]) -> tuple[datetime, float, float]:
    """Runs the main study; returns when it began, its seconds, and a worker's most MiB."""
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    begun, started, peak = datetime.now(UTC), time.perf_counter(), 0.0
    command = [sys.executable, str(SCRIPT), "--storage", storage, *words]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, text=True)
        while process.poll() is None:
            peak = max(peak, largest_worker())
            time.sleep(0.5)
        if process.returncode:
            said.seek(0)
            sys.exit(said.read())
    return begun, time.perf_counter() - started, peak


def largest_worker() -> float:
    """Peak resident memory so far of the largest Ray worker that trains now, in MiB (Linux)."""
    peaks = [0.0]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if b"Trial" in (process / "cmdline").read_bytes()[:40]:
                lines = (process / "status").read_text().splitlines()
                peaks += [int(line.split()[1]) / 1024 for line in lines if "VmHWM" in line]
    return max(peaks)


if __name__ == "__main__":
    sys.exit(main())
