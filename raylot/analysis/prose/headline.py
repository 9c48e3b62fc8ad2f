"""The answer to raylot's question in one sentence, how sure it is, and what was not tested."""

from __future__ import annotations

from raylot.analysis.prose.findings import Findings, Search, ShiftFindings, direction
from raylot.analysis.statistics.intervals import ENOUGH_SEEDS
from raylot.analysis.tables.measures import Measure
from raylot.analysis.words import capitalised, counted, listed

#: Share of the shift's change of tickets from which on the control's counts as just as far.
_JUST_AS_FAR = 0.9

#: What the stationary control cannot tell: said wherever something is compared with it.
NOT_TESTED = (
    "Not tested: whether the control can still learn data that it has not seen; it was measured "
    "on data that it had trained on."
)

#: Where a verdict names the shifts that it is about.
_SHIFT = "<shift>"


def headline(findings: Findings) -> str:
    """Says whether tickets run out as plasticity is lost: one sentence for all shifts together, and
    one on what the control did not test."""
    control, seeds = findings.control, findings.seeds
    if not findings.shifts:
        return "Open: there is no shifting stream, along which plasticity could be lost."
    if seeds < ENOUGH_SEEDS:
        return (
            f"Open: {counted(seeds, 'seed')} cannot tell a finding from chance "
            f"({ENOUGH_SEEDS} are needed)."
        )
    verdicts: dict[str, list[str]] = {}  # what is said of several shifts is said once
    for found in findings.shifts:
        verdict = _verdict(found, findings)
        verdicts.setdefault(verdict, []).append(found.shift)
    parts = [verdict.replace(_SHIFT, listed(names)) for verdict, names in verdicts.items()]
    intervals = f"{100 * findings.confidence:g}% intervals over seeds"
    said = f"{capitalised('; '.join(parts))} ({seeds} seeds, {intervals})."
    return said if control is None else f"{said} {NOT_TESTED}"


def _verdict(found: ShiftFindings, findings: Findings) -> str:
    """The sentence on one shift, with `_SHIFT` in place of its name."""
    tickets = findings.tickets
    lost = direction(found.plasticity, findings.plasticity)
    if lost != -1:
        return f"under {_SHIFT} the question stays open, as no loss of plasticity is certain"
    fell = {direction(search.tickets, tickets) for search in found.searches}
    if fell != {-1}:
        return (
            f"under {_SHIFT} plasticity is lost, but {tickets.label} does not clearly get "
            f"worse{' at every sparsity' if len(found.searches) > 1 else ''}"
        )
    text = f"under {_SHIFT} the {tickets.stands_for} falls as plasticity is lost"
    doubts = _doubts(found, findings.control is not None, tickets)
    if doubts:
        return f"{text}, but {', and '.join(doubts)}"
    return (
        f"{text}, clearly more than in the stationary control, and the two are linked beyond "
        "the mere fact that both change along the stream"
    )


def _as_far_in_control(search: Search, tickets: Measure) -> bool:
    """Whether tickets get worse in the control, and nearly as much."""
    own, same = search.tickets, search.control
    if own is None or same is None or direction(same, tickets) != -1:
        return False
    return abs(same.change.mean) >= _JUST_AS_FAR * abs(own.change.mean)


def _doubts(found: ShiftFindings, has_control: bool, tickets: Measure) -> list[str]:
    doubts = []
    beyond = [search.beyond_control() for search in found.searches]
    directions = {more.direction * tickets.orientation if more else 0 for more in beyond}
    if not has_control:
        doubts.append("no stationary control tells whether longer training alone does the same")
    elif -1 not in directions and all(_as_far_in_control(s, tickets) for s in found.searches):
        doubts.append("just as far in the stationary control")
    elif directions != {-1}:
        doubts.append("not clearly more than in the stationary control")
    linked = [search.place for search in found.searches if _survives(search)]
    clearly = "clearly linked beyond the mere fact that both change along the stream"
    if not linked:
        doubts.append(f"the two are not {clearly}")
    elif len(linked) < len(found.searches):
        doubts.append(f"only at {listed(linked)} are the two {clearly}")
    if any(search.in_one_step and _survives(search) for search in found.searches):
        doubts.append(
            "nearly all of both changes falls between the same two snapshots, where more of them "
            "would tell a link from one jump"
        )
    return doubts


def _survives(search: Search) -> bool:
    """Whether the link remains after both ways of removing the trend along the stream."""
    signs = {search.sign(name) for name in ("pearson", "first_differences", "partial")}
    return len(signs) == 1 and signs != {0}
