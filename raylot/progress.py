"""Live progress of a sweep on the terminal: what is running, how far it is, how long still."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

#: Seconds between two lines of progress where there is no terminal.
PLAIN_INTERVAL = 15.0

#: Running trials named there.
_PLAIN_RUNNING = 4

#: Seconds of measured work before a time left is given.
_WARM_UP = 3.0


_STARTING = "starting Ray, or joining it ..."


@dataclass
class _Running:
    label: str
    doing: str = "starting"
    steps: int = 0


@dataclass
class _StageCount:
    runs: int
    finished_before: int
    ended: int = 0


@dataclass
class Progress:
    """Counts training steps, the one currency of all work, and shows them.

    Args:
        total_steps: training steps that are still to be done, all stages together.
        clock: seconds, for tests.
        console: where to write; standard error if None, so that results stay apart.
    """

    total_steps: int = 0
    clock: Callable[[], float] = time.monotonic
    console: Console = field(default_factory=lambda: Console(file=sys.stderr))
    _stages: dict[str, _StageCount] = field(default_factory=dict)
    _running: dict[str, _Running] = field(default_factory=dict)
    _steps_ended: int = 0
    _steps_here: int = 0
    _failed: int = 0
    _first_step_at: float | None = None
    _said_at: float = float("-inf")
    _live: Live | None = None

    def __enter__(self) -> Progress:
        if not self.console.is_terminal:
            self.note(_STARTING)
        else:
            self._live = Live(
                get_renderable=self.render, console=self.console, refresh_per_second=4
            )
            self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Leaves the terminal as it was."""
        live, self._live = self._live, None
        if live:
            live.stop()

    # -------------------------------------------------- what happens

    def begin_stage(self, name: str, runs: int, finished_before: int) -> None:
        """A stage of so many runs begins, some of which were finished by earlier sweeps."""
        self._stages[name] = _StageCount(runs, finished_before)
        self._running.clear()
        self._say()

    def run_started(self, trial: str, label: str) -> None:
        self._running[trial] = _Running(label)
        self._say()

    def run_advanced(self, trial: str, result: dict[str, Any]) -> None:
        """A trial has done a step and reports it (see ``RunTrainable._report``)."""
        if self._first_step_at is None:
            self._first_step_at = self.clock()
        else:  # the first report came with steps done before the clock ran
            self._steps_here += result["new_training_steps"]
        running = self._running.setdefault(trial, _Running(result["label"]))
        running.label, running.doing = result["label"], result["doing"] or "ending"
        running.steps = result["training_steps"]
        self._failed += bool(result.get("failed"))
        self._say()

    def run_ended(self, trial: str, *, failed: bool = False) -> None:
        running = self._running.pop(trial, None)
        self._steps_ended += running.steps if running else 0
        self._failed += failed
        self._current_stage.ended += 1
        self._say()

    def steps_forgotten(self) -> None:
        """All that is still to be done is counted anew."""
        self.total_steps = self.steps_done

    def note(self, line: str) -> None:
        """Says something that happens once, above what is live."""
        self.console.print(line, highlight=False, soft_wrap=True, markup=False)

    # -------------------------------------------------- what is shown

    @property
    def steps_done(self) -> int:
        return self._steps_ended + sum(running.steps for running in self._running.values())

    @property
    def fraction(self) -> float:
        """Of the training steps that were still to be done, those done; in [0, 1]."""
        return min(1.0, self.steps_done / self.total_steps) if self.total_steps else 1.0

    def seconds_left(self) -> float | None:
        """Estimated from the speed so far; None while there is no speed to go by."""
        if self._first_step_at is None:
            return None
        elapsed = self.clock() - self._first_step_at
        if elapsed < _WARM_UP or not self._steps_here:
            return None
        return max(0, self.total_steps - self.steps_done) * elapsed / self._steps_here

    def summary(self) -> str:
        """How far the stage is in runs, all of this command in steps, and how long it takes."""
        name, stage = list(self._stages.items())[-1]
        text = f"{name}: {stage.finished_before + stage.ended} of {stage.runs} runs finished"
        if self._running:
            text += f", {len(self._running)} running"
        if self._failed:
            text += f", {self._failed} failed"
        text += f"; {self.fraction:.0%} of the training steps to do"
        left = self.seconds_left()
        return text if left is None else f"{text}, about {duration(left)} left"

    def render(self) -> RenderableType:
        """The live picture: a bar, the summary, and what each running trial is doing."""
        if not self._stages:
            return Text(_STARTING)
        rows = Table.grid(padding=(0, 2))
        rows.add_column(no_wrap=True, overflow="ellipsis")
        rows.add_column(no_wrap=True, style="cyan")
        visible = max(3, self.console.height - 6)
        for running in list(self._running.values())[:visible]:
            rows.add_row(f"  {running.label}", running.doing)
        hidden = len(self._running) - visible
        if hidden > 0:
            rows.add_row(f"  ... and {hidden} more", "")
        bar = Table.grid()  # a bar alone does not end its line
        bar.add_row(ProgressBar(total=1.0, completed=self.fraction, width=60))
        return Group(bar, Text(self.summary(), overflow="fold"), rows)

    @property
    def _current_stage(self) -> _StageCount:
        return list(self._stages.values())[-1]

    def _say(self) -> None:
        if self._live or self.clock() - self._said_at < PLAIN_INTERVAL:
            return
        self._said_at = self.clock()
        running = [f"  {run.label}: {run.doing}" for run in self._running.values()]
        lines = [self.summary(), *running[:_PLAIN_RUNNING]]
        if len(running) > _PLAIN_RUNNING:
            lines.append(f"  ... and {len(running) - _PLAIN_RUNNING} more")
        self.note("\n".join(lines))


def duration(seconds: float) -> str:
    """``8 s``, ``3 min``, ``2.5 h``, ``4.2 days``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
