"""Puts the findings in words, a paragraph per shift, no more certain than the numbers are."""

from __future__ import annotations

from collections.abc import Sequence

from raylot.analysis.prose.findings import Findings, Search, ShiftFindings, direction
from raylot.analysis.prose.headline import NOT_TESTED
from raylot.analysis.statistics.intervals import ENOUGH_SEEDS, Mean
from raylot.analysis.statistics.trends import Change
from raylot.analysis.tables.measures import Measure
from raylot.analysis.words import capitalised, counted, listed


def answer(findings: Findings) -> str:
    """Says in a paragraph per shift whether tickets and plasticity were lost, and whether both
    together."""
    shifts, control = findings.shifts, findings.control
    paragraphs = []
    for found in shifts:
        own = [f"{found.shift}: {_verdict(found, findings)}"]
        if found.plasticity is not None:
            own.append(capitalised(_trends(found, findings)))
        own += _together(found.searches, findings)
        own += _without_trend(found.searches)
        if control:
            own += _against_control(found.searches, findings.tickets)
        paragraphs.append(" ".join(own))
    if control:
        own = [f"In the stationary control, {_trends(control, findings)}"]
        if not shifts:
            own += _together(control.searches, findings)
            own.append("Without a shifting stream, the question itself stays open.")
        paragraphs.append(" ".join(own))
    return "\n\n".join([*paragraphs, " ".join(_cautions(shifts, control, findings.seeds))])


def _cautions(
    shifts: Sequence[ShiftFindings], control: ShiftFindings | None, seeds: int
) -> list[str]:
    """Says how far the answer can be trusted."""
    sentences = []
    if any(search.exists("pearson") for found in shifts for search in found.searches):
        sentences.append(
            "A trend along the stream that both measures share makes them correlate without any "
            "other link."
        )
    if shifts and control is None:
        sentences.append(
            "Without a stationary control, what the shift does cannot be told from what longer "
            "training does."
        )
    if shifts and control is not None:
        sentences.append(
            f"{NOT_TESTED} It may have lost as much plasticity as a shifting stream: tickets that "
            "run out in both then say nothing for or against a link."
        )
    if seeds < ENOUGH_SEEDS:
        sentences.append(
            f"All of this rests on {counted(seeds, 'seed')}, too few to tell a finding from "
            f"chance: at least {ENOUGH_SEEDS} are needed, 5 or more are better."
        )
    sentences.append("Going together is not causing: a correlation cannot tell why.")
    return sentences


# ------------------------------------------------------------------ the sentences


def _verdict(found: ShiftFindings, findings: Findings) -> str:
    """The answer to the question, in one sentence."""
    lost, searches = found.plasticity, found.searches
    tickets, plasticity = findings.tickets, findings.plasticity
    if lost is None or all(search.tickets is None for search in searches):
        return (
            "no seed has figures for both the first and the last snapshot, so no trend can be told."
        )
    if lost.change.seeds < ENOUGH_SEEDS:
        return f"{counted(lost.change.seeds, 'seed')} cannot settle the question; what there is:"
    if plasticity.orientation == 0:
        return f"what {plasticity.label} says about plasticity is not settled; its figures:"
    plastic = lost.change.direction * plasticity.orientation
    if plastic >= 0:
        outcome = "grew" if plastic else "did not clearly change"
        return (
            f"by {plasticity.label}, plasticity {outcome} along the stream, so whether losing it "
            "means running out of tickets is not put to the test."
        )
    what = f"the {tickets.stands_for}"
    outcomes: dict[int | None, str] = {
        -1: f"{what} fell as well",
        0: f"{what} did not clearly change",
        1: f"{what} grew",
        None: f"too few seeds tell how {what} changed (fewer than {ENOUGH_SEEDS})",
    }
    directions = {search.place: direction(search.tickets, tickets) for search in searches}
    parts = [
        f"{words} at {listed(places)}"
        for direction, words in outcomes.items()
        if (places := [place for place, found in directions.items() if found == direction])
    ]
    return f"by {plasticity.label}, plasticity was lost along the stream, and {listed(parts)}."


def _trends(found: ShiftFindings, findings: Findings) -> str:
    """How both measures changed along the stream, as one sentence that starts in lower case."""
    parts = []
    if lost := found.plasticity:
        span = f"from task {lost.first_task} to task {lost.last_task}"
        parts.append(f"{span}, {findings.plasticity.label} {_moved(lost)}")
    if moved := [f"at {s.place} {_moved(s.tickets)}" for s in found.searches if s.tickets]:
        parts.append(f"{findings.tickets.label} {listed(moved)}")
    return "; ".join(parts) + "." if parts else "no trend can be told."


