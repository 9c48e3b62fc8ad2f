"""Puts a comparison of doses in words, no more certain than the numbers are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from raylot.analysis.doses.comparison import Comparison
from raylot.analysis.doses.link import LEAST_DOSES, Link
from raylot.analysis.doses.mixed_model import Model
from raylot.analysis.statistics.intervals import ENOUGH_SEEDS, Mean
from raylot.analysis.tables.measures import measure
from raylot.analysis.words import capitalised, correlation, counted, listed, p_value


def answer(found: Comparison) -> str:
    """Says in a sentence whether tickets follow plasticity over doses; in a table of at most four
    lines how clearly; and in at most three sentences what limits it."""
    if reason := not_testable(found):
        return " ".join(filter(None, [f"Not testable: {reason}", _left_out(found)]))
    lines = dict(_lines(found))
    width = max(map(len, lines))
    table = "\n".join(f"  {name:<{width}}  {text}" for name, text in lines.items())
    return "\n\n".join([_sentence(found), table, " ".join(_caveats(found))])


def not_testable(found: Comparison) -> str:
    """Says why the question cannot be put to the test; empty if it can."""
    link, own = found.link, found.trajectories
    if not own.has(found.measure):
        what = f"the storage has no values of {found.measure}"
        variants = [str(name) for name in own.frame if str(name).startswith(f"{found.measure}(")]
        if variants:
            what += f"; name one of {', '.join(variants)} with --measure"
        elif found.measure.startswith("probe_"):
            what += "; the same sweep with --probe-tasks 4 adds them"
        return f"{what}."
    if not own.has(found.tickets):
        return f"the storage has no values of {found.tickets}."
    if not own.snapshots:
        return "there is no snapshot after task 0, before which no method has acted."
    if len(link.methods) < 2:
        return (
            f"{listed(link.methods) or 'no method'} is all that has values, and a dose takes "
            "another method to compare with."
        )
    if len(link.doses) < LEAST_DOSES:
        return (
            f"{listed(link.doses)} are {len(link.doses)} doses; a correlation over doses takes "
            f"{LEAST_DOSES}."
        )
    if len(link.seeds) < ENOUGH_SEEDS:
        return (
            f"{counted(len(link.seeds), 'seed')} with values at all of {len(link.doses)} doses "
            f"cannot tell a finding from chance; at least {ENOUGH_SEEDS} are needed."
        )
    if math.isnan(link.differ_p) or link.differ_p > 1 - found.confidence:
        p = "" if math.isnan(link.differ_p) else f" (Friedman's test, {p_value(link.differ_p)})"
        return (
            f"the doses do not clearly differ in {measure(found.measure).label}{p}, so there is "
            "nothing that tickets could follow."
        )
    if link.correlation is None:
        return f"{measure(found.tickets).label} does not vary over the doses."
    return ""


def doubts(link: Link, confidence: float) -> list[str]:
    """Says why a correlation that seeds agree on need not be one with plasticity."""
    assert link.correlation is not None
    found = []
    for name, mean in link.without.items():
        if mean is None:
            found.append(f"without {name} fewer than {LEAST_DOSES} doses are left")
        elif mean.direction != link.correlation.direction:
            found.append(f"without {name} it is {_figure(mean)}")
    if not link.p <= 1 - confidence:
        found.append(
            f"methods with unrelated effects on both would often give as much ({p_value(link.p)})"
        )
    return found


def _sentence(found: Comparison) -> str:
    link, mean = found.link, found.link.correlation
    assert mean is not None
    pair = f"{measure(found.measure).label} and {measure(found.tickets).label}"
    number = (
        f"the correlation of {pair} over {len(link.doses)} doses of "
        f"{counted(len(link.methods), 'method')} is {_figure(mean)}, {counted(mean.seeds, 'seed')}"
    )
    if not mean.direction:
        return (
            "It cannot be told whether tickets follow plasticity over the doses: at equal training "
            f"steps {number}."
        )
    seen = _in_words(found, mean.direction)
    if why := doubts(link, found.confidence):
        return (
            f"At equal training steps, these doses show {seen} ({number}); whether tickets follow "
            f"plasticity or only these methods cannot be told: {listed(why)}."
        )
    return f"Tickets go with plasticity over the doses: at equal training steps, {seen} ({number})."


def _in_words(found: Comparison, direction: int) -> str:
    """``less variety of tickets where more plasticity was lost``."""
    x, y = measure(found.measure), measure(found.tickets)
    if not x.orientation or not y.orientation:
        return f"{'higher' if direction > 0 else 'lower'} {y.label} where {x.label} is higher"
    together = direction * x.orientation * y.orientation > 0
    return (
        f"{'less' if together else 'more'} {y.stands_for or y.label} where more plasticity was lost"
    )


def _lines(found: Comparison) -> Iterator[tuple[str, str]]:
    link = found.link
    assert link.correlation is not None
    yield "correlation over doses", _figure(link.correlation)
    yield "leaving a method out", _range(link.without)
    for name, model in found.models.items():
        yield name, _of_model(model)


def _of_model(model: Model) -> str:
    if model.problem:
        return f"none: {model.problem}"
    mean = model.terms["plasticity"]
    return f"{mean.mean:+z.2f} [{mean.low:+z.2f}, {mean.high:+z.2f}] sd per sd"


def _range(without: Mapping[str, Mean | None]) -> str:
    known = {name: mean.mean for name, mean in without.items() if mean is not None}
    if not known:
        return "none: too few doses are left"
    ends = [pick(known, key=lambda name: known[name]) for pick in (min, max)]
    return " to ".join(f"{correlation(known[name])} ({name})" for name in ends)


def _caveats(found: Comparison) -> Iterator[str]:
    if left_out := _left_out(found):
        yield left_out
    link = found.link
    yield (
        f"{capitalised(counted(len(link.methods), 'method'))} are few, and were chosen, not drawn: "
        "intervals are over seeds and say nothing about other methods."
    )
    yield (
        "A method acts on weights, and so perhaps on tickets, also other than through plasticity: "
        "going together is not causing."
    )


def _left_out(found: Comparison) -> str:
    """Says how many streams lack values; empty if none does."""
    missing = found.streams - found.complete
    if not missing or not found.complete:
        return ""
    return (
        f"{missing} of {counted(found.streams, 'stream')} lack a finite value at some snapshot and "
        f"are left out, which leaves {counted(len(found.link.seeds), 'whole seed')}; one that "
        "diverged would have lost the most."
    )


def _figure(mean: Mean) -> str:
    if mean.low is None or mean.high is None:
        return correlation(mean.mean)
    return f"{correlation(mean.mean)} [{correlation(mean.low)}, {correlation(mean.high)}]"
