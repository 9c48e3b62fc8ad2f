"""Adds to the answer's sentence a short table of its figures, and caveats."""

from __future__ import annotations

from collections.abc import Mapping

from raylot.analysis.primary import Findings, GroupFindings
from raylot.analysis.prose.headline import headline
from raylot.analysis.statistics.changes import POWER
from raylot.analysis.statistics.intervals import CENTERS
from raylot.analysis.statistics.link import smallest_p
from raylot.analysis.words import capitalised, counted, figure, listed, p_value
from raylot.foundation.names import ENOUGH_SEEDS, STATIONARY

#: Lines of the table, and caveats; ``primary.csv`` holds all of them.
MOST_LINES, MOST_CAVEATS = 4, 3


def headings(findings: Findings) -> list[str]:
    """Names the columns of the table; none where nothing was tested."""
    if findings.plasticity is None:
        return []
    plasticity, tickets = findings.plasticity.label, findings.tickets.label
    worse = "fall" if findings.tickets.orientation == 1 else "rise"
    return [
        "stream",
        f"{plasticity}, rise",
        f"{tickets}, {worse}",
        "more than in the control",
        "link beyond common change",
    ]


def lines(findings: Findings) -> list[list[str]]:
    """Returns the table's cells: a line per shift and sparsity, those under a shift first."""
    found = [*findings.searches, *findings.controls]
    places = {search.place for search in found}
    return [
        [search.shift if len(places) == 1 else f"{search.shift} at {search.place}", *_cells(search)]
        for search in found[:MOST_LINES]
    ]


def _cells(search: GroupFindings) -> list[str]:
    against = search.against_control
    return [
        figure(search.plasticity),
        figure(search.tickets),
        figure(against.difference) if against else "none",
        _link(search),
    ]


def _link(search: GroupFindings) -> str:
    """The control has no p, as nothing is claimed of it."""
    link = search.link
    if link.r is None or link.p is None:
        return "none"
    text = f"{link.r:+.2f}"
    if link.low is not None:
        text += f" [{link.low:+.2f}, {link.high:+.2f}]"
    return text if search.p_link is None else f"{text} {p_value(search.p_link)}"


def caveats(findings: Findings) -> list[str]:
    """Returns sentences on what limits the answer, the gravest first, at most `MOST_CAVEATS`."""
    if findings.plasticity is None or not findings.searches:
        return []
    found = [
        _few_seeds(findings), _control(findings), _incomplete(findings), _smallest(findings)
    ]  # fmt: skip
    return [caveat for caveat in found if caveat][:MOST_CAVEATS]


def by_other_centers(chosen: Findings, others: Mapping[str, Findings]) -> list[str]:
    """Says by which other centers over seeds the answer is another one.

    Args:
        chosen: what the answer says.
        others: the same by other centers, by their names in `CENTERS`.
    """
    sentence = headline(chosen)
    return [
        f"By the {CENTERS[center].label} over seeds the answer differs (raylot analyse "
        f"correlation STORAGE --center {center})."
        for center, other in others.items()
        if headline(other) != sentence
    ]


def _few_seeds(findings: Findings) -> str:
    seeds, tests = findings.seeds, len(findings.searches) * findings.corrections
    if seeds < ENOUGH_SEEDS:
        return (
            f"{counted(seeds, 'seed')} cannot tell a finding from chance: at least {ENOUGH_SEEDS} "
            "are needed, 5 or more are better."
        )
    linked = min(search.link.seeds for search in findings.searches)
    least = tests * smallest_p(linked) if linked else 0
    if least > 1 - findings.confidence:
        return (
            f"{counted(seeds, 'seed')} are too few to show a link: no p can come below "
            f"{min(1, least):.2g}, however strong it is."
        )
    return ""


def _control(findings: Findings) -> str:
    verdicts = {search.verdicts.control for search in findings.searches if search.verdicts}
    if not findings.controls:
        return (
            "Without a stationary control, what the shift does cannot be told from what longer "
            "training does."
        )
    if "lost" in verdicts:
        return (
            f"The {STATIONARY} control lost plasticity too, so it is no control for plasticity: "
            "tickets that run out in both say nothing for or against a link."
        )
    if "cannot tell" in verdicts:
        return (
            f"Whether the {STATIONARY} control kept its plasticity cannot be told, so what it says "
            "of tickets is open."
        )
    return ""


def _incomplete(findings: Findings) -> str:
    statuses = [
        f"{counted(count, 'run')} {status}"
        for status in ("failed", "diverged")
        if (count := findings.ended.get(status, 0))
    ]
    missing = findings.missing - findings.collapsed
    parts = [
        *([listed(statuses)] if statuses else []),
        *([f"{missing} of {findings.snapshots} snapshots lack a measurement"] if missing else []),
    ]
    if findings.collapsed:
        parts.append(
            f"{findings.collapsed} that diverged streams have not left count as the worst loss of "
            "plasticity seen, and as unknown in tickets"
        )
    return f"{capitalised('; '.join(parts))}." if parts else ""


def _smallest(findings: Findings) -> str:
    open_ones = [
        search
        for search in findings.searches
        if search.verdicts and search.verdicts.against_control == "inconclusive"
        and search.against_control
    ]  # fmt: skip
    differences = [
        search.against_control.smallest for search in open_ones if search.against_control
    ]
    if not any(differences):  # of networks that are the same bit for bit
        return ""
    return (
        f"With so many seeds, a difference to the control of less than {max(differences):.2g} in "
        f"{findings.tickets.label} is overlooked in more than {100 * (1 - POWER):.0f}% of studies."
    )
