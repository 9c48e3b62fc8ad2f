"""Correlates the tickets of snapshots with their plasticity, and says what was found.

Reads the tables of a raylot storage. Writes STORAGE/analysis/primary.csv and .parquet: the declared
pair of measures, what it says, and how sure that is. Writes correlation.csv and .parquet (with
--pairing previous: correlation_pairing_previous) with every pair of a ticket measure and a
plasticity measure, for each protocol, shift and sparsity, to explore. Prints the primary pair,
another pair, and last the answer in words, with a table by what was searched. Seeds are the unit of
replication, never rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from raylot.analysis import command, output, primary, primary_table
from raylot.analysis.output import print_answers
from raylot.analysis.prose.answer import by_other_centers, caveats
from raylot.analysis.prose.by_setting import TITLE, by_setting
from raylot.analysis.prose.headline import headline
from raylot.analysis.prose.printed import print_setting
from raylot.analysis.statistics.coefficients import STATISTICS, Series, Statistic, is_constant
from raylot.analysis.statistics.intervals import (
    CENTERS,
    Array,
    percentile_intervals,
    seed_resamples,
)
from raylot.analysis.statistics.significance import (
    LEAST_STREAMS,
    corrected,
    p_over_seeds,
    repeated_measures_p,
)
from raylot.analysis.tables.measures import (
    PRIMARY_PLASTICITY,
    PRIMARY_TICKETS,
    TICKET_MEASURES,
)
from raylot.analysis.tables.observations import (
    GROUP,
    PLACE,
    SETTING,
    Group,
    Observations,
    Pairing,
    groups,
    observe,
    settings,
    without_snapshots,
)
from raylot.analysis.tables.pairs import pairs
from raylot.config.options import option
from raylot.config.runs import LAST_SEED
from raylot.foundation.errors import OptionError
from raylot.foundation.names import ENOUGH_SEEDS
from raylot.foundation.text import say_progress
from raylot.storage import Storage

COLUMNS: dict[str, pa.DataType] = {
    **PLACE,  # shift "all": every shift of the setting together
    "pairing": pa.string(),  # same, previous: see `observations.Pairing`
    "ticket_measure": pa.string(),
    "plasticity_measure": pa.string(),
    "statistic": pa.string(),
    "exploratory": pa.bool_(),  # every pair but the declared one: see primary.csv
    "estimate": pa.float64(),  # null if it does not exist; the note says why
    "low": pa.float64(),
    "high": pa.float64(),
    "p": pa.float64(),  # two-sided, of a t test over seeds
    # for all exploratory tests of the file, or for all others: Benjamini-Hochberg
    "p_corrected": pa.float64(),
    "p_holm": pa.float64(),  # the same, Holm
    "tests": pa.int64(),  # how many p were corrected for
    # repeated_measures only: rm_corr's own test, which takes the snapshots of a stream for
    # independent, and is too sure where a stream drifts; not among the tests corrected for
    "rm_dof": pa.int64(),
    "rm_p": pa.float64(),
    "n": pa.int64(),  # points: snapshots, or differences between them
    "seeds": pa.int64(),
    "note": pa.string(),
}


# Numbers held in memory at once: one per pair and resample.
_AT_ONCE = 4_000_000
_OF_THE_FILE = {"pairing", "exploratory", "p_corrected", "p_holm", "tests"}


class CorrelationOptions(command.StorageOptions):
    """The options of this analysis."""

    measure: str | None = option(
        None,
        "plasticity measure that is printed; the files hold all; default: the probe gap, or "
        "test_accuracy without probe tasks",
        accepts="one of the storage's plasticity measures",
        role="verdict",
    )
    tickets: str = option(
        PRIMARY_TICKETS,
        "ticket measure that is printed; the files hold all",
        accepts=f"one of {', '.join(TICKET_MEASURES)}",
        role="verdict",
    )
    pairing: Pairing = option(
        "same",
        "task whose performance a snapshot is paired with: the one it is about to train on, or the "
        "one before, as in the original study's plots, which slipped by one task",
        role="verdict",
    )
    center: Literal["mean", "iqm"] = option(
        "mean", "center over seeds of the changes along streams: mean, or interquartile mean",
        role="verdict",
    )  # fmt: skip
    equivalence_margin: float = option(
        primary.EQUIVALENCE_MARGIN,
        "share of the shift's change by which the control's may differ and still be the same",
        gt=0,
        lt=1,
        role="verdict",
    )
    confidence: float = option(
        0.95, "confidence of the intervals and verdicts", gt=0, lt=1, role="verdict"
    )
    resamples: int = option(
        2000, "bootstrap resamples of the seeds", ge=10, le=100_000, role="verdict"
    )
    seed: int = option(0, "seed of the bootstrap's draws", ge=0, le=LAST_SEED, role="verdict")


def correlate(
    setting: pd.DataFrame,
    measures: Iterable[str],
    *,
    tickets: Iterable[str] = tuple(TICKET_MEASURES),
    statistics: Iterable[str] = tuple(STATISTICS),
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Correlates every ticket measure with every plasticity measure within one setting.

    Args:
        setting: observations of one setting, as `observations.settings` gives them.
        measures, tickets: plasticity measures and ticket measures, columns of it.
        statistics: of `coefficients.STATISTICS`.
        resamples, seed: how often seeds are drawn anew; equal seeds give equal intervals.
        confidence: of the intervals.

    Returns:
        A row per shift (and ``all``), sparsity, pair of measures and statistic: see `COLUMNS`;
        `completed` adds what depends on all rows of the file.
    """
    measures, tickets, statistics = list(measures), list(tickets), list(statistics)
    found: dict[tuple[Group, str, str, str], dict[str, Any]] = {}
    for ranks in (False, True):
        own = [name for name in statistics if STATISTICS[name].ranks == ranks]
        most = _AT_ONCE // resamples
        for part in pairs(setting, tickets, measures, most, infinite=ranks) if own else ():
            draws = seed_resamples(part.seeds, resamples, seed) if part.seeds > 1 else None
            left_out = f"{part.left_out} of {part.rows} rows have no number and are left out"
            for name in own:
                rows = _estimates(part.series, name, draws, part.seeds, confidence)
                for ((group, x), y), row in zip(product(part.x, part.y), rows, strict=True):
                    row["note"] = _joined(row["note"], left_out if part.left_out else "")
                    found[group, x, y, name] = row
    place = {name: setting[name].iloc[0] for name in SETTING} if len(setting) else {}
    rows = [
        {
            **place, **dict(zip(GROUP, group, strict=True)),
            "ticket_measure": x, "plasticity_measure": y, "statistic": name,
            **found[group, x, y, name],
        }
        for group, _ in groups(setting)
        for x, y, name in product(tickets, measures, statistics)
    ]  # fmt: skip
    columns = {name: kind for name, kind in COLUMNS.items() if name not in _OF_THE_FILE}
    return output.frame_of(rows, columns)