def _together(searches: Sequence[Search], findings: Findings) -> list[str]:
    """Whether the two measures go together."""
    tickets, plasticity = findings.tickets.label, findings.plasticity.label
    pair = f"{tickets} and {plasticity}"
    openings = {
        1: f"{capitalised(pair)} rise and fall together: Pearson {{}}; {{}}.",
        -1: f"Where {tickets} is higher, {plasticity} is lower: Pearson {{}}; {{}}.",
        0: f"Whether {pair} go together is open: Pearson {{}}; {{}}.",
    }
    sentences = []
    for sign, opening in openings.items():
        found = [s for s in searches if s.sure("pearson") and s.sign("pearson") == sign]
        if found:
            each = "the" if len(found) == 1 else "each"
            certainty = f"{each} interval excludes 0" if sign else _why_open(found)
            figures = [f"{s.figure('pearson')} at {s.place}{_size(s)}" for s in found]
            sentences.append(opening.format(listed(figures), certainty))
    bare = [s for s in searches if s.exists("pearson") and not s.sure("pearson")]
    if bare:
        figures = [f"{s.figure('pearson')} at {s.place}{_size(s)}" for s in bare]
        sentences.append(
            f"The Pearson correlation of {pair} is {listed(figures)}: nothing can be concluded "
            f"from fewer than {ENOUGH_SEEDS} seeds."
        )
    missing = [s for s in searches if not s.exists("pearson")]
    if missing:
        places = [f"{s.place}: {s.figure('pearson')}" for s in missing]
        sentences.append(f"Pearson's correlation of {pair} at {listed(places)}.")
    return sentences


def _why_open(searches: Sequence[Search]) -> str:
    each = "the" if len(searches) == 1 else "each"
    if all(s.rows["pearson"]["low"] <= 0 <= s.rows["pearson"]["high"] for s in searches):
        return f"{each} interval includes 0"
    if all(s.rows["pearson"]["low"] > 0 or s.rows["pearson"]["high"] < 0 for s in searches):
        return f"{each} interval excludes 0, but p is too large once corrected for all tests"
    return f"{each} interval includes 0, or p is too large once corrected for all tests"


def _without_trend(searches: Sequence[Search]) -> list[str]:
    """Whether the link survives once the common trend is taken out."""
    by_outcome: dict[str, list[str]] = {}
    for search in searches:
        if search.exists("pearson"):
            figures = (
                f"at {search.place} (first differences {search.figure('first_differences')}, "
                f"partial given task {search.figure('partial')})"
            )
            by_outcome.setdefault(_survival(search), []).append(figures)
    return [
        f"With the common trend taken out{outcome} {listed(places)}."
        for outcome, places in by_outcome.items()
    ]


def _survival(search: Search) -> str:
    sign = search.sign("pearson")
    differences, partial = search.sign("first_differences"), search.sign("partial")
    if sign == 0:
        return ":"
    if -sign in (differences, partial):
        return ", the link turns round"
    if differences == partial == sign:
        return ", the link survives"
    if differences == sign:
        return ", the link survives in first differences but not clearly in the partial correlation"
    if partial == sign:
        return ", the link survives in the partial correlation but not clearly in first differences"
    return ", which may be all there is, the link does not clearly survive"


def _against_control(searches: Sequence[Search], tickets: Measure) -> list[str]:
    """Whether tickets changed more under the shift than in the stationary control."""
    more = [(search.beyond_control(), search.place) for search in searches]
    parts = [f"{_signed(beyond)} at {place}" for beyond, place in more if beyond is not None]
    if not parts:
        return []
    return [f"Change of {tickets.label} beyond that in the stationary control: {listed(parts)}."]


# ------------------------------------------------------------------ words


def _moved(found: Change) -> str:
    """``fell from 0.95 to 0.88 (-0.07 [-0.08, -0.06], 5 seeds)``."""
    ends = f"from {found.first:.3g} to {found.last:.3g}"
    of_seeds = f"({_signed(found.change)}, {counted(found.change.seeds, 'seed')})"
    if found.change.mean == 0:
        return f"stayed at {found.first:.3g} {of_seeds}"
    fell = "fell" if found.change.mean < 0 else "rose"
    if found.change.direction or found.change.low is None:
        return f"{fell} {ends} {of_seeds}"
    return f"did not clearly change, {ends} {of_seeds}"


def _signed(mean: Mean) -> str:
    if mean.low is None or mean.high is None:
        return f"{mean.mean:+.3g}, no interval"
    return f"{mean.mean:+.3g} [{mean.low:+.3g}, {mean.high:+.3g}]"


def _size(search: Search) -> str:
    size = abs(search.rows["pearson"]["estimate"])
    return f" ({'strong' if size >= 0.7 else 'moderate' if size >= 0.4 else 'weak'})"
