"""The answer says what the numbers say, and not more."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raylot.analysis import correlation
from raylot.analysis.prose import answer
from raylot.analysis.prose.findings import findings
from raylot.analysis.prose.headline import headline
from raylot.analysis.tables.measures import TICKET_MEASURES, measure
from raylot.analysis.tables.observations import observe, settings
from raylot.storage import Storage
from tests.unit.analysis.studies import falling, write_study

Values = Callable[[str, int, int, float], Mapping[str, float]]


@pytest.fixture
def answer_to(tmp_path: Path) -> Callable[..., str]:
    """Headline and paragraph on a study with these values."""

    def answer_to(values: Values, plasticity: str = "test_accuracy", **study: Any) -> str:
        write_study(tmp_path, values, **study)
        (setting,) = settings(observe(Storage(tmp_path)))
        correlations = correlation.correlate(
            setting.frame, [plasticity], tickets=["ticket_count"], resamples=200
        )
        rows = correlation.completed([correlations], "same")
        tickets = TICKET_MEASURES["ticket_count"]
        found = findings(setting.frame, rows, tickets, measure(plasticity))
        return f"{headline(found)} {answer.answer(found)}"

    return answer_to


def draw(seed: int, task: int, index: int) -> float:
    return float(np.random.default_rng([seed, task, index]).normal())


def values(accuracy_slope: float, count_slope: float, link: float = 0.0) -> Values:
    """Trends per task of the shifting stream, and noise that both share as far as linked."""

    def at(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
        moves = 0 if shift == "stationary" else task
        shared = draw(seed, task, 0)
        count = 3 + count_slope * moves + 0.2 * (shared if link else draw(seed, task, 1))
        return {
            "ticket_count": count,
            "test_accuracy": 0.9 + accuracy_slope * moves + 0.003 * shared * (link or 1),
            "trainability_gap": 0.1 - accuracy_slope * moves - 0.003 * shared * (link or 1),
        }

    return at


def test_positive(answer_to: Callable[..., str]) -> None:
    text = answer_to(values(-0.003, -0.05, 1), shifts=("permuted_pixels", "stationary"),
        sparsities=(0.8, 0.9),
    )  # fmt: skip
    assert "plasticity was lost along the stream, and the variety of tickets fell as well" in text
    assert "at sparsity 0.8 and sparsity 0.9" in text
    assert "Ticket count and test accuracy rise and fall together: Pearson +" in text
    assert "each interval excludes 0" in text
    assert "With the common trend taken out, the link survives at sparsity 0.8" in text
    assert (
        "In the stationary control, from task 0 to task 30, test accuracy did not clearly" in text
    )
    assert "Change of ticket count beyond that in the stationary control: -" in text
    assert "Going together is not causing" in text
    assert "too few" not in text
    assert text.startswith(
        "Under permuted_pixels the variety of tickets falls as plasticity is lost, clearly more "
        "than in the stationary control, and the two are linked beyond the mere fact that both "
        "change along the stream (5 seeds, 95% intervals over seeds). Not tested: whether the "
        "control can still learn data that it has not seen"
    )


def test_one_jump_is_no_link(answer_to: Callable[..., str]) -> None:
    """All changes between the first two snapshots: everything that changed correlates."""

    def jumping(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
        noise = np.random.default_rng([seed, task]).normal(size=2)
        jumped = shift != "stationary" and task > 0
        return {
            "test_accuracy": 0.9 - 0.6 * jumped + 0.002 * noise[0],
            "ticket_count": 3 - 1.5 * jumped + 0.02 * noise[1],
        }

    text = answer_to(jumping, shifts=("permuted_pixels", "stationary"), seeds=range(8))
    headline = text.split("(8 seeds")[0]
    assert "nearly all of both changes falls between the same two snapshots" in headline
    assert "are linked" not in headline


def test_numbers_in_the_answer(answer_to: Callable[..., str]) -> None:
    def exact(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
        accuracy = 0.9 - task / 1000 + seed / 100
        return {"ticket_count": 4 - task / 10, "test_accuracy": accuracy}

    text = answer_to(exact)
    assert "from 0.92 to 0.89 (-0.03 [-0.03, -0.03], 5 seeds)" in text
    assert "fell from 4 to 1 (-3 [-3, -3], 5 seeds)" in text


def test_a_trend_alone(answer_to: Callable[..., str]) -> None:
    text = answer_to(values(-0.003, -0.05), seeds=range(8), tasks=range(0, 31, 3))
    assert text.startswith(
        "Under permuted_pixels the variety of tickets falls as plasticity is lost, but no "
    )
    assert "not clearly linked beyond the mere fact that both change along the stream (8" in text
    assert "rise and fall together" in text
    assert "With the common trend taken out, which may be all there is, the link does not" in text
    assert "Without a stationary control" in text


def test_the_control_runs_out_of_tickets_as_well(answer_to: Callable[..., str]) -> None:
    def both(shift: str, seed: int, task: int, sparsity: float) -> Mapping[str, float]:
        noise = 0.2 * draw(seed, task, sum(map(ord, shift)))
        lost = 0 if shift == "stationary" else 0.003 * task + 0.003 * draw(seed, task, 5)
        return {"ticket_count": 3 - 0.05 * task + noise, "test_accuracy": 0.9 - lost}

    text = answer_to(both, shifts=("permuted_pixels", "stationary"))
    assert text.startswith(
        "Under permuted_pixels the variety of tickets falls as plasticity is lost, but just as far "
        "in the stationary control, and the two are not clearly linked"
    )


def test_the_control_loses_some_tickets(answer_to: Callable[..., str]) -> None:
    """Two thirds as many, and too much noise to tell: neither clearly fewer, nor as many."""

    def some(shift: str, seed: int, task: int, sparsity: float) -> Mapping[str, float]:
        control = shift == "stationary"
        off = (seed - 2) * task / 30 * (-1 if control else 1)
        return {
            "ticket_count": 9 - (0.1 if control else 0.15) * task + off,
            "test_accuracy": 0.9 if control else 0.9 - 0.003 * task,
        }

    text = answer_to(some, shifts=("permuted_pixels", "stationary"))
    assert text.startswith(
        "Under permuted_pixels the variety of tickets falls as plasticity is lost, but not clearly "
        "more than in the stationary control"
    )


@pytest.mark.parametrize("plasticity", ["test_accuracy", "trainability_gap"])
@pytest.mark.parametrize("falls", [0.0, -0.05])
def test_nothing_is_claimed_of_the_control_on_unseen_data(
    answer_to: Callable[..., str], plasticity: str, falls: float
) -> None:
    """Its accuracy is that on data that it trained on: no text may call it plastic, and none may
    conclude anything from tickets that run out there as well."""

    def at(shift: str, seed: int, task: int, sparsity: float) -> Mapping[str, float]:
        own = dict(values(-0.003, -0.05)(shift, seed, task, sparsity))
        if shift == "stationary":
            own["ticket_count"] += falls * task
        return own

    text = answer_to(at, plasticity=plasticity, shifts=("permuted_pixels", "stationary"))
    headline, full = text.split("\n")[0].split(" permuted_pixels: by ")[0], text
    for said in (headline, full):
        assert "Not tested: whether the control can still learn data that it has not seen" in said
        assert "measured on data that it had trained on" in said
    for claim in ("no evidence", "no loss of plasticity", "stays plastic", "stayed plastic"):
        assert claim not in text
    assert "say nothing for or against a link" in text


def test_without_a_control_nothing_is_said_of_it(answer_to: Callable[..., str]) -> None:
    assert "Not tested" not in answer_to(values(-0.003, -0.05))


def test_negative(answer_to: Callable[..., str]) -> None:
    text = answer_to(values(-0.003, 0.05, -1))
    assert text.startswith("Under permuted_pixels plasticity is lost, but ticket count does not")
    assert "plasticity was lost along the stream, and the variety of tickets grew" in text
    assert "Where ticket count is higher, test accuracy is lower: Pearson -" in text


def test_nothing_happens(answer_to: Callable[..., str]) -> None:
    text = answer_to(values(0, 0))
    assert text.startswith("Under permuted_pixels the question stays open")
    assert "plasticity did not clearly change along the stream" in text
    assert "is not put to the test" in text
    assert "Whether ticket count and test accuracy go together is open" in text
    assert "the interval includes 0" in text
    assert "survive" not in text


def test_high_gap_means_that_plasticity_is_lost(answer_to: Callable[..., str]) -> None:
    text = answer_to(values(-0.003, -0.05, 1), plasticity="trainability_gap")
    assert "by trainability gap, plasticity was lost along the stream" in text
    assert "Where ticket count is higher, trainability gap is lower" in text


def test_plasticity_grew(answer_to: Callable[..., str]) -> None:
    assert "plasticity grew along the stream" in answer_to(values(0.002, -0.05))


@pytest.mark.parametrize(("seeds", "words"), [((0,), "1 seed"), ((0, 1), "2 seeds")])
def test_too_few_seeds(answer_to: Callable[..., str], seeds: tuple[int, ...], words: str) -> None:
    text = answer_to(falling, seeds=seeds)
    assert text.startswith("Open: ")
    assert f"{words} cannot settle the question" in text
    assert "nothing can be concluded from fewer than 3 seeds" in text
    assert f"All of this rests on {words}" in text
    for claim in ("excludes 0", "survives", "was lost", "rise and fall together"):
        assert claim not in text


def test_not_computable(answer_to: Callable[..., str]) -> None:
    def flat(*snapshot: Any) -> dict[str, float]:
        return {**falling(*snapshot), "ticket_count": 1.0}

    text = answer_to(flat)
    assert "the variety of tickets did not clearly change" in text
    assert "ticket count at sparsity 0.8 stayed at 1 " in text
    assert "not computable (the ticket measure is the same everywhere)" in text
    assert "nan" not in text


def test_only_the_control(answer_to: Callable[..., str]) -> None:
    text = answer_to(falling, shifts=("stationary",))
    assert text.startswith("Open: there is no shifting stream")
    assert "Without a shifting stream, the question itself stays open" in text


def test_diverged_at_the_end(answer_to: Callable[..., str]) -> None:
    def lost(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
        at_the_end = {"test_accuracy": np.nan} if task == 30 else {}
        return {**falling(shift, seed, task, sparsity), **at_the_end}

    text = answer_to(lost)
    assert "no seed has figures for both the first and the last snapshot" in text
    assert "nan" not in text


_TEXTS = [
    path
    for pattern in ("README.md", "docs/*.md", "sweeps/**/*.py", "sweeps/**/*.md", "raylot/**/*.py",
                    "analysis/*.py", "raylot/analysis/report/page/*")
    for path in sorted(Path(__file__).parents[4].glob(pattern))
]  # fmt: skip


@pytest.mark.parametrize("path", _TEXTS, ids=lambda path: path.name)
def test_no_text_calls_the_control_plastic(path: Path) -> None:
    text = " ".join(path.read_text(encoding="utf-8").replace("#", " ").split()).lower()
    claim = "(control|stationary)[^.]{0,80} (stays|stayed|remains|kept|keeps) (plastic|its plastic)"
    assert not re.search(claim, text)
    assert not re.search('no evidence|shows no loss of plasticity|"no loss of plasticity"', text)


def test_readme_says_what_the_control_does_not_test() -> None:
    (readme,) = (
        path for path in _TEXTS if path.name == "README.md" and path.parent.name != "cluster"
    )
    text = " ".join(readme.read_text(encoding="utf-8").split())
    assert "Whether the control can still learn is not tested" in text
    assert "its accuracy is measured on data that it has trained on" in text
    assert "On unseen tasks it falls as far as on the shifted stream" in text