def completed(frames: Iterable[pd.DataFrame], pairing: Pairing) -> pd.DataFrame:
    """Joins what `correlate` found in all settings, and corrects the p-values together; those of
    the primary pair by themselves."""
    frame = pd.concat(frames, ignore_index=True)
    p = frame["p"].to_numpy(dtype=float)
    is_primary = frame["plasticity_measure"].astype(str).str.partition("(")[0] == PRIMARY_PLASTICITY
    frame["exploratory"] = ~is_primary | (frame["ticket_measure"] != PRIMARY_TICKETS)
    for _, rows in frame.groupby("exploratory").groups.items():
        frame.loc[rows, "p_corrected"] = corrected(p[rows], "fdr_bh")
        frame.loc[rows, "p_holm"] = corrected(p[rows], "holm")
        frame.loc[rows, "tests"] = int(np.isfinite(p[rows]).sum())
    frame["tests"] = frame["tests"].astype("Int64")
    frame["pairing"] = pairing
    return frame[list(COLUMNS)]


def _estimates(
    series: Series, name: str, draws: Array | None, seeds: int, confidence: float
) -> list[dict[str, Any]]:
    """Computes one statistic of every pair of x and y; all pairs of the first x come first."""
    statistic = STATISTICS[name]
    points = statistic.points(series)
    shape = (points.x.shape[1], points.y.shape[1])
    common = {"n": points.task.size, "seeds": np.unique(points.seed).size}
    if common["n"] < statistic.least_points:
        noun = statistic.noun.removesuffix("s") if common["n"] == 1 else statistic.noun
        note = f"{common['n']} {noun}: {statistic.least_points} are needed"
        return [{**common, "note": note} for _ in np.ndindex(shape)]
    estimate = statistic.compute(points, np.ones((1, seeds)))[0]
    numbers: dict[str, Array] = {"estimate": estimate}
    notes: list[Any] = []  # one of each pair, empty where there is nothing to say
    if name == "repeated_measures":
        if own := repeated_measures_p(points, estimate):
            numbers |= {"rm_dof": np.full(shape, own[0]), "rm_p": own[1]}
        else:
            notes.append(np.full(shape, f"rm_corr's own p-value takes {LEAST_STREAMS} streams"))
    if draws is None or common["seeds"] < 2:
        notes.append(np.full(shape, "one seed, so no interval and no p-value"))
    else:
        low, high, of_intervals = _intervals(points, statistic, draws, confidence)
        p = p_over_seeds(statistic.scores(points))
        numbers |= {"low": low, "high": high, "p": p}
        of_p = np.where(np.isnan(p), "no p-value: all seeds say exactly the same", "")
        notes += [of_intervals, of_p]
        if common["seeds"] < ENOUGH_SEEDS:
            note = f"only {common['seeds']} seeds, too few to rely on interval and p"
            notes.append(np.full(shape, note))
    rows = []
    for x, y in np.ndindex(shape):
        if np.isfinite(estimate[x, y]):
            row: dict[str, Any] = {column: values[x, y] for column, values in numbers.items()}
            row["note"] = _joined(*(note[x, y] for note in notes))
        else:
            row = {"note": _why_undefined(points, x, y, name)}
        rows.append(common | row)
    return rows


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _intervals(
    points: Series, statistic: Statistic, draws: Array, confidence: float
) -> tuple[Array, Array, Any]:
    """Computes the lower and upper bounds of all pairs, and a note on each."""
    resampled = statistic.compute(points, draws)
    distinct = (draws > 0) @ np.bincount(points.seed, minlength=draws.shape[1])
    resampled[distinct < statistic.least_points] = np.nan
    undefined = np.isnan(resampled).sum(axis=0)
    low, high = percentile_intervals(resampled, confidence)
    low[2 * undefined > len(draws)] = high[2 * undefined > len(draws)] = np.nan
    return low, high, np.vectorize(_interval_note, otypes=[object])(undefined, len(draws))


