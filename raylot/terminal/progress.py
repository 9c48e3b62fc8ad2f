"""Live progress of a sweep on the terminal: what is running, how far it is, how long still."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from raylot.foundation.names import ENOUGH_SEEDS
from raylot.foundation.text import one_line, safe
from raylot.terminal.preliminary import ENOUGH_SNAPSHOTS, AnswerSoFar
from raylot.terminal.stray_output import StrayOutput

#: Seconds between two lines of progress where there is no terminal.
PLAIN_INTERVAL = 15.0

#: Running trials named there.
_PLAIN_RUNNING = 4

#: Seconds after which the answer so far is said there again, beside the ends of stages.
PLAIN_ANSWER_INTERVAL = 3600.0

#: Settings of which the answer so far is shown.
_MOST_SETTINGS = 6

_ANSWER_TITLE = f"(r needs {ENOUGH_SEEDS} seeds, {ENOUGH_SNAPSHOTS} tasks and a control)"

#: Characters of a label that are shown, however narrow the terminal.
_SHORTEST_LABEL = 16

#: Lines from which on a terminal has room for the answer so far, and for lines between the parts.
_LOW, _ROOMY = 14, 20

#: Seconds of measured work before a time left is given.
_WARM_UP = 3.0

_STARTING = "starting Ray, or joining it ..."

#: What `Progress.wait_for` says while workers import what they need.
STARTING_WORKERS = "starting workers ..."


@dataclass
class _Running:
    label: str
    doing: str = "starting"
    steps: int = 0
    failed: bool = False


@dataclass
class _Stage:
    runs: int
    done: int
    failed: int


@dataclass
class Progress:
    """Counts training steps, the one currency of all work, and shows them.

    Args:
        total_steps: training steps that are still to be done, all stages together.
        clock: seconds, for tests.
        console: where to write; standard error if None, so that results stay apart.
        answer: what the searches that have ended say.
    """

    total_steps: int = 0
    clock: Callable[[], float] = time.monotonic
    console: Console = field(default_factory=lambda: Console(file=sys.stderr))
    answer: AnswerSoFar = field(default_factory=AnswerSoFar)
    _stages: dict[str, _Stage] = field(default_factory=dict)
    _is_continued: bool = False
    _stage: str = ""
    _waiting: str = ""
    _running: dict[str, _Running] = field(default_factory=dict)
    _steps_ended: int = 0
    _steps_here: int = 0
    _first_step_at: float | None = None
    _said_at: float = float("-inf")
    _answered_at: float = float("-inf")
    _live: Live | None = None
    _strays: StrayOutput | None = None
    _terminal: IO[str] | None = None

    def __enter__(self) -> Progress:
        self._answered_at = self.clock()
        if not self.console.is_terminal or self.console.is_dumb_terminal:
            self.note(_STARTING)
        else:
            if self.console.file.isatty():
                self._strays = StrayOutput(self.note)
                self.console.file = self._terminal = self._strays.catch(self.console.file)
            self._live = Live(
                get_renderable=self.render,
                console=self.console,
                refresh_per_second=2,
                redirect_stdout=False,
                redirect_stderr=False,
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
        strays, self._strays = self._strays, None
        if strays:
            strays.release()
        if live:
            live.stop()

    # -------------------------------------------------- what happens

    def count_stage(self, name: str, runs: int, done: int, failed: int) -> None:
        """How a stage stands, by the storage, while none of its runs is running.

        Args:
            name: of the stage.
            runs: all of them.
            done: those that ended well, or diverged.
            failed: those that ended with an error.
        """
        self._running.clear()
        self._is_continued |= name not in self._stages and done + failed > 0
        self._stages[name] = _Stage(runs, done, failed)

    def begin_stage(self, name: str) -> None:
        """A stage that has been counted begins."""
        # This first: a thread may draw the picture between the two lines.
        self._waiting = STARTING_WORKERS
        self._stage = name
        self._say()

    def wait_for(self, what: str) -> None:
        """Says why no trial is running, until one is."""
        if what != self._waiting and not self._live:
            self.note(what)
        self._waiting = what

    def end_stage(self) -> None:
        """Its last run has ended."""
        self._waiting = ""
        self._say(now=True)
        self._say_answer()

    def run_started(self, trial: str, label: str) -> None:
        self._running[trial] = _Running(label)
        self._waiting = ""
        self._say()

    def run_advanced(self, trial: str, result: dict[str, Any]) -> None:
        """A trial has done a step and reports it (see ``RunTrainable._report``)."""
        if self._first_step_at is None:
            self._first_step_at = self.clock()
        else:  # the first report came with steps done before the clock ran
            self._steps_here += result["new_training_steps"]
        running = self._running.setdefault(trial, _Running(result["label"]))
        self._waiting = ""
        running.label, running.doing = result["label"], one_line(result["doing"]) or "ending"
        running.steps, running.failed = result["training_steps"], result["failed"]
        if result["done"]:
            self.answer.add(result["run_id"], result["measures"])
        self._say()

    def run_ended(self, trial: str, *, failed: bool = False) -> None:
        running = self._running.pop(trial, None)
        stage = self._stages[self._stage]
        if failed or (running and running.failed):
            stage.failed += 1
        else:
            stage.done += 1
        self._steps_ended += running.steps if running else 0
        self._say()

    def steps_forgotten(self) -> None:
        """All that is still to be done is counted anew."""
        self.total_steps = self.steps_done

    def note(self, line: str) -> None:
        """Says something that happens once, above what is live."""
        self.console.print(safe(line), highlight=False, soft_wrap=True, markup=False)

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
        stage = self._stages[self._stage]
        text = f"{self._stage}: {stage.done} of {stage.runs} runs finished"
        if self._running:
            text += f", {len(self._running)} running"
        if stage.failed:
            text += f", {stage.failed} failed"
        return f"{text}; {self._how_far()}"

    def render(self) -> Text:
        """The live picture: a bar, all stages, what running trials are doing, the answer so far."""
        if self._terminal:
            with suppress(OSError):  # rich asks the streams that are not the terminal's any more
                size = os.get_terminal_size(self._terminal.fileno())
                if size.columns and size.lines:  # some know neither
                    self.console.size = size
        if not self._stage:
            return Text(_STARTING)
        height = self.console.height - 1  # the cursor's own line below it
        stages = self._stage_lines()
        answer = self._answer_lines(height // 4) if height >= _LOW else []
        apart = [""] if height >= _ROOMY else []
        rest = len(stages) + len(answer) + 1 + 2 * len(apart)
        running = self._running_lines(max(1, height - rest))
        parts = [[self._bar(), *stages], running, answer]
        lines = [line for part in parts if part for line in [*apart, *part]][len(apart) :]
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")

    def _how_far(self) -> str:
        text = f"{self.fraction:.0%} of {self._training} done"
        left = self.seconds_left()
        return f"{text}, about {duration(left)} left" if left else text

    @property
    def _training(self) -> str:
        """Names the training that the percentage counts: this command's, without earlier ones'."""
        return "the remaining training" if self._is_continued else "the training"

    def _bar(self) -> str:
        """Read by its shape alone: colours look otherwise on every terminal."""
        text = self._how_far()
        longest = len(f"100% of {self._training} done, about 4.2 days left")
        width = min(80, self.console.width) - longest - 2
        full = int(width * self.fraction)
        done, to_do = "#-" if self.console.options.ascii_only else "━─"
        return f"{done * full}{to_do * (width - full)}  {text}".lstrip()

    def _stage_lines(self) -> list[str]:
        rows: list[tuple[str, ...]] = [("", "done", "running", "waiting", "failed", "of")]
        for name, stage in self._stages.items():
            running = len(self._running) if name == self._stage else 0
            waiting = max(0, stage.runs - stage.done - stage.failed - running)
            numbers = (stage.done, running, waiting, stage.failed, stage.runs)
            rows.append((name, *map(str, numbers)))
        return _aligned(rows, self.console.width)

    def _running_lines(self, most: int) -> list[str]:
        """What each running trial is doing, in at most so many lines.

        Without the kind of run, which the stage says.
        """
        running = list(self._running.values())
        if not running and self._waiting:
            return [f"  {self._waiting}"]
        shown = running if len(running) <= most else running[: most - 1]
        rows = [(f"  {run.label.split(' ', 1)[-1]}", run.doing) for run in shown]
        lines = _aligned(rows, self.console.width, justify=str.ljust)
        more = len(running) - len(shown)
        return [*lines, f"  ... and {more} more"] if more else lines

    def _answer_lines(self, most: int) -> list[str]:
        """At most so many settings; nothing if no search has ended."""
        settings = self.answer.settings()
        if not settings:
            return []
        most = max(1, min(most, _MOST_SETTINGS))
        to = "->" if self.console.options.ascii_only else "→"
        rows = [("", "tasks", "accuracy", "tickets", "r (control)", "seeds")]
        for each in settings[:most]:
            tasks = to.join(str(task) for task in dict.fromkeys(each.tasks))
            accuracy = to.join(f"{value:.3f}" for value in dict.fromkeys(each.test_accuracy))
            tickets = to.join(f"{value:.1f}" for value in dict.fromkeys(each.ticket_count))
            r = " ".join(
                form.format(_short(found))
                for form, found in (("{}", each.pearson), ("({})", each.control))
                if found is not None
            )
            rows.append((each.setting, tasks, accuracy, tickets, r or "-", str(each.seeds)))
        when = "in all" if self.answer.is_complete else "so far"
        lines = [f"{when}, preliminary {_ANSWER_TITLE}", *_aligned(rows, self.console.width)]
        more = len(settings) - most
        return [*lines, f"... and {more} more"] if more > 0 else lines

    def _say(self, now: bool = False) -> None:
        if self._live or (not now and self.clock() - self._said_at < PLAIN_INTERVAL):
            return
        self._said_at = self.clock()
        running = [f"  {run.label}: {run.doing}" for run in self._running.values()]
        lines = [self.summary(), *running[:_PLAIN_RUNNING]]
        if len(running) > _PLAIN_RUNNING:
            lines.append(f"  ... and {len(running) - _PLAIN_RUNNING} more")
        self.note("\n".join(lines))
        if self.clock() - self._answered_at >= PLAIN_ANSWER_INTERVAL:
            self._say_answer()

    def _say_answer(self) -> None:
        lines = [] if self._live else self._answer_lines(_MOST_SETTINGS)
        if lines:
            self._answered_at = self.clock()
            self.note("\n".join(lines))


def _aligned(
    rows: Sequence[Sequence[str]], width: int, justify: Callable[[str, int], str] = str.rjust
) -> list[str]:
    """Rows as lines of at most a width; the first column, flush left, gives way.

    Args:
        rows: of equal length.
        width: of the terminal.
        justify: of the other columns.
    """
    if not rows:
        return []
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    gap = 2 if first + sum(others) + 2 * len(others) <= width else 1
    left = width - sum(others) - gap * len(others)
    first = min(first, max(left, _SHORTEST_LABEL))
    lines = []
    for label, *values in rows:
        cells = [_shortened(label, first).ljust(first), *map(justify, values, others)]
        lines.append((" " * gap).join(cells).rstrip())
    return lines


def _short(correlation: float) -> str:
    """``+.77``, ``-1.0``."""
    text = f"{round(correlation, 2) + 0.0:+.2f}"  # no minus before a zero
    return text[:4] if text[1] == "1" else text.replace("0.", ".", 1)


def _shortened(label: str, width: int) -> str:
    """Without its middle if it is too long: beginning and end tell most."""
    if len(label) <= width:
        return label
    end = (width - 3) // 2
    return f"{label[: width - 3 - end]}...{label[len(label) - end :]}"


def duration(seconds: float) -> str:
    """``8 s``, ``3 min``, ``2.5 h``, ``4.2 days``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
