"""How much of a sweep's time on all cores is training, and where the rest goes.

    python tests/benchmarks/sweep_efficiency.py --data-root data --download
    python tests/benchmarks/sweep_efficiency.py default    # digits alone, a minute

Runs the default study, then the original study's protocol cut short to some 5 and 20 minutes on two
cores, through Ray on this machine's cores. Prints the time inside the training loops of all trials
divided by cores x wall-clock: of the whole command, with its start and its analyses, and from the
first trial's start to the last one's end. Then, as two more sweeps, many trials of next to no work:
what a trial costs by itself. Other work on the machine counts against all; only compare figures of
one run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from raylot import results

SCRIPT = Path(__file__).parents[2] / "sweeps" / "ticket_count_vs_plasticity.py"

_ORIGINAL = {
    "preset": "original", "random-masks": "3", "rewired-masks": "1", "sparsities": "0.8",
    "ticket-tasks": "0",
}  # fmt: skip

#: Sweep -> its options. Cut short, the original study has one seed per core at least.
SWEEPS = {
    "default": {},
    "five_minutes": {
        **_ORIGINAL, "tasks": "12", "snapshots": "0,6", "tickets": "3", "seeds": "0-3",
    },
    "twenty_minutes": {
        **_ORIGINAL, "tasks": "41", "snapshots": "0,20,40", "tickets": "4", "seeds": "0-7",
    },
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
        "sweeps", nargs="*", choices=[*SWEEPS, "short", []], help="which of them (default: all)"
    )
    arguments = parser.parse_args(words)
    data = {"data-root": arguments.data_root, "download": str(arguments.download).lower()}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.sweeps or [*SWEEPS, "short"]:
            if name == "short":
                measure_overhead(f"{folder}/short", arguments.trials)
            else:
                is_digits = "preset" not in SWEEPS[name]
                options = SWEEPS[name] if is_digits else {**SWEEPS[name], **data}
                measure_training(name, f"{folder}/{name}", options)
    return 0


def measure_training(name: str, storage: str, options: Mapping[str, str]) -> None:
    """Runs a sweep that trains, and says where the time of the cores went."""
    begun, wall, peak = swept(storage, options)
    cores = os.cpu_count() or 1
    runs = results.read(storage, "runs")
    first = (runs["started"].min().to_pydatetime() - begun).total_seconds()
    last = runs["started"] + pd.to_timedelta(runs["seconds"], unit="s")
    computing = (last.max() - runs["started"].min()).total_seconds()
    everything = cores * wall
    training, plasticity = runs["training_seconds"].sum(), runs["plasticity_seconds"].sum()
    in_trials = runs["seconds"].sum()
    print(f"{name}: {len(runs)} runs, {wall:.0f} s on {cores} cores; shares of cores x wall-clock:")
    for part, seconds in (
        ("training", training),
        ("plasticity metrics", plasticity),
        ("evaluation, permutation, tables", in_trials - training - plasticity),
        ("start, until the first trial began", cores * first),
        ("between trials, idle cores", cores * computing - in_trials),
        ("end and analyses", cores * (wall - first - computing)),
    ):
        print(f"  {part:<38}{seconds / everything:>7.1%}")
    print(f"  training from first start to last end {training / (cores * computing):>7.1%}")
    steps = runs["training_steps"].sum()
    print(f"{steps:,} training steps, {1e3 * training / steps:.3f} ms each")
    print(f"{first:.1f} s from the command to the first trial, {computing:.1f} s to the last end")
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


def swept(storage: str, options: Mapping[str, str]) -> tuple[datetime, float, float]:
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
