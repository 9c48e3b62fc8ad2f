"""Computes the runs of a sweep in this process, one after another, without Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch

from raylot.config import StreamRun
from raylot.foundation.text import one_line
from raylot.storage import OutOfReachError
from raylot.sweep.batches import LONGEST_ERROR, Batches, Losses, Reports, Terms
from raylot.trials.kinds import TRIALS


def compute(batches: Batches, terms: Terms) -> None:
    """Computes batches of runs with the trials that Ray's workers run."""
    runs = next(batches, None)
    while runs:
        try:
            runs = batches.send(_computed(runs, terms))
        except StopIteration:
            return


def _computed(runs: Sequence[StreamRun], terms: Terms) -> Losses:
    reports = Reports(terms.progress, Losses(), terms.run_ended)
    with _as_in_a_worker():
        for run, configuration in zip(runs, terms.configurations(runs), strict=True):
            terms.progress.run_started(run.run_id, run.label)
            _compute(run, configuration, terms, reports)
            if terms.is_over(reports.losses):
                break
    return reports.losses


def _compute(run: StreamRun, configuration: dict[str, Any], terms: Terms, reports: Reports) -> None:
    """Computes one run; begins again from its last save if that fails, as often as Tune would."""
    failures = 0
    while True:
        try:
            trial = TRIALS[run.kind](configuration)
            is_done = False
            while not is_done:
                report = trial.step()
                terms.guard.raise_if_interrupted()  # a plugin may have caught the interruption
                reports.take(run.run_id, report)
                is_done = report["done"]
            terms.progress.run_ended(run.run_id)
            return
        except Exception as error:
            failures += 1
            why = one_line(error, LONGEST_ERROR)
            if failures > terms.options.max_failures:
                if isinstance(error, OutOfReachError):
                    reports.losses.storage_failed.add(run.run_id)
                reports.losses.given_up[run.run_id] = why
                terms.progress.run_ended(run.run_id, failed=True)
                return
            terms.progress.note(f"{run.label}: {why}; it continues from the last save")


@contextmanager
def _as_in_a_worker() -> Iterator[None]:
    """Trains with one thread, which decides how sums are rounded; hides what trials log."""
    threads = torch.get_num_threads()
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        torch.set_num_threads(threads)
