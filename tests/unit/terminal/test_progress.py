"""Steps, time left and the lines that are shown, by a clock that the tests set."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.live import Live

from raylot.terminal.preliminary import AnswerSoFar
from raylot.terminal.progress import PLAIN_ANSWER_INTERVAL, PLAIN_INTERVAL, Progress, duration

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
    height: int = 24
    terminal: bool = False
    clock: Clock = field(default_factory=Clock)
    file: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        console = Console(
            file=self.file, width=self.width, height=self.height, force_terminal=self.terminal
        )
        self.progress = Progress(self.total_steps, self.clock, console)

    def begin(self, name: str, runs: int, done: int, failed: int = 0) -> None:
        self.progress.count_stage(name, runs, done, failed)
        self.progress.begin_stage(name)

    def advance(
        self,
        trial: str,
        new: int,
        total: int,
        label: str = "run",
        doing: str = "",
        **told: Any,
    ) -> None:
        result = {
            "label": label, "doing": doing, "new_training_steps": new, "training_steps": total,
            "failed": False, "done": False,
        }  # fmt: skip
        self.progress.run_advanced(trial, result | told)

    def found(self, run_id: str, tickets: float, random: float) -> None:
        """A search ends."""
        measures = {"ticket_accuracy": tickets, "random_accuracy": random}
        self.advance(run_id, 1, 1, done=True, run_id=run_id, measures=measures)
        self.progress.run_ended(run_id)

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()

    def rendered(self) -> list[str]:
        """The live picture, line by line, as a terminal of this width shows it."""
        console = Console(
            width=self.width, height=self.height, force_terminal=True, record=True,
            file=io.StringIO(),
        )  # fmt: skip
        console.print(self.progress.render())
        return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.fixture
def watched() -> Watched:
    found = Watched()
    found.begin("streams", runs=4, done=1)
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


def test_a_continued_run_has_less_to_do(watched: Watched) -> None:
    watched.advance("a", 60, 460)
    assert watched.progress.steps_done == 460
    assert watched.progress.fraction == pytest.approx(60 / 600)


def test_a_run_that_falls_back_to_its_saved_state_has_more_to_do(watched: Watched) -> None:
    watched.advance("a", 100, 100)
    watched.advance("a", 100, 200)
    watched.advance("a", 50, 150)  # its worker was lost; the saved state had 100 steps
    assert watched.progress.steps_done == 150
    assert watched.progress.fraction == pytest.approx(250 / 1100)


@pytest.mark.parametrize(
    ("total", "done", "fraction"), [(1000, 250, 0.25), (1000, 1500, 1.0), (0, 0, 1.0)]
)
def test_fraction_lies_between_0_and_1(total: int, done: int, fraction: float) -> None:
    watched = Watched(total_steps=total)
    watched.begin("streams", 1, 0)
    watched.advance("a", done, done)
    assert watched.progress.fraction == fraction


def test_seconds_left_by_hand(watched: Watched) -> None:
    progress, clock = watched.progress, watched.clock
    clock.now = 10.0
    assert progress.seconds_left() is None  # nothing was reported yet
    watched.advance("a", 100, 100)  # done before anything was measured
    assert progress.seconds_left() is None
    clock.now = 20.0
    watched.advance("a", 100, 200)
    # 100 steps in the 10 seconds since the first report; 800 are left
    assert progress.seconds_left() == pytest.approx(80.0)
    clock.now = 30.0
    watched.advance("b", 300, 300)
    # 400 steps in 20 seconds; 500 are left
    assert progress.seconds_left() == pytest.approx(25.0)
    watched.advance("a", 900, 1100)
    assert progress.seconds_left() == 0.0


def test_steps_of_an_earlier_sweep_do_not_make_this_one_fast(watched: Watched) -> None:
    for now, new, total in ((0.0, 10, 510), (10.0, 10, 520)):  # 500 are of the earlier sweep
        watched.clock.now = now
        watched.advance("a", new, total)
    # 10 steps in 10 seconds; 480 are left
    assert watched.progress.seconds_left() == pytest.approx(480.0)
    watched.clock.now = 20.0
    watched.advance("b", 10, 110)  # another run goes on: 100 steps less to do
    # 20 steps in 20 seconds; 370 are left
    assert watched.progress.seconds_left() == pytest.approx(370.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (8.4, "8 s"),
        (99.4, "99 s"),
        (100, "2 min"),  # 1.67
        (99 * 60, "99 min"),
        (6000, "1.7 h"),  # 1.667
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
    assert progress.summary() == "streams: 1 of 4 runs finished; 0% of the remaining training done"
    for trial in "abc":
        progress.run_started(trial, f"run {trial}")
    watched.advance("a", 100, 100)
    watched.clock.now = 10.0
    watched.advance("a", 200, 300)
    # 200 steps in 10 seconds; 700 are left
    assert progress.summary() == (
        "streams: 1 of 4 runs finished, 3 running; "
        "30% of the remaining training done, about 35 s left"
    )
    progress.run_ended("a")
    progress.run_ended("b", failed=True)
    assert progress.summary() == (
        "streams: 2 of 4 runs finished, 1 running, 1 failed; "
        "30% of the remaining training done, about 35 s left"
    )


def test_a_new_stage_counts_its_own_runs_and_keeps_steps(watched: Watched) -> None:
    watched.advance("a", 500, 500)
    watched.progress.run_ended("a", failed=True)
    watched.begin("tickets", runs=40, done=12, failed=1)
    assert watched.progress.summary() == (
        "tickets: 12 of 40 runs finished, 1 failed; 50% of the remaining training done"
    )


def test_a_run_that_says_itself_that_it_failed_is_no_finished_one(watched: Watched) -> None:
    watched.advance("a", 0, 100, failed=True, done=True, run_id="a", measures={})
    watched.progress.run_ended("a")
    assert watched.progress.summary().startswith("streams: 1 of 4 runs finished, 1 failed; ")


# ------------------------------------------------------------------ plain lines


def _summaries(watched: Watched) -> list[str]:
    return [line for line in watched.lines if "runs finished" in line]


def test_plain_lines_come_at_most_every_interval(watched: Watched) -> None:
    with watched.progress as progress:
        assert watched.lines == [
            "streams: 1 of 4 runs finished; 0% of the remaining training done",
            "looking at what is there ...",
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
    with watched.progress:
        watched.begin("tickets", 1000, 999)
        watched.clock.now = PLAIN_INTERVAL
        watched.advance("a", 500, 500, label=LONG, doing="round 1 of 3")
    assert watched.lines == [
        "looking at what is there ...",
        "tickets: 999 of 1000 runs finished; 0% of the remaining training done",
        "tickets: 999 of 1000 runs finished, 1 running; 50% of the remaining training done",
        f"  {LONG}: round 1 of 3",
    ]


def test_a_stage_s_end_is_said_with_the_answer_so_far() -> None:
    watched = _with_answers(1)
    with watched.progress as progress:
        _find_all(watched)
        assert not [line for line in watched.lines if "so far" in line]
        progress.end_stage()
    assert [line.rstrip() for line in watched.lines[-4:]] == [
        "tickets: 9 of 9 runs finished; 1% of the training done",
        "in all, preliminary (probe gap: at the last snapshot)",
        "                      tasks  probe gap  tickets - random  seeds",
        "permuted_pixels 0.00   0→10          -     +0.100→+0.020      3",
    ]


def test_in_a_long_stage_the_answer_so_far_is_said_now_and_then() -> None:
    watched = _with_answers(1)
    with watched.progress:
        for minute in range(181):
            watched.clock.now = 60.0 * minute
            watched.found("permuted_pixels.0.0.0", 0.9, 0.8)
    said = sum("so far" in line for line in watched.lines)
    assert said == int(180 * 60 // PLAIN_ANSWER_INTERVAL)


# ------------------------------------------------------------------ the live picture


def test_why_nothing_runs_is_shown_until_something_does(watched: Watched) -> None:
    assert "  starting workers ..." in watched.rendered()
    watched.progress.wait_for("waiting for a node")
    watched.progress.wait_for("waiting for a node")
    assert "  waiting for a node" in watched.rendered()
    assert watched.lines.count("waiting for a node") == 1
    watched.progress.wait_for("starting workers ...")
    assert watched.lines[-1] == "starting workers ..."
    watched.progress.run_started("a", "tickets seed=3")
    assert not [
        line for line in watched.rendered() if "waiting for" in line or "starting w" in line
    ]
    watched.progress.wait_for("waiting for a node")
    watched.progress.run_started("b", "tickets seed=4")
    watched.progress.wait_for("waiting for a node")
    assert watched.lines.count("waiting for a node") == 3


def test_a_note_is_said_at_once_and_cannot_steer_a_terminal(watched: Watched) -> None:
    watched.progress.note("from\na [red]plugin: \x1b]0;owned\x07")
    assert watched.lines[-2:] == ["from", r"a [red]plugin: \x1b]0;owned\x07"]


def test_before_the_first_stage_it_says_so() -> None:
    assert Watched().rendered() == ["looking at what is there ..."]


def test_the_picture_by_hand(watched: Watched) -> None:
    watched.progress.count_stage("tickets", 40, 12, 2)
    watched.advance("a", 500, 500, label="stream seed=0 stationary", doing="task 3 of 31")
    watched.progress.run_started("b", "stream seed=11 stationary")
    bar, *lines = watched.rendered()
    assert bar == "━" * 22 + "╸" + "━" * 22 + " 50% of the remaining training done"
    assert lines == [
        "         done  running  waiting  failed  of",
        "streams     1        2        1       0   4",
        "tickets    12        0       26       2  40",
        "",
        "  seed=0 stationary   task 3 of 31",
        "  seed=11 stationary  starting",
    ]


def test_without_unicode_the_picture_is_plain() -> None:
    written = io.BytesIO()
    ascii_only = io.TextIOWrapper(written, encoding="ascii", write_through=True)
    progress = Progress(1000, Clock(), Console(file=ascii_only, width=40, force_terminal=True))
    with progress:
        progress.count_stage("streams", 4, 1, 0)
        progress.begin_stage("streams")
        progress.run_started("a", LONG)
    assert b"0% done" in written.getvalue()
    assert b"seed=92" in written.getvalue()


#: Of three seeds, at tasks 0, 5 and 10: the accuracies of tickets and of random masks.
_FALLING = {
    (seed, task): (0.9 - task / 100 + seed / 1000, 0.8 - task / 500 + seed / 1000)
    for seed in range(3)
    for task in (0, 5, 10)
}


def _with_answers(settings: int, **options: Any) -> Watched:
    """A stage of searches in so many settings, one after the other."""
    watched = Watched(**options)
    places = {
        f"permuted_pixels.{number}.{seed}.{task}": (f"permuted_pixels 0.{number:02}", seed, task)
        for number in range(settings)
        for seed, task in _FALLING
    }
    names = frozenset(setting for setting, _, _ in places.values())
    watched.progress.answer = AnswerSoFar(places, {"p0": names})
    watched.begin("tickets", len(places), 0)
    return watched


def _find_all(watched: Watched) -> None:
    for run_id, (_, seed, task) in watched.progress.answer.places.items():
        watched.found(run_id, *_FALLING[seed, task])


def test_the_answer_so_far_by_hand() -> None:
    watched = _with_answers(2)
    assert not [line for line in watched.rendered() if "so far" in line], "nothing has ended"
    watched.found("permuted_pixels.0.0.0", 0.9, 0.8)
    title = "so far, preliminary (probe gap: at the last snapshot)"
    assert watched.rendered()[-3] == title
    assert watched.rendered()[-1].split() == ["permuted_pixels", "0.00", *"----"]
    watched.progress.answer.add("p0", {"probe_online_gap": 0.125})
    watched.found("permuted_pixels.0.0.5", 0.8, 0.9)
    assert watched.rendered()[-3:] == [
        title,
        "                      tasks  probe gap  tickets - random  seeds",
        "permuted_pixels 0.00    0→5      0.125     +0.100→-0.100      1",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("height", [10, 24, 50])
@pytest.mark.parametrize(("runs", "settings"), [(1, 0), (1, 9), (5, 1), (100, 9)])
def test_the_picture_fits_and_says_what_it_leaves_out(
    width: int, height: int, runs: int, settings: int
) -> None:
    watched = _with_answers(settings, width=width, height=height)
    _find_all(watched)
    for stage in ("streams", "tickets", "ticket streams"):
        watched.begin(stage, runs=40_000, done=39_000)
    for trial in range(runs):
        watched.advance(str(trial), 1, 1, label=LONG, doing="round 10 of 10")
    watched.clock.now = 3600.0
    watched.advance("0", 1, 2, label=LONG, doing="round 10 of 10")
    lines = watched.rendered()
    assert max(map(cell_len, lines)) <= width
    assert len(lines) < height
    assert lines[0].rstrip().endswith(" left"), "of the time"
    stages = [line.split()[-5:] for line in lines if line.endswith("40000")]
    waiting = str(1000 - runs)
    assert stages == [
        ["39000", "0", "1000", "0", "40000"],
        ["39000", "0", "1000", "0", "40000"],
        ["39000", str(runs), waiting, "0", "40000"],
    ]
    assert _told(lines, "  seed=92") == runs
    assert _told(lines, "permute") == (settings if height > 10 else 0)


def _told(lines: list[str], beginning: str) -> int:
    """How many lines begin so, and how many more are said to have been left out."""
    indent = beginning[: -len(beginning.lstrip())] if beginning.startswith(" ") else ""
    hidden = [line.split()[2] for line in lines if line.startswith(f"{indent}... and")]
    return sum(line.startswith(beginning) for line in lines) + sum(map(int, hidden))


def test_where_it_is_narrow_labels_keep_both_ends() -> None:
    watched = Watched(width=60)
    watched.begin("tickets", 10, 0)
    label = "tickets seed=19 permuted_pixels task=500 sparsity=0.95"
    watched.advance("a", 1, 1, label=label, doing="re-initialised tickets")
    assert watched.rendered()[-1] == "  seed=19 permuted...0 sparsity=0.95  re-initialised tickets"


def test_on_a_terminal_the_picture_is_live() -> None:
    watched = Watched(terminal=True)
    with watched.progress as progress:
        watched.begin("streams", 4, 0)
        progress.run_started("a", "stream seed=0")
        watched.advance("a", 10, 10, label="stream seed=0", doing="task 2 of 31")
    last = watched.file.getvalue().rpartition("streams     0        1        3       0   4")[2]
    assert "seed=0" in last
    assert "task 2 of 31" in last


@pytest.mark.parametrize("has_widgets", [True, False])
def test_in_a_notebook_rich_shows_the_picture_if_it_can(
    monkeypatch: pytest.MonkeyPatch, has_widgets: bool
) -> None:
    monkeypatch.setattr("raylot.terminal.progress.find_spec", lambda _: has_widgets or None)
    shown: list[object] = []
    monkeypatch.setattr("raylot.terminal.progress.Live.start", lambda live: shown.append(live))
    monkeypatch.setattr("raylot.terminal.progress.Live.stop", lambda live: None)
    console = Console(file=io.StringIO(), force_jupyter=True)
    monkeypatch.setattr(Console, "print", lambda console, line, **_: shown.append(line))
    with Progress(console=console) as progress:
        progress.count_stage("streams", 4, 0, 0)
        progress.begin_stage("streams")
    assert isinstance(shown[0], Live if has_widgets else str)
