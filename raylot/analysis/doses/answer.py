"""Puts a comparison of doses in words, no more certain than the numbers are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from raylot.analysis.doses.comparison import DoseComparison
from raylot.analysis.doses.dose_link import LEAST_DOSES, DoseLink
from raylot.analysis.doses.mixed_model import Model
from raylot.analysis.doses.strengths import least_methods
from raylot.analysis.statistics.intervals import Mean
from raylot.analysis.tables.measures import LOSS_GAP, is_regression, measure
from raylot.analysis.words import capitalised, correlation, counted, figure, listed, p_value
from raylot.foundation.names import ENOUGH_SEEDS


def answer(found: DoseComparison) -> str:
    """Says in a sentence whether tickets follow plasticity over doses; in a table of at most four
    lines how clearly; and in at most three sentences what limits it."""
    if reason := not_testable(found):
        return " ".join(filter(None, [f"Not testable: {reason}", _left_out(found)]))
    lines = dict(_lines(found))
    width = max(map(len, lines))
    table = "\n".join(f"  {name:<{width}}  {text}" for name, text in lines.items())
    return "\n\n".join([_sentence(found), table, " ".join(_caveats(found))])


def not_testable(found: DoseComparison) -> str:
    """Says why the question cannot be put to the test; empty if it can."""
    link, own = found.link, found.trajectories
    if not own.has(found.measure):
        what = f"the storage has no values of {found.measure}"
        variants = [str(name) for name in own.frame if str(name).startswith(f"{found.measure}(")]
        if variants:
            what += f"; name one of {', '.join(variants)} with --measure"
        elif is_regression(own.frame):
            what += f", as its tasks are regression; {LOSS_GAP} compares losses (--measure)"
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


def doubts(link: DoseLink, models: Mapping[str, Model], confidence: float) -> list[str]:
    """Says why a correlation that seeds agree on need not be one with plasticity.

    Strengths come first: without agreement of enough methods, an effect of their strengths on
    tickets would do, and so would effects of these methods.
    """
    assert link.correlation is not None
    found, strengths = [], link.strengths
    several, least = len(strengths.products), least_methods(confidence)
    if several < least:
        found.append(
            f"to part plasticity from a method's strength takes {least} methods of several "
            f"doses, here are {several}"
        )
    elif not strengths.p <= 1 - confidence:
        found.append(
            f"methods whose strength moves tickets up or down would often agree as well over their "
            f"own doses ({p_value(strengths.p)})"
        )
    elif strengths.direction != link.correlation.direction:
        found.append("over the doses of each method it is the reverse")
    for name, mean in link.without.items():
        if mean is None:
            found.append(f"without {name} fewer than {LEAST_DOSES} doses are left")
        elif mean.direction != link.correlation.direction:
            found.append(f"without {name} it is {_figure(mean)}")
    for name, model in models.items():
        own = model.terms.get("plasticity")
        if own is not None and own.direction != link.correlation.direction:
            found.append(f"the {name} gives {figure(own, '+z.2f')}")
    return found


def _sentence(found: DoseComparison) -> str:
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
    if why := doubts(link, found.models, found.confidence):
        return (
            f"At equal training steps, these doses show {seen} ({number}). That describes these "
            f"doses; whether tickets follow plasticity cannot be told: {'; '.join(why)}."
        )
    return (
        "Tickets go with plasticity over the doses, and over the strengths of each method: at "
        f"equal training steps, {seen} ({number}; methods: {p_value(link.strengths.p)})."
    )


def _in_words(found: DoseComparison, direction: int) -> str:
    """``a smaller variety of tickets where more plasticity was lost``."""
    x, y = measure(found.measure), measure(found.tickets)
    if not x.orientation or not y.orientation:
        return f"{'higher' if direction > 0 else 'lower'} {y.label} where {x.label} is higher"
    together = direction * x.orientation * y.orientation > 0
    return (
        f"a {'smaller' if together else 'larger'} {y.stands_for or y.label} where more plasticity "
        "was lost"
    )


def _lines(found: DoseComparison) -> Iterator[tuple[str, str]]:
    link = found.link
    assert link.correlation is not None
    yield "correlation over doses", _figure(link.correlation)
    yield "leaving a method out", _range(link.without)
    for name, model in found.models.items():
        yield name, _of_model(model)


def _of_model(model: Model) -> str:
    if model.problem:
        return f"none: {model.problem}"
    text = f"{figure(model.terms['plasticity'], '+z.2f')} sd per sd"
    return f"{text}, collinear" if "plasticity" in model.collinear else text


def _range(without: Mapping[str, Mean | None]) -> str:
    known = {name: mean.mean for name, mean in without.items() if mean is not None}
    if not known:
        return "none: too few doses are left"
    ends = [pick(known, key=lambda name: known[name]) for pick in (min, max)]
    return " to ".join(f"{correlation(known[name])} ({name})" for name in ends)


def _caveats(found: DoseComparison) -> Iterator[str]:
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


def _left_out(found: DoseComparison) -> str:
    """Names the doses that lack values; empty if none does."""
    used, parts = found.link.doses, []
    lacking = {dose: f"{dose} ({text})" for dose, text in found.incomplete.items()}
    if unused := [text for dose, text in lacking.items() if dose not in used]:
        parts.append(f"too few seeds have values at all snapshots of {listed(unused)}, left out")
    if some := [text for dose, text in lacking.items() if dose in used]:
        parts.append(
            f"seeds that lack a value of {listed(some)} are left out, which leaves "
            f"{counted(len(found.link.seeds), 'whole seed')}"
        )
    if any("diverged" in text for text in found.incomplete.values()):
        parts.append("where a stream diverged, it has lost the most and its tickets are unknown")
    return f"{capitalised('; '.join(parts))}." if parts else ""


def _figure(mean: Mean) -> str:
    if mean.low is None or mean.high is None:
        return correlation(mean.mean)
    return f"{correlation(mean.mean)} [{correlation(mean.low)}, {correlation(mean.high)}]"