def _interval_note(undefined: int, resamples: int) -> str:
    if undefined == resamples:
        return "no interval: no resample of the seeds has a correlation"
    if 2 * undefined > resamples:
        return "no interval: most resamples of the seeds have no correlation"
    left_out = f"{undefined} of {resamples} resamples have no correlation and are left out"
    return left_out if undefined else ""


_CONSTANT = {
    "first_differences": "changes by the same amount everywhere",
    "repeated_measures": "is the same all along each stream",
}


def _why_undefined(points: Series, x: int, y: int, statistic: str) -> str:
    what = _CONSTANT.get(statistic, "is the same everywhere")
    if is_constant(points.x)[x]:
        return f"the ticket measure {what}"
    if is_constant(points.y)[y]:
        return f"the plasticity measure {what}"
    one_task = is_constant(points.task[:, None])[0]
    return "all points are of one task" if one_task else "a straight line in task"


def correlate_all(
    observations: Observations,
    pairing: Pairing = "same",
    tickets: str = PRIMARY_TICKETS,
    **how: Any,
) -> pd.DataFrame:
    """Correlates within each setting of a storage, and corrects all p-values together.

    Args:
        observations: from `observations.observe`.
        pairing: of the observations.
        tickets: a ticket measure that is included even if it has no value.
        how: resamples, confidence and seed of `correlate`.
    """
    names = dict.fromkeys([*observations.tickets, tickets])
    frames = [
        correlate(setting.frame, observations.measures, tickets=names, **how)
        for setting in settings(observations)
    ]
    return completed(frames, pairing)


