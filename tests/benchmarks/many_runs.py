"""Measures what a sweep of many short runs costs beside them: time, processor, memory, files.

    python tests/benchmarks/many_runs.py                   # 1,000 and 3,000 runs on Ray
    python tests/benchmarks/many_runs.py --runs 20000 --local

Runs tiny streams on digits, measurements and a search of each, and prints for each thousand of runs
that end (with ``--every``, of another number) the wall-clock and the driver's processor time per
run, and its memory; then the files that the sweep has left. Other work on the machine counts too:
compare alternating runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

#: As little work as a stream, the measurement of its snapshot, and a search can be.
STUDY = (
    "--tasks", "1", "--snapshots", "0", "--shifts", "permuted_pixels", "--interventions", "none",
    "--epochs", "1", "--hidden", "4", "--batch-size", "512", "--tickets", "1", "--rounds", "1",
    "--sparsities", "0.5", "--random-masks", "0", "--rewired-masks", "0", "--reinit-tickets", "0",
    "--untrained-masks", "0", "--probe-tasks", "0", "--ntk-examples", "0",
    "--sharpness-iterations", "0", "--probe-size", "20",
)  # fmt: skip

#: Runs of each seed: a stream, three measurements and a search.
PER_SEED = 5

#: Where the process that is measured writes what it has seen.
_NOTES = "RAYLOT_BENCHMARK_NOTES"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 3000])
    parser.add_argument("--every", type=int, default=1000, help="runs of a row (default: 1000)")
    parser.add_argument("--local", action="store_true", help="without Ray")
    parser.add_argument("study", nargs="*", help="further options of the study, after --")
    given = parser.parse_args(words)
    for runs in given.runs:
        more = [*(["--local"] if given.local else ["--address", "local"]), *given.study]
        print_figures(measured(-(-runs // PER_SEED), more), given.every)
    return 0


def measured(seeds: int, options: Sequence[str]) -> dict[str, Any]:
    """Computes a study of so many seeds in an empty storage; returns what was seen."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes")
        study = ["--seeds", f"0-{seeds - 1}", *STUDY, "--storage", f"{folder}/storage", *options]
        begun = time.time()
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.many_runs", *study],
            env=os.environ | {_NOTES: str(notes)}, cwd=Path(__file__).parents[2],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        seen = json.loads(notes.read_text())
        storage = Path(folder, "storage")
        seen |= {name: _files(storage / name) for name in ("tune", "tables", "artifacts")}
        return {**seen, "begun": begun}


def print_figures(seen: dict[str, Any], every: int) -> None:
    ended = seen["ended"]
    print(f"{len(ended):,} runs, {seen['seconds']:.0f} s from the first to the last")
    print(f"{'runs':>14}{'s per run':>12}{'driver ms per run':>20}{'driver MB':>12}")
    before = seen["first"]
    for last in range(every, len(ended) + every, every):
        last = min(last, len(ended))
        now = ended[last - 1]
        runs = last - (0 if before is seen["first"] else _number(ended, before))
        wall, cpu = ((now[i] - before[i]) / runs for i in (0, 1))
        print(f"{last:>14,}{wall:>12.4f}{1e3 * cpu:>20.1f}{now[2]:>12,.0f}")
        before = now
    for name in ("tune", "tables", "artifacts"):
        files, size = seen[name]
        print(f"{name:>14}{files:>10,} files{size / 1e6:>10.1f} MB")
    print(flush=True)


def _number(ended: Sequence[Any], moment: Any) -> int:
    return ended.index(moment) + 1


def _files(folder: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def _moment() -> list[float]:
    """The time, this process's processor time, and its memory in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmRSS"))
    return [time.time(), time.process_time(), int(kilobytes) / 1e3]


def _observed(words: Iterable[str]) -> int:
    """Computes the study, and writes down when the driver hears that a run has ended."""
    from raylot.command.studies import StudyKind, run_study
    from raylot.sweep import study_spaces
    from raylot.terminal.progress import Progress

    first: list[float] = []
    ended: list[list[float]] = []
    run_started, run_ended = Progress.run_started, Progress.run_ended

    def started(self: Progress, *given: Any, **options: Any) -> None:
        first[:] = first or _moment()
        run_started(self, *given, **options)

    def one_more(self: Progress, *given: Any, **options: Any) -> None:
        ended.append(_moment())
        run_ended(self, *given, **options)

    Progress.run_started = started  # type: ignore[method-assign]
    Progress.run_ended = one_more  # type: ignore[method-assign]
    status = run_study(StudyKind("alone", "", {}), study_spaces, [*words])
    seen = {"first": first, "ended": ended, "seconds": ended[-1][0] - first[0]}
    Path(os.environ[_NOTES]).write_text(json.dumps(seen))
    return status


if __name__ == "__main__":
    sys.exit(_observed(sys.argv[1:]) if _NOTES in os.environ else main())
