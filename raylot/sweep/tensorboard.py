"""What TensorBoard shows of a sweep: the curves of every run, and HParams to compare runs by.

Ray Tune's own callback logs whatever a trial reports, and says in each run which options and
measures there are. TensorBoard believes the first run it finds, a stream's as a rule, and then
shows nothing of tickets. This one logs measures alone, and leaves it to TensorBoard to gather them.
"""

from __future__ import annotations

import math
from typing import Any

from ray.tune.logger import TBXLoggerCallback
from tensorboardX.summary import hparams

from raylot.config import TicketsRun

#: What of a search comes first among all that runs are compared by. TensorBoard begins with five
#: columns, the first by name, and leaves out whatever run lacks one: any others would leave none.
_FIRST = (
    "ticket_count", "winning_ticket_count", "overlap_mean", "ticket_accuracy", "test_accuracy",
)  # fmt: skip


class TensorBoard(TBXLoggerCallback):
    """Logs ``measures`` of each report as scalars ``<kind of run>/<measure>``.

    The step is the task of a stream, counted from its first, or the round of a search (0: dense
    training; each control is one more). Of a run that was continued by another sweep each has its
    own part of the curve. HParams are written when a run ends: its kind, the options searched over,
    and, as the last value of each scalar, what runs are compared by; of a search also as
    ``answer/<measure>``.
    """

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        if trial not in self._trial_writer:
            self.log_trial_start(trial)
        writer = self._trial_writer[trial]
        measures = {
            f"{result['kind']}/{name}": value
            for name, value in result["measures"].items()
            if value is not None and math.isfinite(value)
        }
        for tag, value in measures.items():
            writer.add_scalar(tag, value, global_step=result["timesteps_total"] - 1)
        self._trial_result[trial] = {"kind": result["kind"], **measures}
        writer.flush()

    def _try_log_hparams(self, trial: Any, result: dict[str, Any]) -> None:
        closing = self._trial_result[trial]
        options = {"kind": closing["kind"], **trial.evaluated_params["run"]}
        if closing["kind"] == TicketsRun.kind:
            options.setdefault("subnetwork", "search")  # where ticket streams have one
            for name in _FIRST:
                if (value := closing.get(f"{TicketsRun.kind}/{name}")) is not None:
                    self._trial_writer[trial].add_scalar(f"answer/{name}", value, global_step=0)
        plain = {
            name: value if isinstance(value, bool | int | float) else str(value)
            for name, value in options.items()
        }
        _, start, end = hparams(hparam_dict=plain, metric_dict={})
        for summary in (start, end):
            self._trial_writer[trial].file_writer.add_summary(summary)