def table(storage: Storage, pairing: Pairing = "same") -> pd.DataFrame:
    """Returns all correlations of a storage: the rows of ``correlation.csv``, see `COLUMNS`."""
    return correlate_all(observe(storage, pairing), pairing)


def answer(storage: Storage) -> str:
    """Returns the answer to raylot's question: a sentence per setting, under its title if there are
    several settings. Only the primary pair is computed."""
    parts = settings(observe(storage))
    texts = [(part.title, headline(primary.find(part))) for part in parts]
    if len(texts) == 1:
        return texts[0][1]
    return "\n\n".join(f"{title}\n{text}" for title, text in texts)


def _said(chosen: primary.Findings, others: Mapping[str, primary.Findings]) -> str:
    """The answer, what limits it, and which other centers over seeds lead to another one."""
    limits = [*caveats(chosen), *by_other_centers(chosen, others)]
    return "\n".join([headline(chosen), *(f"- {text}" for text in limits)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Computes, prints and writes what the command line asks for."""
    options = command.parse(CorrelationOptions, __doc__, arguments)
    storage = Storage(options.storage)
    observations = observe(storage, options.pairing)
    for name, known in (("measure", observations.measures), ("tickets", TICKET_MEASURES)):
        if (given := getattr(options, name)) is not None and given not in known:
            settings_of_it = [one for one in known if one.startswith(f"{given}(")]
            accepted = ", ".join(settings_of_it or known)
            raise OptionError(f"{name}={given}: must be one of {accepted}")
    confidence, margin = options.confidence, options.equivalence_margin
    how = {"resamples": options.resamples, "confidence": confidence, "seed": options.seed}
    say_progress("correlating tickets with plasticity ...")
    correlations = correlate_all(observations, options.pairing, options.tickets, **how)
    name = "correlation" if options.pairing == "same" else "correlation_pairing_previous"
    parts = settings(observations)
    found = [
        {
            center: primary.find(part, confidence=confidence, margin=margin, center=of)
            for center, of in CENTERS.items()
        }
        for part in parts
    ]
    rows_of_primary = [
        (part, center, own)
        for part, each in zip(parts, found, strict=True)
        for center, own in each.items()
    ]
    output.write(storage, "primary", primary_table.table(rows_of_primary), primary_table.COLUMNS)
    output.write(storage, name, correlations, COLUMNS)
    console = command.terminal()
    closing = by_setting(parts, [each[options.center] for each in found])
    answers = []
    explained: set[str] = set()
    for part, each in zip(parts, found, strict=True):
        own = each.pop(options.center)
        declared = own.plasticity.name if own.plasticity else "test_accuracy"
        if declared not in observations.measures:  # regression has none
            declared = observations.measures[0]
        rows = correlations[
            (correlations[SETTING] == part.frame[SETTING].iloc[0]).all(axis=1)
            & (correlations["ticket_measure"] == options.tickets)
            & (correlations["plasticity_measure"] == (options.measure or declared))
        ]
        print_setting(console, part, rows, own, CENTERS[options.center], explained)
        answers.append((part.title, _said(own, each)))
    print_answers(console, answers)
    if closing is not None:
        center = CENTERS[options.center].label
        console.print(
            f"{TITLE}: changes along streams, {center} over seeds with {100 * confidence:g}% t "
            "intervals, which are corrected for nothing\n"
        )
        console.print(closing)
        console.print()
    for text in without_snapshots(observations):
        console.print(f"Nothing is said of {text}, as no ticket search found anything there.\n")
    output.print_where(console, storage, "primary", name)
