"""Live progress of a sweep: what is running, how far it is, how long it still takes."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import IO, Any

from rich import progress
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from raylot.analysis.output import plain_table
from raylot.foundation.text import one_line, safe
from raylot.terminal.preliminary import AnswerSoFar, SoFar
from raylot.terminal.stray_output import StrayOutput

#: Seconds between two lines of progress where there is no terminal.
PLAIN_INTERVAL = 15.0

#: Running trials that such a line lists.
_PLAIN_RUNNING = 4

#: Seconds between two answers so far where there is no terminal; each stage also ends with one.
PLAIN_ANSWER_INTERVAL = 3600.0

#: Seconds between two drawings of the live picture.
_REDRAW_INTERVAL = 0.5

#: Seconds for which the end waits for a drawing under way: whoever draws may be held up for ever.
_LONGEST_DRAWING = 1.0

#: Settings whose answer so far is shown.
_MOST_SETTINGS = 6

_ANSWER_TITLE = "(probe gap: at the last snapshot)"

#: Characters of a trial's label that are shown, however narrow the terminal.
_SHORTEST_LABEL = 16

#: Columns from which on a terminal has room for whole headings, and all columns of the answer.
_NARROW = 80

#: Lines from which on a terminal has room for the answer so far, and for lines between the parts.
_LOW, _ROOMY = 14, 20

_STARTING = "looking at what is there ..."

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
    """Tracks progress in training steps, and shows it.

    Args:
        total_steps: training steps that are still to be done, all stages together.
        clock: returns seconds; tests set it.
        console: where to write; standard error by default, as results go to standard output.
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
    _noted: str = ""
    _running: dict[str, _Running] = field(default_factory=dict)
    _steps_ended: int = 0
    _steps_here: int = 0
    _first_report: tuple[float, int] | None = None
    _said_at: float = float("-inf")
    _answered_at: float = float("-inf")
    _live: Live | None = None
    _drawing: threading.RLock = field(default_factory=threading.RLock)
    _strays: StrayOutput | None = None
    _terminal: IO[str] | None = None

    def __post_init__(self) -> None:
        self._bar = progress.Progress(
            progress.BarColumn(bar_width=None),
            progress.TextColumn("{task.description}"),
            console=self.console,
        )
        self._bar.add_task("")
        self._task = self._bar.tasks[0]

    def __enter__(self) -> Progress:
        self._answered_at = self.clock()
        in_notebook = self.console.is_jupyter and find_spec("ipywidgets") is not None
        if not (self.console.is_terminal or in_notebook) or self.console.is_dumb_terminal:
            self.note(_STARTING)
        else:
            if self.console.file.isatty():
                self._strays = StrayOutput(self.note)
                self.console.file = self._terminal = self._strays.catch(self.console.file)
            self._live = Live(
                get_renderable=self.render,
                console=self.console,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
            threading.Thread(target=self._redraw, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Leaves the terminal as it was; another thread may call it while this one is held up."""
        may_draw = False
        try:
            # rich erases the picture before the last one by its height. So the last one is drawn
            # before others may write.
            may_draw = self._drawing.acquire(timeout=_LONGEST_DRAWING)
            live, self._live = self._live, None
            if live and may_draw:
                live.stop()
        finally:
            if may_draw:
                self._drawing.release()
            if self._strays:
                self._strays.release()

    def _redraw(self) -> None:
        while self._live:
            with self._drawing:
                if live := self._live:
                    live.refresh()
            time.sleep(_REDRAW_INTERVAL)

    # -------------------------------------------------- what happens

    def count_stage(self, name: str, runs: int, done: int, failed: int) -> None:
        """Sets how far a stage is by the storage, while none of its runs is running.

        Args:
            name: of the stage.
            runs: all of them.
            done: those that ended well, or diverged.
            failed: those that ended with an error.
        """
        self._running.clear()
        self._is_continued |= name not in self._stages and done + failed > 0
        self._stages[name] = _Stage(runs, done, failed)

    def add_run(self, steps: int) -> None:
        """Counts one more run of the current stage, whose number is not known beforehand."""
        self._stages[self._stage].runs += 1
        self.total_steps += steps

    def begin_stage(self, name: str) -> None:
        """Makes a stage that has been counted the current one."""
        # This first: a thread may draw the picture between the two lines.
        self._waiting = STARTING_WORKERS
        self._stage = name
        self._say()

    def wait_for(self, what: str) -> None:
        """Says why no trial is running, until one is."""
        if what != self._noted and not self._live:
            self.note(what)
        self._waiting = self._noted = what

    def end_stage(self) -> None:
        """Says how far everything is, after the last run of the current stage."""
        self._waiting = ""
        self._say(now=True)
        self._say_answer()

    def run_started(self, trial: str, label: str) -> None:
        self._running.setdefault(trial, _Running(label))
        self._waiting = ""
        if self._noted != STARTING_WORKERS:
            self._noted = ""  # a second wait for the same reason is news
        self._say()

    def run_advanced(self, trial: str, result: dict[str, Any]) -> None:
        """Takes in what a trial reports after a step (see ``RunTrial._report``)."""
        running = self._running.setdefault(trial, _Running(result["label"]))
        self._waiting = ""
        running.label, running.doing = result["label"], one_line(result["doing"]) or "ending"
        running.steps, running.failed = result["training_steps"], result["failed"]
        self._steps_here += result["new_training_steps"]
        self._first_report = self._first_report or (self.clock(), self._steps_here)
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

    def run_interrupted(self, trial: str) -> None:
        """Forgets a run under way, of which another trial will report."""
        self._running.pop(trial, None)

    def steps_forgotten(self) -> None:
        """Forgets the remaining steps: the caller is about to count all of them again."""
        self.total_steps = self.steps_done

    def note(self, line: str) -> None:
        """Prints a line above the live picture."""
        # rich erases a picture by the height of the last one: no thread may draw a picture
        # of another height between a note's erasing and drawing, as rich's own thread does.
        with self._drawing:
            self.console.print(safe(line), highlight=False, soft_wrap=True, markup=False)

    # -------------------------------------------------- the picture

    @property
    def steps_done(self) -> int:
        """Training steps behind the runs that were seen here, those of earlier sweeps included."""
        return self._steps_ended + sum(running.steps for running in self._running.values())

    @property
    def fraction(self) -> float:
        """This command's share of its training steps that is done, in [0, 1]."""
        self._measure()
        return self._task.percentage / 100 if self._task.total else 1.0

    def seconds_left(self) -> float | None:
        """Estimates from the speed since the first report; None until steps have followed it."""
        begun_at, steps_then = self._first_report or (0.0, self._steps_here)
        steps, seconds = self._steps_here - steps_then, self.clock() - begun_at
        return max(0, self.total_steps - self.steps_done) * seconds / steps if steps else None

    def summary(self) -> str:
        """How far the stage is in runs, all of this command in steps, and how long it takes."""
        stage = self._stages[self._stage]
        text = f"{self._stage}: {stage.done} of {stage.runs} runs finished"
        if self._running:
            text += f", {len(self._running)} running"
        if stage.failed:
            text += f", {stage.failed} failed"
        return f"{text}; {self._how_far()}"

    def render(self) -> RenderableType:
        """The live picture: a bar, all stages, what running trials are doing, the answer so far."""
        if self._terminal:
            with suppress(OSError):  # rich asks the streams that are not the terminal's any more
                size = os.get_terminal_size(self._terminal.fileno())
                if size.columns and size.lines:  # some know neither
                    self.console.size = size
        if not self._stage:
            return Text(_STARTING)
        self._task.description = self._how_far(is_short=self.console.width < _NARROW)
        height = self.console.height - 1  # the cursor's own line below it
        stages = [self._bar.get_renderable(), self._stage_table()]
        answer = self._answer(height // 4) if height >= _LOW else []
        gap = [Text()] if height >= _ROOMY else []
        taken = self.console.render_lines(Group(*stages, *answer, *gap, *gap))
        running = self._running_trials(max(1, height - len(taken)))
        parts = [part for part in (stages, running, answer) if part]
        return Group(*stages, *(line for part in parts[1:] for line in [*gap, *part]))

    def _measure(self) -> None:
        """Tells rich's bar how far this command is."""
        to_do = max(0, self.total_steps - self.steps_done)
        self._bar.update(self._task.id, total=self._steps_here + to_do, completed=self._steps_here)

    def _how_far(self, *, is_short: bool = False) -> str:
        """``30% of the training done, about 35 s left``, both of this command alone."""
        of_what = " of the remaining training" if self._is_continued else " of the training"
        text = f"{self.fraction:.0%}{'' if is_short else of_what} done"
        left = self.seconds_left()
        return f"{text}, about {duration(left)} left" if left else text

    def _table(self, heads: Sequence[str]) -> Table:
        """A table of numbers; the first column, which names them, gives way where it is narrow."""
        table = plain_table(padding=1 if self.console.width < _NARROW else 2)
        table.add_column(heads[0])
        for head in heads[1:]:
            table.add_column(head, justify="right", no_wrap=True)
        return table

    def _stage_table(self) -> Table:
        is_narrow = self.console.width < _NARROW
        heads = "run wait fail" if is_narrow else "running waiting failed"
        table = self._table(["", "done", *heads.split(), "of"])
        for name, stage in self._stages.items():
            running = len(self._running) if name == self._stage else 0
            waiting = max(0, stage.runs - stage.done - stage.failed - running)
            numbers = (stage.done, running, waiting, stage.failed, stage.runs)
            table.add_row(self._one_line(name), *map(str, numbers))
        return table

    def _running_trials(self, most: int) -> list[RenderableType]:
        """Returns what each running trial does, in at most so many lines.

        The kind of run is left out, as the stage says it.
        """
        running = list(self._running.values())
        if not running:
            return [self._one_line(f"  {self._waiting}")] if self._waiting else []
        shown = running if len(running) <= most else running[: most - 1]
        room = self.console.width - max((len(run.doing) for run in shown), default=0) - 4
        table = Table.grid(padding=(0, 2, 0, 0))
        for run in shown:
            label = _shortened(run.label.split(" ", 1)[-1], max(room, _SHORTEST_LABEL))
            table.add_row(f"  {label}", self._one_line(run.doing))
        more = len(running) - len(shown)
        return [table, Text(f"  ... and {more} more")] if more else [table]

    def _answer(self, most: int) -> list[RenderableType]:
        """At most so many settings; nothing if no search has ended."""
        known = self.answer.known()
        if not known:
            return []
        shown = known[: max(1, min(most, _MOST_SETTINGS))]
        heads = ["probe gap", "tickets - random"]
        if not self.console.width < _NARROW:
            heads = ["tasks", *heads, "seeds"]
        table = self._table(["", *heads])
        for setting in shown:
            cells = self._answer_cells(self.answer.so_far(setting))
            table.add_row(setting, *(cells[head] for head in heads))
        when = "in all" if self.answer.is_complete else "so far"
        title = self._one_line(f"{when}, preliminary {_ANSWER_TITLE}")
        more = len(known) - len(shown)
        return [title, table, *([Text(f"... and {more} more")] if more else [])]

    def _answer_cells(self, known: SoFar) -> dict[str, str]:
        to = "->" if self.console.options.ascii_only else "→"
        tickets, gap = known.advantage, known.probe_gap
        return {
            "tasks": f"{tickets.first_task}{to}{tickets.last_task}" if tickets else "-",
            "probe gap": "-" if gap is None else f"{gap:z.3f}",
            "tickets - random": f"{tickets.first:+z.3f}{to}{tickets.last:+z.3f}"
            if tickets
            else "-",
            "seeds": str(tickets.seeds) if tickets else "-",
        }

    def _one_line(self, text: str) -> Text:
        """One line, cut at its end where the terminal has no room for all of it."""
        is_ascii = self.console.options.ascii_only
        return Text(text, no_wrap=True, overflow="crop" if is_ascii else "ellipsis")

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
        answer = [] if self._live else self._answer(_MOST_SETTINGS)
        if answer:
            self._answered_at = self.clock()
            self.console.print(*answer, sep="\n")


def _shortened(label: str, width: int) -> str:
    """Cuts out a label's middle if it is too long: its beginning and end tell most."""
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
