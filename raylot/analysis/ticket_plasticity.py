"""Is a winning ticket more or less plastic than the network it was found in?

Compares tickets that go on learning new tasks (ticket streams) with the dense network of the same
snapshot, with random masks and with re-initialised tickets, on the same tasks and paired by seed.
Writes STORAGE/analysis/ticket_plasticity.csv and .parquet with every snapshot and measure; prints
the differences and the answer in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from rich.console import Console

from raylot.analysis import along_snapshots, command, output
from raylot.analysis.along_snapshots import searches
from raylot.analysis.output import plain_table, print_answers
from raylot.analysis.statistics.intervals import Mean, mean_interval
from raylot.analysis.tables import tables
from raylot.analysis.tables.observations import (
    GROUP,
    PLACE,
    SETTING,
    Observations,
    Setting,
    groups,
    label_variants,
    options_by_protocol,
    settings,
)
from raylot.analysis.tables.ticket_streams import dense_from_stream, without_dense
from raylot.analysis.words import counted, figure, listed
from raylot.config import TicketStreamRun
from raylot.config.options import option
from raylot.foundation.errors import OptionError
from raylot.foundation.names import ENOUGH_SEEDS
from raylot.foundation.text import say_progress
from raylot.storage import Storage

COLUMNS: dict[str, pa.DataType] = {
    **PLACE,
    "snapshot": pa.int64(),  # its task; null: mean over all snapshots
    "other": pa.string(),  # what the ticket is compared with: see OTHERS
    "measure": pa.string(),  # see MEASURES
    "ticket": pa.float64(),  # mean over seeds
    "compared": pa.float64(),  # of the other, mean over the same seeds
    "difference": pa.float64(),  # ticket - other, paired by seed
    "low": pa.float64(),
    "high": pa.float64(),
    "seeds": pa.int64(),
    "tasks": pa.int64(),  # new tasks that both were trained on, at most
    "note": pa.string(),
}

_NAME = "ticket_plasticity"

#: Subnetwork -> its name in words.
OTHERS: dict[str, str] = {
    "dense": "its network",
    "random": "a random mask",
    "reinit": "the re-initialised ticket",
}

STAND_IN = "the stream itself, which has learnt the snapshot's task too, stands for its network"


@dataclass(frozen=True)
class CurveMeasure:
    """A measure of a network along the new tasks; high means plastic.

    Attributes:
        label: its name in words.
        heading: of its column in the table.
        of: from tasks, test accuracies and learning speeds, each shape (tasks,) and in the order
            of tasks; NaN if it cannot be told.
        form: of its figures.
        answers: whether the answer rests on it.
    """

    label: str
    heading: str
    of: Callable[[np.ndarray, np.ndarray, np.ndarray], float]
    form: str = "+z.3f"
    answers: bool = True


def _slope(tasks: np.ndarray, accuracies: np.ndarray, speeds: np.ndarray) -> float:
    return float(np.polyfit(tasks, accuracies, 1)[0]) if len(tasks) > 1 else np.nan


def _change(tasks: np.ndarray, accuracies: np.ndarray, speeds: np.ndarray) -> float:
    return float(accuracies[-1] - accuracies[0]) if len(tasks) > 1 else np.nan


#: Column ``measure`` -> what it is: mean test accuracy over the new tasks; its least-squares slope
#: per task (below 0: accuracy is lost); its change from the first new task to the last; mean
#: learning speed.
MEASURES: dict[str, CurveMeasure] = {
    "test_accuracy": CurveMeasure(
        "test accuracy", "test accuracy", lambda tasks, accuracies, _: float(accuracies.mean())
    ),
    "accuracy_slope": CurveMeasure("accuracy kept per task", "kept per task", _slope, "+z.4f"),
    "accuracy_change": CurveMeasure("accuracy kept", "last - first", _change, answers=False),
    "learning_speed": CurveMeasure(
        "learning speed", "learning speed", lambda tasks, _, speeds: float(speeds.mean())
    ),
}

_DIGITS = 12
_VALUES = ["test_accuracy", "learning_speed"]
_STREAM = ["stream_run_id", "snapshot", "task"]


class TicketPlasticityOptions(command.StorageOptions):
    """The options of this analysis."""

    confidence: float = option(0.95, "confidence of the intervals", gt=0, lt=1, role="verdict")


# ------------------------------------------------------------------ pairing


def paired_tasks(tasks: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Pairs tickets with the networks they are compared with, on the same new tasks of a stream.

    A snapshot whose dense network was trained in no ticket stream has the stream's own rows in
    its place. Several tickets, or random draws, of a snapshot are averaged.

    Args:
        tasks, runs: the tables; a run without a row in ``runs`` is left out.

    Returns:
        `SETTING`, `GROUP`, seed, stream_run_id, snapshot, task, other, stands_in, and each value
        as ``NAME_ticket`` and ``NAME_other``.
    """
    known = runs[["run_id", "protocol", "rounds"]]
    finished = tasks.merge(known, on="run_id")
    finished = finished[np.isfinite(finished["test_accuracy"])]
    in_ticket_streams = finished[finished["snapshot"].notna()]
    keys = [*SETTING, *GROUP, "seed", *_STREAM]
    masked = in_ticket_streams[in_ticket_streams["subnetwork"] != "dense"]
    curves = {
        str(name): part.groupby(keys, dropna=False, as_index=False)[_VALUES].mean()
        for name, part in masked.groupby("subnetwork")
    }
    if "ticket" not in curves:
        return pd.DataFrame()
    tickets = curves.pop("ticket")
    dense = _dense(finished, in_ticket_streams)
    others = {"dense": (dense, _STREAM)}
    others |= {name: (curve.assign(stands_in=False), keys) for name, curve in curves.items()}
    joined: list[pd.DataFrame] = [
        tickets.merge(other, on=on, suffixes=("_ticket", "_other")).assign(other=name)
        for name, (other, on) in others.items()
    ]
    return pd.concat(joined, ignore_index=True)


