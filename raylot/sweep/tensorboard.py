"""Logs a sweep for TensorBoard: curves along streams, and HParams that compare runs.

Ray Tune's own callback logs everything that a trial reports, and lists in each run which options
and measures there are. TensorBoard believes the list of the first run that it finds, as a rule a
stream's, and then shows nothing of tickets. The callback here logs measures alone and writes no
such list, so that TensorBoard gathers options and measures from all runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune.logger import TBXLoggerCallback
from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from raylot.config import TicketsRun, plugin_options
from raylot.config.doses import in_file_names
from raylot.trials import tune_internals

#: What TensorBoard shows first of a search, as ``answer/<measure>``. Its HParams begins with five
#: columns, the first by name, and its parallel coordinates leave out each run that lacks one of
#: them. Its curves begin with the first group by name.
_FIRST = (
    "ticket_count", "winning_ticket_count", "overlap_mean", "ticket_accuracy", "test_accuracy",
)  # fmt: skip


class TensorBoard(
    tune_internals.NotPickled,
    TBXLoggerCallback,  # so that Tune does not add its own
):
    """Logs ``measures`` of each report as scalars ``<kind of run>/<measure>``.

    The step is the task of a stream, counted from its first, or the round of a search (0: dense
    training; each control is one more). If another sweep continues a run, each sweep draws its own
    part of the curve.

    The results of an ended search go to ``answer/<measure>`` and ``found/<measure>``, at the task
    of its snapshot. Searches that differ in their snapshot alone share one more run of TensorBoard,
    ``stream_..._sparsity=...``, which joins these values to curves along the stream.

    It logs nothing of short runs that share a trial: nobody could watch their curves, and there are
    too many.

    When a run ends, its HParams are written: its kind and the options searched over. TensorBoard
    adds the last value of each scalar, by which it compares runs.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._writers: dict[Any, SummaryWriter] = {}
        self._along_stream: dict[Path, dict[int, dict[str, float]]] = {}
        # Trial that has reported -> measure -> the step at which it did so last, and the value.
        self._reported: dict[Any, dict[str, tuple[int, float]]] = {}

    def log_trial_start(self, trial: Any) -> None:
        if tune_internals.bundled_runs(trial):
            return
        if trial in self._writers:  # an attempt whose worker was lost
            self._writers[trial].close()
        self._writers[trial] = SummaryWriter(str(tune_internals.trial_folder(trial)), flush_secs=30)

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        if tune_internals.bundled_runs(trial):
            return
        if trial not in self._writers:
            self.log_trial_start(trial)
        measures = {
            name: value
            for name, value in result["measures"].items()
            if value is not None and math.isfinite(value)
        }
        before = self._reported.setdefault(trial, {})
        writer = self._writers[trial]
        if result["kind"] == TicketsRun.kind and result["done"]:
            found = {f"{'answer' if n in _FIRST else 'found'}/{n}": v for n, v in measures.items()}
            options = tune_internals.trial_options(trial)
            _write(writer, found, options["task"])
            if found:
                folder = tune_internals.trial_folder(trial).parent
                self._draw_along_stream(folder, options, found)
        else:
            step = result["timesteps_total"] - 1
            reported = {name: (step, value) for name, value in measures.items()}
            if result["done"]:  # repeats measures of earlier tasks: these get no new point
                for name, (earlier, value) in before.items():
                    if earlier < step - 1 and measures.get(name) == value:
                        del measures[name]
            _write(writer, {f"{result['kind']}/{n}": v for n, v in measures.items()}, step)
            before |= reported

    def _draw_along_stream(
        self, experiment: Path, options: dict[str, Any], found: dict[str, float]
    ) -> None:
        """Adds the results of a search to the curves along its stream.

        Searches end in any order, but TensorBoard joins points in the order of writing. So a new
        file holds this point and all later ones, and its first event tells TensorBoard to drop
        these points of earlier files.
        """
        first = TicketsRun(**{**options, "task": TicketsRun(**options).snapshots[0]})
        label = f"{first.stream.label} sparsity={first.sparsity:g} {first.run_id}"
        name = in_file_names(label)
        points = self._along_stream.setdefault(experiment / name, {})
        points[options["task"]] = found
        with SummaryWriter(
            str(experiment / name),
            purge_step=options["task"],
            filename_suffix=f".{len(points):04}",
        ) as writer:
            for task in sorted(task for task in points if task >= options["task"]):
                _write(writer, points[task], task)

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        if self._reported.pop(trial, None) is not None:
            self._write_hparams(trial)
        if writer := self._writers.pop(trial, None):
            writer.close()

    def _write_hparams(self, trial: Any) -> None:
        kind = tune_internals.trial_kind(trial)
        options = {"kind": kind, **tune_internals.searched_options(trial)}
        for own in plugin_options.parsed(options.pop("plugin_options", None)).values():
            options |= own
        if kind == TicketsRun.kind:
            options.setdefault("subnetwork", "search")  # where ticket streams have one
        plain = {
            name: value if isinstance(value, bool | int | float) else str(value)
            for name, value in options.items()
        }
        _, start, end = hparams(hparam_dict=plain, metric_dict={})
        for summary in (start, end):
            self._writers[trial].file_writer.add_summary(summary)


def _write(writer: SummaryWriter, scalars: Mapping[str, float], step: int) -> None:
    for tag, value in scalars.items():
        writer.add_scalar(tag, value, global_step=step)
    writer.flush()
