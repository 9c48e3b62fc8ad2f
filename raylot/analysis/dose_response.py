"""Do tickets follow plasticity when methods keep it at different doses?

Compares methods that keep plasticity, at several strengths, under one protocol: networks with
equally many training steps that differ in plasticity by design. Correlates plasticity with tickets
over doses, seed by seed; fits mixed models that hold the weight norm, and the overlap with the
untrained mask, fixed; and asks which comes first, if there are snapshots enough. Writes
STORAGE/analysis/dose_response.csv and .parquet with every dose and snapshot, and
dose_response_links.csv and .parquet with every correlation and coefficient; prints the doses, the
links and the answer in words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from rich.console import Console

from raylot.analysis import command, output
from raylot.analysis.along_snapshots import place_of, searches
from raylot.analysis.doses.answer import answer
from raylot.analysis.doses.comparison import DESCRIBED, DoseComparison, compare_doses
from raylot.analysis.doses.cross_lagged import CrossLagged
from raylot.analysis.doses.mixed_model import LARGE_INFLATION, Model
from raylot.analysis.doses.trajectories import compared_settings
from raylot.analysis.output import plain_table, print_answers
from raylot.analysis.statistics.intervals import Mean
from raylot.analysis.tables.measures import (
    PRIMARY_PLASTICITY,
    PRIMARY_TICKETS,
    TICKET_MEASURES,
    measure,
)
from raylot.analysis.tables.observations import GROUP, PLACE, Setting, observe
from raylot.analysis.words import correlation, counted, figure, listed, p_value, with_half
from raylot.config.options import option
from raylot.foundation.errors import OptionError
from raylot.foundation.text import say_progress
from raylot.storage import Storage

_NAME = "dose_response"
_LINKS = f"{_NAME}_links"

COLUMNS: dict[str, pa.DataType] = {
    **PLACE,
    "snapshot": pa.int64(),  # its task; null: mean over each seed's snapshots after task 0
    "measure": pa.string(),  # column of the observations
    "mean": pa.float64(),  # over seeds, with its t interval
    "low": pa.float64(),
    "high": pa.float64(),
    "seeds": pa.int64(),
}

LINK_COLUMNS: dict[str, pa.DataType] = {
    **{name: kind for name, kind in PLACE.items() if name != "intervention"},
    "measure": pa.string(),  # of plasticity
    "tickets": pa.string(),  # measure of tickets
    # correlation over doses, without METHOD, Spearman of means, over strengths, agreement over
    # strengths, Friedman, a model (see comparison.MODELS), its variance inflation, or cross-lagged
    "link": pa.string(),
    "term": pa.string(),  # of a model or cross-lagged; of over strengths: the method
    "estimate": pa.float64(),  # of agreement and Friedman: p; over strengths: a covariance
    "low": pa.float64(),
    "high": pa.float64(),
    "seeds": pa.int64(),
    "note": pa.string(),  # why there is none
}


class DoseResponseOptions(command.StorageOptions):
    """The options of this analysis."""

    measure: str = option(
        PRIMARY_PLASTICITY, "plasticity measure",
        accepts=f"{PRIMARY_PLASTICITY}, or another of the storage's plasticity measures",
        role="verdict",
    )  # fmt: skip
    tickets: str = option(
        PRIMARY_TICKETS, "ticket measure",
        accepts=f"one of {', '.join(TICKET_MEASURES)}", role="verdict",
    )  # fmt: skip
    confidence: float = option(0.95, "confidence of the intervals", gt=0, lt=1, role="verdict")


def compare_all(
    setting: Setting, plasticity: str, tickets: str, confidence: float = 0.95
) -> list[tuple[str, DoseComparison]]:
    """Compares the doses of one protocol under each shift and ticket search, which it names.

    Args:
        setting: with all interventions, see `compared_settings`.
        plasticity, tickets: columns of its frame.
        confidence: of the intervals.
    """
    return [
        (where, compare_doses(part, setting.runs, plasticity, tickets, confidence))
        for where, part in searches(setting.frame)
    ]


def dose_rows(found: DoseComparison) -> Iterator[dict[str, Any]]:
    """Yields `COLUMNS` of every dose, measure and snapshot, and mean over snapshots."""
    own = found.trajectories
    tasks = sorted(int(task) for task in own.frame["task"].unique())
    for column in found.columns:
        for snapshot in (*tasks, None):
            for dose, mean in found.means(column, snapshot).items():
                place = {**_place(own.frame), "intervention": dose}
                place |= {"snapshot": snapshot, "measure": column}
                yield {**place, **_bounds("mean", mean)}


def link_rows(found: DoseComparison) -> Iterator[dict[str, Any]]:
    """Yields `LINK_COLUMNS` of every link."""
    pair = {**_place(found.trajectories.frame), "measure": found.measure, "tickets": found.tickets}
    for name, term, mean, note in _links(found):
        values = {} if mean is None else _bounds("estimate", mean)
        yield {**pair, "link": name, "term": term, "note": note, **values}


def _links(found: DoseComparison) -> Iterator[tuple[str, str, Mean | None, str]]:
    link = found.link
    few = "" if link.correlation else "cannot be told"
    yield "correlation over doses", "", link.correlation, few
    for name, mean in link.without.items():
        yield f"without {name}", "", mean, "" if mean else "too few doses are left"
    seeds = len(link.seeds)
    for name, value in link.strengths.products.items():
        yield "over strengths", name, Mean(value, None, None, seeds), ""
    for name, value in (
        ("Spearman of means", link.ranks), ("agreement over strengths", link.strengths.p),
        ("Friedman", link.differ_p),
    ):  # fmt: skip
        yield name, "", Mean(value, None, None, seeds), ""
    for name, fitted in found.models.items():
        for term, factor in fitted.inflation.items():
            yield f"{name}: variance inflation", term, Mean(factor, None, None, seeds), ""
    models: Mapping[str, Model | CrossLagged] = {**found.models, "cross-lagged": found.order}
    for name, model in models.items():
        for term, mean in model.terms.items():
            yield name, term, mean, ""
        if model.problem:
            yield name, "", None, model.problem


def _place(frame: pd.DataFrame) -> dict[str, Any]:
    return place_of(tuple(frame[name].iloc[0] for name in GROUP), frame)


def _bounds(name: str, mean: Mean) -> dict[str, Any]:
    return {name: mean.mean, "low": mean.low, "high": mean.high, "seeds": mean.seeds}


# ------------------------------------------------------------------ printed


def show(console: Console, where: str, found: DoseComparison) -> None:
    """Prints the doses, those first that have lost most plasticity by the measure, and the links
    that the answer does not list."""
    own = found.trajectories
    headings = {found.measure: "plasticity", found.tickets: "tickets"}
    headings = {**DESCRIBED, **headings}
    snapshots = counted(len(own.snapshots), "snapshot")
    console.print(
        f"\n{where}, {counted(len(own.seeds), 'seed')}, mean over {snapshots} after task 0; "
        f"plasticity: {measure(found.measure).label}; tickets: {measure(found.tickets).label}"
    )
    table = plain_table("dose", *(headings[name] for name in found.columns), padding=1)
    means = {column: found.means(column) for column in found.columns}
    orientation = measure(found.measure).orientation or 1
    kept = {dose: orientation * mean.mean for dose, mean in means.get(found.measure, {}).items()}
    for dose in sorted(own.doses, key=lambda dose: kept.get(dose, math.inf)):
        table.add_row(dose, *(with_half(means[column].get(dose)) for column in found.columns))
    console.print(table)
    link = found.link
    console.print(
        f"Spearman over the doses' means: {correlation(link.ranks)}; over the doses of each method "
        f"alone: {_signs(found) or 'no method has several'}; agreement of so many methods: "
        f"{p_value(link.strengths.p)}"
    )
    for name, model in found.models.items():
        console.print(f"{name}: {_terms(model)}")
        if large := model.collinear:
            factors = listed([f"{term} ({factor:.1f})" for term, factor in large.items()])
            console.print(
                f"  note: variance inflation above {LARGE_INFLATION}: {factors}. Each may be large "
                "only because it suppresses the other: that is no support for either"
            )
    console.print(f"cross-lagged: {_terms(found.order)}")


def _terms(model: Model | CrossLagged) -> str:
    each = [f"{term} {figure(mean, '+z.2f')}" for term, mean in model.terms.items()]
    return "; ".join(each) or model.problem


def _signs(found: DoseComparison) -> str:
    """``l2_init together, shrink_and_perturb against each other``: by the signs of covariances."""
    words = {1: "together", -1: "against each other", 0: "none"}
    ways = {measure(name).orientation or 1 for name in (found.measure, found.tickets)}
    turn = 1 if len(ways) == 1 else -1
    each = found.link.strengths.products.items()
    return ", ".join(f"{name} {words[int(np.sign(turn * value))]}" for name, value in each)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compares, prints and writes what the command line asks for."""
    options = command.parse(DoseResponseOptions, __doc__, arguments)
    storage = Storage(options.storage)
    observations = observe(storage)
    known = {
        "measure": [PRIMARY_PLASTICITY, *observations.measures],
        "tickets": list(TICKET_MEASURES),
    }
    for name, accepted in known.items():
        if (given := getattr(options, name)) not in accepted:
            raise OptionError(
                f"{name}={given}: must be one of {', '.join(dict.fromkeys(accepted))}"
            )
    say_progress("comparing doses ...")
    compared = [
        (
            setting.title,
            compare_all(setting, options.measure, options.tickets, options.confidence),
        )
        for setting in compared_settings(observations)
    ]
    every = [found for _, parts in compared for _, found in parts]
    doses = [row for found in every for row in dose_rows(found)]
    links = [row for found in every for row in link_rows(found)]
    output.write(storage, _NAME, output.frame_of(doses, COLUMNS), COLUMNS)
    output.write(storage, _LINKS, output.frame_of(links, LINK_COLUMNS), LINK_COLUMNS)
    console = command.terminal()
    for title, parts in compared:
        console.print(title, style="bold")
        console.print(
            f"Means with {100 * options.confidence:g}% t intervals over seeds; coefficients in "
            "standard deviations, with jackknife intervals over seeds, as the model's own take "
            "the snapshots of a seed for independent"
        )
        for where, found in parts:
            show(console, where, found)
        console.print()
    answers = [
        (title if len(parts) == 1 else f"{title}, {where}", answer(found))
        for title, parts in compared
        for where, found in parts
    ]
    print_answers(console, answers)
    output.print_where(console, storage, _NAME, _LINKS)
