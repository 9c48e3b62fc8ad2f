"""The answer to raylot's question, in one sentence."""

from __future__ import annotations

from raylot.analysis.primary import Findings
from raylot.analysis.tables.measures import LOSS_GAP, PRIMARY_PLASTICITY, Measure, measure
from raylot.analysis.verdicts import Verdicts
from raylot.analysis.words import capitalised, counted, listed


def headline(findings: Findings) -> str:
    """Says what was found about the primary pair; shifts that share their verdicts together."""
    if findings.plasticity is None:
        by_losses = (
            f"To compare losses: raylot analyse correlation STORAGE --measure {LOSS_GAP} --tickets "
            "ticket_count. "
        ) * findings.are_losses
        return (
            f"{by_losses}Not testable, as it takes the {measure(PRIMARY_PLASTICITY).label} and "
            f"{findings.tickets.label} of the same snapshots: {listed(findings.lacks)}."
        )
    if not findings.searches:
        return "Not testable: there is no shifting stream, along which plasticity could be lost."
    places: dict[str, dict[str, list[str]]] = {}
    searched: dict[str, int] = {}
    for search in findings.searches:
        assert search.verdicts is not None
        said = _said(search.verdicts, findings.tickets, findings.margin)
        places.setdefault(said, {}).setdefault(search.shift, []).append(search.place)
        searched[search.shift] = searched.get(search.shift, 0) + 1
    parts = []
    for said, shifts in places.items():
        names = [
            shift if len(own) == searched[shift] else f"{shift} at {listed(own)}"
            for shift, own in shifts.items()
        ]
        parts.append(f"under {listed(names)} {said}")
    certainty = f"{counted(findings.seeds, 'seed')}, {100 * findings.confidence:g}% confidence"
    if which := findings.plasticity.name.partition("(")[2].rstrip(")"):
        certainty = f"on probe tasks with {which}; {certainty}"
    return f"{capitalised('; '.join(parts))} ({certainty})."


def _said(verdicts: Verdicts, tickets: Measure, margin: float) -> str:
    """Puts one search's verdicts into words."""
    fewer = f"the {tickets.stands_for}"
    if verdicts.plasticity == "cannot tell":
        return (
            "it cannot be told whether plasticity is lost, so the question is not put to the test"
        )
    if verdicts.plasticity == "better":
        return "plasticity grows, so the question is not put to the test"
    text = {
        "worse": f"plasticity is lost and {fewer} falls{_versus(verdicts, margin)}",
        "better": f"plasticity is lost but {fewer} grows",
        "cannot tell": f"plasticity is lost, but it cannot be told whether {fewer} falls",
    }[verdicts.tickets]
    beyond = "beyond what changes in all seeds alike"
    link = {
        "linked": f"{beyond}, more of the one loss goes with more of the other",
        "opposite": f"{beyond}, more of the one loss goes with less of the other",
        "cannot tell": f"it cannot be told whether the two are linked {beyond}",
    }[verdicts.link]
    return f"{text}, and {link}"


def _versus(verdicts: Verdicts, margin: float) -> str:
    if verdicts.against_control is None:
        return ""
    control = {
        "kept": "the stationary control, which kept its plasticity",
        "lost": "the stationary control, which lost plasticity too",
        "cannot tell": "the stationary control, whose plasticity cannot be told",
        None: "the stationary control",
    }[verdicts.control]
    return {
        "more": f" more than in {control}",
        "less": f" less than in {control}",
        "equivalent": f" as far (within {100 * margin:g}%) as in {control}",
        "inconclusive": f", it cannot be told whether more than in {control}",
    }[verdicts.against_control]
