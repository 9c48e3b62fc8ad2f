"""raylot.progress: steps, time left and the lines that are shown, by a clock that the tests set."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import pytest
from rich.cells import cell_len
from rich.console import Console

from raylot.progress import PLAIN_INTERVAL, Progress, duration

LONG = "tickets seed=9223372036854775807 permuted_pixels task=500 sparsity=0.95 and much more"


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Watched:
    """A progress that writes to a text instead of a terminal."""

    total_steps: int = 1000
    width: int = 80
    terminal: bool = False
    clock: Clock = field(default_factory=Clock)
    file: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        console = Console(file=self.file, width=self.width, height=25, force_terminal=self.terminal)
        self.progress = Progress(self.total_steps, self.clock, console)

    def advance(
        self, trial: str, new: int, total: int, label: str = "run", doing: str = ""
    ) -> None:
        self.progress.run_advanced(
            trial,
            {"label": label, "doing": doing, "new_training_steps": new, "training_steps": total},
        )

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()

    def rendered(self) -> list[str]:
        """The live picture, line by line, as a terminal of this width shows it."""
        console = Console(
            width=self.width, height=25, force_terminal=True, record=True, file=io.StringIO()
        )
        console.print(self.progress.render())
        return console.export_text().splitlines()


@pytest.fixture
def watched() -> Watched:
    found = Watched()
    found.progress.begin_stage("streams", runs=4, finished_before=1)
    return found


# ------------------------------------------------------------------ counting


def test_steps_of_running_and_ended_runs_count(watched: Watched) -> None:
    progress = watched.progress
    assert (progress.steps_done, progress.fraction) == (0, 0.0)
    progress.run_started("a", "run a")
    watched.advance("a", 100, 100)
    watched.advance("b", 50, 50)  # reported before it was said to have started
    assert (progress.steps_done, progress.fraction) == (150, 0.15)
    watched.advance("a", 100, 200)
    assert progress.steps_done == 250
    progress.run_ended("a")
    assert progress.steps_done == 250
    watched.advance("b", 50, 100)
    assert (progress.steps_done, progress.fraction) == (300, 0.3)


def test_a_continued_run_brings_its_earlier_steps(watched: Watched) -> None:
    watched.advance("a", 10, 410)
    assert watched.progress.steps_done == 410


def test_a_run_that_falls_back_to_its_saved_state_is_not_counted_twice(watched: Watched) -> None:
    watched.advance("a", 100, 100)
    watched.advance("a", 100, 200)
    watched.advance("a", 50, 150)  # its worker was lost; the saved state had 100 steps
    assert watched.progress.steps_done == 150


@pytest.mark.parametrize(
    ("total", "done", "fraction"), [(1000, 250, 0.25), (1000, 1500, 1.0), (0, 0, 1.0)]
)
def test_fraction_lies_between_0_and_1(total: int, done: int, fraction: float) -> None:
    watched = Watched(total_steps=total)
    watched.progress.begin_stage("streams", 1, 0)
    watched.advance("a", done, done)
    assert watched.progress.fraction == fraction


def test_seconds_left_by_hand(watched: Watched) -> None:
    progress, clock = watched.progress, watched.clock
    clock.now = 7.0
    assert progress.seconds_left() is None  # nothing was reported yet
    clock.now = 10.0
    watched.advance("a", 100, 100)  # done before anything was measured
    clock.now = 12.0
    watched.advance("a", 20, 120)
    assert progress.seconds_left() is None  # too early to tell
    clock.now = 20.0
    watched.advance("a", 80, 200)
    # 100 steps in the 10 seconds since the first report; 800 are left
    assert progress.seconds_left() == pytest.approx(80.0)
    clock.now = 30.0  # no news: 100 steps in 20 seconds
    assert progress.seconds_left() == pytest.approx(160.0)
    watched.advance("b", 300, 300)
    # 400 steps in 20 seconds; 500 are left
    assert progress.seconds_left() == pytest.approx(25.0)
    watched.advance("a", 900, 1100)
    assert progress.seconds_left() == 0.0


def test_steps_of_an_earlier_sweep_do_not_make_this_one_fast(watched: Watched) -> None:
    watched.advance("a", 10, 10)
    watched.clock.now = 10.0
    watched.advance("b", 10, 510)  # 500 of these were saved by an earlier sweep
    # 10 steps in 10 seconds; 480 are left
    assert watched.progress.seconds_left() == pytest.approx(480.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (8.4, "8 s"),
        (99.4, "99 s"),
        (100, "2 min"),  # 1.67
        (180, "3 min"),
        (99 * 60, "99 min"),
        (6000, "1.7 h"),  # 1.667
        (9000, "2.5 h"),
        (71.9 * 3600, "71.9 h"),
        (72 * 3600, "3.0 days"),
        (4.2 * 86400, "4.2 days"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# ------------------------------------------------------------------ the summary


def test_summary_by_hand(watched: Watched) -> None:
    progress = watched.progress
    assert progress.summary() == "streams: 1 of 4 runs finished; 0% of the training steps to do"
    for trial in "abc":
        progress.run_started(trial, f"run {trial}")
    watched.advance("a", 100, 100)
    watched.clock.now = 10.0
    watched.advance("a", 200, 300)
    # 200 steps in 10 seconds; 700 are left
    assert progress.summary() == (
        "streams: 1 of 4 runs finished, 3 running; 30% of the training steps to do, about 35 s left"
    )
    progress.run_ended("a")
    progress.run_ended("b", failed=True)
    assert progress.summary() == (
        "streams: 3 of 4 runs finished, 1 running, 1 failed; "
        "30% of the training steps to do, about 35 s left"
    )


def test_a_new_stage_counts_its_own_runs_and_keeps_failures_and_steps(watched: Watched) -> None:
    watched.advance("a", 500, 500)
    watched.progress.run_ended("a", failed=True)
    watched.progress.begin_stage("tickets", runs=40, finished_before=12)
    assert watched.progress.summary() == (
        "tickets: 12 of 40 runs finished, 1 failed; 50% of the training steps to do"
    )


# ------------------------------------------------------------------ plain lines


def _summaries(watched: Watched) -> list[str]:
    return [line for line in watched.lines if "runs finished" in line]


def test_plain_lines_come_at_most_every_interval(watched: Watched) -> None:
    with watched.progress as progress:
        assert watched.lines == [
            "streams: 1 of 4 runs finished; 0% of the training steps to do",
            "starting Ray, or joining it ...",
        ]
        for tick in range(1, 61):  # once a second for a minute
            watched.clock.now = float(tick)
            watched.advance("a", 10, 10 * tick)
        assert len(_summaries(watched)) == 1 + int(60 // PLAIN_INTERVAL)
        progress.run_ended("a")
        assert len(_summaries(watched)) == 1 + int(60 // PLAIN_INTERVAL)
        watched.clock.now = 60 + PLAIN_INTERVAL
        progress.run_started("b", "run b")
    assert watched.lines[-2].startswith("streams: 2 of 4 runs finished, 1 running; 60% of the")
    assert watched.lines[-1] == "  run b: starting"


def test_plain_lines_are_plain_and_one_line_each() -> None:
    watched = Watched(width=20)
    with watched.progress as progress:
        progress.begin_stage("tickets", 1000, 999)
        watched.clock.now = PLAIN_INTERVAL
        watched.advance("a", 1, 500, label=LONG, doing="round 1 of 3")
    assert watched.lines == [
        "starting Ray, or joining it ...",
        "tickets: 999 of 1000 runs finished; 0% of the training steps to do",
        "tickets: 999 of 1000 runs finished, 1 running; 50% of the training steps to do",
        f"  {LONG}: round 1 of 3",
    ]


def test_notes_are_said_at_once(watched: Watched) -> None:
    watched.progress.note("damaged: tables/[red]a.parquet")
    assert watched.lines[-1] == "damaged: tables/[red]a.parquet"


# ------------------------------------------------------------------ the live picture


def test_before_the_first_stage_it_says_so() -> None:
    assert Watched().rendered() == ["starting Ray, or joining it ..."]


def test_the_picture_by_hand(watched: Watched) -> None:
    watched.advance("a", 500, 500, label="stream seed=0", doing="task 3 of 31")
    watched.progress.run_started("b", "stream seed=1")
    bar, summary, first, second = watched.rendered()
    assert len(bar.strip()) == 60
    assert set(bar.strip()) <= set("━╸╺")
    assert summary.rstrip() == (
        "streams: 1 of 4 runs finished, 2 running; 50% of the training steps to do"
    )
    assert first.split() == ["stream", "seed=0", "task", "3", "of", "31"]
    assert second.split() == ["stream", "seed=1", "starting"]


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("runs", [1, 5, 100])
def test_the_picture_fits_and_leaves_nothing_out(width: int, runs: int) -> None:
    watched = Watched(width=width)
    watched.progress.begin_stage("tickets", runs=40_000, finished_before=39_000)
    for trial in range(runs):
        watched.advance(str(trial), 1, 1, label=LONG, doing="round 10 of 10")
    watched.clock.now = 3600.0
    watched.advance("0", 10, 10, label=LONG, doing="round 10 of 10")
    lines = watched.rendered()
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= 25
    whole = "".join("".join(lines).split())
    assert "".join(watched.progress.summary().split()) in whole
    shown = sum("tickets seed" in line for line in lines)
    hidden = [line.split() for line in lines if "more" in line and "..." in line]
    assert shown + sum(int(words[2]) for words in hidden) == runs


def test_what_a_run_is_doing_is_shown_beside_its_label(watched: Watched) -> None:
    label = "tickets seed=19 permuted_pixels task=500 sparsity=0.95"
    watched.advance("a", 1, 1, label=label, doing="round 10 of 10")
    assert watched.rendered()[-1].strip() == f"{label}  round 10 of 10"


def test_on_a_terminal_the_picture_is_live() -> None:
    watched = Watched(terminal=True)
    with watched.progress as progress:
        progress.begin_stage("streams", 4, 0)
        progress.run_started("a", "stream seed=0")
        watched.advance("a", 10, 10, label="stream seed=0", doing="task 2 of 31")
    last = watched.file.getvalue().rpartition("streams: 0 of 4 runs finished, 1 running")[2]
    assert "stream seed=0" in last
    assert "task 2 of 31" in last