def _dense(finished: pd.DataFrame, in_ticket_streams: pd.DataFrame) -> pd.DataFrame:
    """Returns the dense network's rows on new tasks. The stream identifies it, as its
    protocol may name options of another ticket search, on which a dense network does not depend."""
    own = in_ticket_streams[in_ticket_streams["subnetwork"] == "dense"]
    own = own.drop_duplicates(_STREAM)[[*_STREAM, *_VALUES]]
    streams = finished[finished["snapshot"].isna()]
    stand_in = dense_from_stream(without_dense(in_ticket_streams), streams)
    both = [own.assign(stands_in=False), stand_in[list(own)].assign(stands_in=True)]
    return pd.concat(both, ignore_index=True)


# ------------------------------------------------------------------ measuring


def compare(pairs: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Computes how plasticity differs between tickets and the other networks.

    Args:
        pairs: one setting's rows of `paired_tasks`.
        confidence: of the t intervals over seeds.

    Returns:
        A row per shift, sparsity, comparison, measure and snapshot, and mean over snapshots: see
        `COLUMNS`.
    """
    rows: list[dict[str, Any]] = []
    for key, part in groups(pairs, with_all_shifts=False):
        group = along_snapshots.place_of(key, part)
        for other in [name for name in OTHERS if name in set(part["other"])]:
            own = part[part["other"] == other]
            note = STAND_IN if own["stands_in"].any() else ""
            shared = {"other": other, "tasks": own.groupby("snapshot")["task"].nunique().max()}
            for name, measure in MEASURES.items():
                values = _per_seed(own, measure)
                columns = ["ticket", "compared", "difference"]
                for snapshot, found in along_snapshots.by_snapshot(values, "snapshot", columns):
                    mean = mean_interval(found["difference"], confidence)
                    if mean is not None:
                        row = {"snapshot": snapshot, "measure": name, "note": note}
                        rows.append(group | shared | row | _columns(found, mean))
    return output.frame_of(rows, COLUMNS)


def _per_seed(pairs: pd.DataFrame, measure: CurveMeasure) -> pd.DataFrame:
    """One measure of both curves, a row per seed and snapshot."""
    found = []
    for (seed, snapshot), part in pairs.groupby(["seed", "snapshot"]):
        curve = part.sort_values("task")
        tasks = curve["task"].to_numpy(dtype=float)
        ticket, compared = (
            measure.of(tasks, *(curve[f"{name}_{side}"].to_numpy(dtype=float) for name in _VALUES))
            for side in ("ticket", "other")
        )
        # Rounding errors of a fit must not pass for a difference that every seed agrees on.
        difference = round(ticket - compared, _DIGITS)
        found.append((seed, snapshot, ticket, compared, difference))
    return pd.DataFrame(found, columns=["seed", "snapshot", "ticket", "compared", "difference"])


def _columns(values: pd.DataFrame, mean: Mean) -> dict[str, Any]:
    ticket, compared = values.dropna()[["ticket", "compared"]].mean()
    interval = {"low": mean.low, "high": mean.high, "seeds": mean.seeds}
    return {"ticket": ticket, "compared": compared, "difference": mean.mean, **interval}


def winners(pairs: pd.DataFrame, tasks: pd.DataFrame, tickets: pd.DataFrame) -> str:
    """Says in a sentence how many of the compared tickets win on the task they were found on.

    Args:
        pairs: one setting's rows of `paired_tasks`.
        tasks, tickets: the tables.

    Returns:
        Empty if the tables do not say.
    """
    streamed = tasks[(tasks["subnetwork"] == "ticket") & tasks["snapshot"].notna()]
    where = ["stream_run_id", "snapshot", "sparsity"]
    compared = streamed.merge(pairs[where].drop_duplicates(), on=where)
    found = tickets[tickets["wins"].notna()].rename(columns={"task": "snapshot"})
    judged = compared[[*where, "ticket"]].drop_duplicates().merge(found, on=[*where, "ticket"])
    if judged.empty:
        return ""
    return (
        f"Of the {counted(len(judged), 'ticket')} compared, {int(judged['wins'].sum())} win on "
        "their own snapshot's task: they keep up with the dense network there and beat chance. "
        "The others are tickets in name only."
    )


# ------------------------------------------------------------------ in words


def answer(rows: pd.DataFrame) -> str:
    """Says in a paragraph per shift and sparsity whether tickets are more or less plastic, from one
    setting's rows of `compare`."""
    paragraphs = []
    for where, part in searches(rows):
        found = along_snapshots.overall(part)
        tasks = counted(int(found["tasks"].max()), "new task")
        parts = []
        for other, own in found.groupby("other", sort=False):
            seeds = counted(int(own["seeds"].max()), "seed")
            parts.append(f"{_verdict(own, OTHERS[str(other)])} ({seeds})")
        if "dense" not in set(found["other"]):
            parts.insert(0, "nothing is known of its network on the same tasks")
        place = along_snapshots.place(part)
        paragraphs.append(f"{where}, over {tasks}, {place}: {'; '.join(parts)}.")
    paragraphs += [f"Note: {note}." for note in filter(None, rows["note"].unique())]
    paragraphs.append(along_snapshots.too_few(int(rows["seeds"].min())))
    return "\n\n".join(filter(None, paragraphs))


def _verdict(rows: pd.DataFrame, other: str) -> str:
    """``the ticket against its network: more plastic by test accuracy (+0.02 [...])``."""
    directions: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for row in rows.to_dict("records"):
        measure = MEASURES[row["measure"]]
        if measure.answers:
            mean = along_snapshots.mean_of(row, "difference")
            sure = mean.direction if mean and mean.seeds >= ENOUGH_SEEDS else 0
            directions[sure].append(f"{measure.label} ({figure(mean, measure.form)})")
    words = {1: "more plastic", -1: "less plastic", 0: "open"}
    parts = [f"{words[sign]} by {listed(by)}" for sign, by in directions.items() if by]
    return f"the ticket against {other}: {', '.join(parts)}"


def show(console: Console, setting: Setting, rows: pd.DataFrame, confidence: float) -> None:
    """Prints the differences at the first and last snapshot and in the mean."""
    console.print(setting.title, style="bold")
    console.print(
        f"Ticket minus other on the same new tasks, with {100 * confidence:g}% t intervals over "
        "seeds (not corrected for their number)"
    )
    measures = {name: measure for name, measure in MEASURES.items() if measure.answers}
    for where, part in searches(rows):
        console.print(f"\n{where}, {counted(int(part['seeds'].max()), 'seed')}")
        table = plain_table("snapshot", "minus", *(m.heading for m in measures.values()))
        shown = along_snapshots.shown(part)
        for (snapshot, other), own in shown.groupby(["snapshot", "other"], dropna=False):
            means = {
                row["measure"]: along_snapshots.mean_of(row, "difference")
                for row in own.to_dict("records")
            }
            cells = [
                figure(means.get(name), measure.form, separator="\n")
                for name, measure in measures.items()
            ]
            table.add_row(along_snapshots.snapshot_label(snapshot), str(other), *cells)
        console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compares, prints and writes what the command line asks for."""
    options = command.parse(TicketPlasticityOptions, __doc__, arguments)
    storage = Storage(options.storage)
    runs = tables.read(storage, "runs")
    tasks, tickets = (label_variants(tables.read(storage, t), runs) for t in ("tasks", "tickets"))
    pairs = paired_tasks(tasks, runs)
    if pairs.empty:
        wanted = "hold tickets that were trained on further tasks, and another network on the same "
        wanted += "tasks; it holds streams, but no such ticket streams (run "
        wanted += "raylot sweep ticket-plasticity, or any study with --ticket-tasks)"
        if tasks.empty:
            wanted = "be the folder or URI of a raylot storage with results"
        raise OptionError(f"storage={storage.root}: must {wanted}")
    say_progress("comparing tickets with their networks ...")
    of_streams = options_by_protocol(runs[runs["kind"] == TicketStreamRun.kind])
    parts = settings(Observations(pairs, [], [], of_streams))
    compared = [(part, compare(part.frame, options.confidence)) for part in parts]
    output.write(storage, _NAME, pd.concat([rows for _, rows in compared]), COLUMNS)
    console = command.terminal()
    answers = []
    for setting, rows in compared:
        show(console, setting, rows, options.confidence)
        won = winners(setting.frame, tasks, tickets)
        answers.append((setting.title, "\n\n".join(filter(None, [answer(rows), won]))))
    print_answers(console, answers)
    output.print_where(console, storage, _NAME)
