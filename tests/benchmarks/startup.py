"""When a sweep's command says and does what: from Enter to the first training, and between stages.

    python tests/benchmarks/startup.py                     # on Ray, then without, three runs each
    python tests/benchmarks/startup.py --runs 1 -- --seeds 0-3 --tasks 21

Runs the main study on digits, cut short, and prints for each run the seconds since the command was
typed. Other work on the machine counts too: compare figures of alternating runs, and minima.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

#: The main study on digits with few seeds.
STUDY = (
    "--seeds", "0-1", "--tasks", "11", "--snapshots", "0,10", "--shifts", "permuted_pixels",
    "--interventions", "none", "--tickets", "2",
)  # fmt: skip

#: Ways to run it -> options.
WAYS = {"Ray": (), "local": ("--local",)}

#: What is measured, in the order in which it happens; `_observed` says when.
PHASES = (
    "imported", "first line", "checked", "Ray is there", "first trial", "first training",
    "between stages", "all computed", "ended",
)  # fmt: skip

#: Where the process that is measured notes times: a file, a JSON list in each line.
_NOTES = "RAYLOT_BENCHMARK_NOTES"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="of each way (default: 3)")
    parser.add_argument("--only", choices=WAYS, help="one of the ways (default: both)")
    parser.add_argument("study", nargs="*", default=STUDY, help="its options, after --")
    arguments = parser.parse_args(words)
    ways = [arguments.only] if arguments.only else list(WAYS)
    print(f"{'seconds since Enter':<22}" + "".join(f"{phase:>16}" for phase in PHASES))
    for _ in range(arguments.runs):
        for way in ways:
            seconds = measured([*arguments.study, *WAYS[way]])
            cells = "".join(
                f"{seconds[phase]:>16.2f}" if phase in seconds else f"{'-':>16}" for phase in PHASES
            )
            print(f"{way:<22}{cells}", flush=True)
    return 0


def measured(options: Sequence[str]) -> dict[str, float]:
    """Runs the study once in an empty storage; returns the seconds until each of `PHASES`."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes")
        environment = os.environ | {_NOTES: str(notes)}
        study = ["sweep", "ticket-count-vs-plasticity", "--storage", f"{folder}/storage", *options]
        begun = time.time()
        terminal, end = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.startup", *study],
            env=environment, stdout=end, stderr=end, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        os.close(end)
        said = os.read(terminal, 4096)
        first_line = time.time()
        with suppress(OSError):  # so ends what is read of a terminal
            while more := os.read(terminal, 4096):
                said += more
        os.close(terminal)
        if process.wait():
            sys.exit(said.decode(errors="replace"))
        noted = [json.loads(line) for line in notes.read_text().splitlines()]
        ended = time.time()
    at = {"first line": first_line - begun, "ended": ended - begun}
    stage_began, idle = 0.0, 0.0
    for phase, moment in noted:
        at.setdefault(phase, moment - begun)
        if phase == "stage":
            stage_began = moment
        elif phase == "first trial" and stage_began:
            idle += (moment - stage_began) if at["stage"] + begun < stage_began else 0.0
            stage_began = 0.0
    return {name: at[name] for name in PHASES if name in at} | {"between stages": idle}


def _observed(words: Sequence[str]) -> int:
    """Runs the command line, and notes when it comes to each phase."""
    notes = Path(os.environ[_NOTES])

    def note(phase: str) -> None:
        with notes.open("a") as file:
            print(json.dumps([phase, time.time()]), file=file)

    def noting(phase: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            note(phase)
            return method(*args, **options)

        return call

    from raylot.command.main import main as command

    note("imported")
    from raylot.sweep.interrupt_guard import InterruptGuard
    from raylot.terminal.progress import Progress

    for owner, name, phase in (
        (Progress, "__enter__", "checked"),
        (InterruptGuard, "watch_cluster", "Ray is there"),
        (Progress, "begin_stage", "stage"),
        (Progress, "run_started", "first trial"),
        (Progress, "run_advanced", "first training"),
        (Progress, "end_stage", "stage ends"),
        (Progress, "__exit__", "all computed"),
    ):
        setattr(owner, name, noting(phase, getattr(owner, name)))
    return command(words)


if __name__ == "__main__":
    sys.exit(_observed(sys.argv[1:]) if _NOTES in os.environ else main())
