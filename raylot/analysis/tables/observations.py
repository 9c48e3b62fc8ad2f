"""Joins a storage's tables into one tidy frame: one row per snapshot and sparsity.

Two protocols are never mixed: everything downstream works on one `Setting` at a time.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from raylot.analysis.tables import tables
from raylot.analysis.tables.barriers import snapshot_barriers
from raylot.analysis.tables.judged_alike import judged_alike
from raylot.analysis.tables.measures import ALL_SHIFTS, TICKET_MEASURES, differing, in_order
from raylot.analysis.tables.probe_gaps import probe_gaps
from raylot.analysis.words import counted
from raylot.config import (
    PROTOCOL_EXCLUDES,
    ProbeRun,
    StreamRun,
    TicketsRun,
    TicketStreamRun,
    plugin_options,
)
from raylot.config.doses import NOT_GIVEN, in_file_names, labelled, with_value
from raylot.config.options import role_of
from raylot.config.parameters import DOSED, parameters, parameters_used, unused_parameters
from raylot.foundation import registry
from raylot.foundation.errors import OptionError
from raylot.foundation.names import PERFORMANCE, STATIONARY, WHOLE_NETWORK
from raylot.results import SCHEMAS
from raylot.results.commands import commands
from raylot.storage import Storage

#: Which task's performance a snapshot is paired with: the one that it is about to train on, or
#: the one before.
Pairing = Literal["same", "previous"]

#: Of a difference of two accuracies; the rest is rounding.
_DIGITS = 12

#: Columns that tell one setting from another; no figure averages over them.
SETTING = ["protocol", "dataset", "network", "intervention"]

#: Columns that tell one group of a setting from another.
GROUP = ["shift", "sparsity", "rounds"]

#: The same columns with their types: those of every table that an analysis writes.
PLACE: dict[str, pa.DataType] = {name: SCHEMAS["snapshots"][name] for name in (*SETTING, *GROUP)}

#: Columns of ``runs`` that tell doses apart.
DOSE = [*DOSED, *(name for kind in DOSED for name in parameters(kind)), "plugin_options"]

#: Columns of the runs behind a setting.
_ENDED = ["run_id", "kind", "status", "stream_run_id", *SETTING, "shift", "seed"]

#: A sparsity and its number of pruning rounds.
Search = tuple[float, int | None]

#: Values of `GROUP`; the shift may be ``all``.
Group = tuple[str, float, int | None]

#: By how much densities of masks may differ that are meant to be equally dense: rounding.
_SAME_DENSITY = 0.005


@dataclass(frozen=True)
class Observations:
    """The observations of a storage.

    Attributes:
        frame: a row per snapshot and sparsity: run_id, `SETTING`, `GROUP`, seed, task,
            stream_run_id, density, overlap_chance, and a column per measure.
        measures: the plasticity measures that have a value somewhere; if none has, those of
            performance.
        tickets: the ticket measures that have a value somewhere; if none has, all of them.
        options: protocol -> the options in which protocols may differ.
        runs: the streams, probe tasks and ticket searches that have ended: a row each.
        adds_seeds: whether a command has added seeds until intervals were narrow.
    """

    frame: pd.DataFrame
    measures: list[str]
    tickets: list[str]
    options: dict[str, dict[str, str]]
    runs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_ENDED))
    adds_seeds: bool = False


@dataclass(frozen=True)
class Setting:
    """Observations that may be compared: one protocol, data set, network and intervention.

    Attributes:
        frame: their rows.
        runs: the streams, probe tasks and ticket searches behind them that have ended, also those
            that failed or diverged: columns `_ENDED`.
        title: names them, with the options that tell them from the storage's other settings.
        suffix: ends the names of their files; empty if the storage has one setting only.
        suffix_of_interventions: the same without the intervention: all settings share it that
            differ in their intervention only.
        together: how many settings the storage has, this one among them.
        own: the options in which the storage's protocols differ -> this one's values, as text.
        adds_seeds: whether a command has added seeds until intervals were narrow.
    """

    frame: pd.DataFrame
    runs: pd.DataFrame
    title: str
    suffix: str
    suffix_of_interventions: str
    together: int = 1
    own: Mapping[str, str] = field(default_factory=dict)
    adds_seeds: bool = False

    @property
    def intervention(self) -> str:
        return str(self.frame["intervention"].iloc[0])


def observe(
    storage: Storage, pairing: Pairing = "same", begun: pd.DataFrame | None = None
) -> Observations:
    """Reads and joins ``snapshots`` and ``plasticity``, and the options from ``runs``.

    Args:
        storage: of a sweep.
        pairing: ``same`` pairs a snapshot with the performance on the task that it is about to
            train on. ``previous`` takes the performance on the task before from ``tasks``, as the
            original study's plots did; the snapshot of task 0 has none. All else stays the
            snapshot's own.
        begun: runs whose variants are labelled, see `label_variants`; None: those in ``runs``.

    Raises:
        OptionError: there is nothing to analyse.
    """
    snapshots = tables.read(storage, "snapshots")
    if snapshots.empty:
        raise OptionError(
            f"storage={storage.root}: must be the folder or URI of a raylot storage "
            "in which a ticket search has ended (tables/snapshots has no rows; if raylot reproduce "
            "made it, the same command shows its table again)"
        )
    runs = tables.read(storage, "runs")
    snapshots = judged_alike(storage, snapshots, runs)
    snapshots = label_variants(snapshots, runs if begun is None else begun)
    columns = ["stream_run_id", "snapshot", "task", "layer", "metric", "setting", "value"]
    metrics = whole_network_metrics(tables.read(storage, "plasticity", columns))
    metrics = metrics.drop(columns=list(PERFORMANCE), errors="ignore")  # are in ``snapshots``
    frame = snapshots.merge(metrics, on=["stream_run_id", "task"], how="left")
    gaps = probe_gaps(tables.read(storage, "probes"), runs)
    frame = frame.merge(gaps, on=["stream_run_id", "task"], how="left")
    barriers = snapshot_barriers(tables.read(storage, "barriers"), runs)
    frame = frame.merge(barriers, on=["stream_run_id", "task"], how="left")
    if pairing == "previous":
        frame = _with_previous_performance(frame, tables.read(storage, "tasks"))
    for name, other in (("ticket_advantage", "dense"), ("advantage_over_random", "random")):
        difference = frame["ticket_accuracy"] - frame[f"{other}_accuracy"]
        if other == "random":
            difference = difference.where(_as_dense(frame, runs))
        # Rounding must not tell apart the snapshots at which the two are equally accurate.
        frame[name] = difference.round(_DIGITS)
    named = {*metrics.columns, *gaps.columns, *barriers.columns, *PERFORMANCE}
    named -= {"stream_run_id", "task"}
    present = {name for name in named if frame[name].notna().any()}
    kept = ["run_id", *PLACE, "seed", "task", "stream_run_id", "density", "overlap_chance"]
    measures = in_order(present - set(kept) - set(TICKET_MEASURES) or set(PERFORMANCE))
    values = in_order({*measures, *PERFORMANCE})
    tickets = [name for name in TICKET_MEASURES if frame[name].notna().any()]
    return Observations(
        frame=frame[[*kept, *TICKET_MEASURES, *values]].sort_values([*SETTING, "seed", "task"]),
        measures=measures,
        tickets=tickets or list(TICKET_MEASURES),
        options=options_by_protocol(runs[runs["kind"] == TicketsRun.kind]),
        runs=label_variants(
            runs[runs["kind"].isin([StreamRun.kind, ProbeRun.kind, TicketsRun.kind])],
            runs if begun is None else begun,
        )[_ENDED],
        adds_seeds=any(command.adds_seeds for command in commands(storage)),
    )


def _as_dense(snapshots: pd.DataFrame, runs: pd.DataFrame) -> pd.Series:
    """Whether random masks keep as many weights as tickets do: they may have a density of their
    own, as in the original study, and then they are no level of chance."""
    densities = snapshots["run_id"].map(runs.set_index("run_id")["random_density"])
    return densities.isna() | ((densities - snapshots["density"]).abs() <= _SAME_DENSITY)


def without_snapshots(observations: Observations) -> list[str]:
    """Describes streams of which no ticket search has found anything, as ``permuted_pixels
    l2_init(10): 5 runs failed, 5 runs diverged``: no answer is about them."""
    columns = [*SETTING[1:], "shift"]
    known = set(observations.frame[columns].itertuples(index=False, name=None))
    found = []
    for key, own in observations.runs.groupby(columns, sort=False):
        counts = own.loc[own["status"].isin(("failed", "diverged")), "status"].value_counts()
        if key not in known and len(counts):
            ended = ", ".join(
                f"{counted(int(count), 'run')} {status}" for status, count in counts.items()
            )
            dataset, network, intervention, shift = map(str, key)
            found.append(f"{dataset}, {network}, {shift} with {intervention}: {ended}")
    return found


def label_variants(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Tells apart the variants of a shift or intervention, so that none are averaged.

    If runs used a plugin's shift ``darker`` in two versions of its code, each becomes
    ``darker@<code>``: they are two shifts. (Networks of two versions stand in two protocols
    anyway, and metrics in two columns.) If runs used an intervention at several doses, that is with
    several values of its parameters, each becomes ``l2_init(1e-3)``; so does a single dose other
    than the default one. What has no parameters keeps its name, so that one control stands beside
    all doses. A dose that only failed runs have leaves the others' names alone.

    Args:
        rows: of a table.
        runs: rows of ``runs``: ``run_id``, ``status``, ``plugins`` and the columns `DOSE`.
    """
    each = rows.drop_duplicates("run_id").set_index("run_id")
    plugins = each.index.to_series().map(runs.set_index("run_id")["plugins"])
    used = {text: registry.listed(text) for text in runs["plugins"].dropna().unique()}
    versions = Counter(key for key, _ in {use for one in used.values() for use in one.items()})
    # A run that is about to end has rows here before it has one in ``runs``.
    begun = [runs[runs["status"] != "failed"], each[~each.index.isin(runs["run_id"])]]
    doses = pd.concat([part[DOSE].astype(object) for part in begun])
    for kind in DOSED:
        labels = {
            run_id: name
            + (f"@{used[code][kind, name]}" if versions[kind, name] > 1 and code in used else "")
            + label.removeprefix(name)
            for run_id, name, code, label in zip(
                each.index, each[kind], plugins, _labels(each, doses, kind), strict=True
            )
        }
        if list(labels.values()) != list(each[kind]):
            rows = rows.assign(**{kind: rows["run_id"].map(labels).astype(rows[kind].dtype)})
    return rows


def _labels(each: pd.DataFrame, doses: pd.DataFrame, kind: str) -> list[str]:
    """Labels each row's shift or intervention; `doses` decide which parameters vary."""
    columns = [kind, *parameters(kind), "plugin_options"]
    varied = {
        name: {
            *(p for p in parameters_used(kind, str(name)) if own[p].nunique() > 1),
            *_varied_options((kind, str(name)), own["plugin_options"].dropna().unique()),
        }
        for name, own in doses.groupby(kind)
    }
    own = each[columns].astype(object).where(each[columns].notna(), None)

    @functools.cache
    def label(*values: Any) -> str:
        dose = dict(zip(columns, values, strict=True))
        of_plugins = plugin_options.parsed(dose.pop("plugin_options"))
        dose |= of_plugins.get((kind, dose[kind]), {})
        return labelled(kind, dose, varied.get(dose[kind], ()))

    return [label(*dose) for dose in own.itertuples(index=False, name=None)]


def _varied_options(owner: tuple[str, str], texts: Iterable[str]) -> set[str]:
    """Picks the options of a plugin's shift or intervention that have several values."""
    own = [plugin_options.parsed(text).get(owner, {}) for text in texts]
    names = {name for options in own for name in options}
    return {name for name in names if len({options.get(name) for options in own}) > 1}


def settings(observations: Observations) -> list[Setting]:
    """Parts the observations into settings, the fullest first; ``none`` before interventions."""
    parts = [(tuple(map(str, key)), part) for key, part in observations.frame.groupby(SETTING)]
    parts.sort(key=lambda part: (-len(part[1]), part[0][3] != "none"))
    several_protocols = len({key[0] for key, _ in parts}) > 1
    several_interventions = len({key[3] for key, _ in parts}) > 1
    known = [observations.options.get(protocol, {}) for (protocol, *_), _ in parts]
    names = dict.fromkeys(name for options in known for name in options)
    told = [name for name in names if len({options.get(name) for options in known}) > 1]
    found = []
    for (protocol, dataset, network, intervention), part in parts:
        title = f"{dataset}, {network}, protocol {protocol}"
        if several_interventions or intervention != "none":
            title += f", intervention={intervention}"
        options = observations.options.get(protocol, {})
        own = {name: options[name] for name in told if name in options}
        named = [with_value(name, text) for name, text in own.items()]
        suffix = f"_{protocol}" if several_protocols else ""
        of_intervention = f"_{in_file_names(intervention)}" if several_interventions else ""
        whole = f"{suffix}{of_intervention}"
        runs = _behind(part, observations.runs)
        title = ", ".join([title, *named])
        together, adds_seeds = len(parts), observations.adds_seeds
        found.append(Setting(part, runs, title, whole, suffix, together, own, adds_seeds))
    return found


def _behind(part: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Picks the runs that belong to a setting: its searches, its streams, and those like them."""
    first = part.iloc[0]
    alike = runs[(runs[SETTING[1:]] == first[SETTING[1:]]).all(axis=1)]
    is_search = alike["kind"] == TicketsRun.kind
    of_stream = alike["stream_run_id"].isin(part["stream_run_id"])
    protocols = alike.loc[of_stream & ~is_search, "protocol"]
    own = alike["protocol"] == first["protocol"]
    belongs = (is_search & own) | (~is_search & (of_stream | alike["protocol"].isin(protocols)))
    behind: pd.DataFrame = alike[belongs]
    return behind


def groups(
    frame: pd.DataFrame, with_all_shifts: bool = True
) -> Iterator[tuple[Group, pd.DataFrame]]:
    """A setting's rows for each shift, sparsity and number of rounds.

    Args:
        frame: of one setting.
        with_all_shifts: also yield, under the name ``all``, the rows of all shifts together, for
            each sparsity that was searched under several.
    """
    by_search = frame.groupby(["sparsity", "rounds"], dropna=False, sort=True)
    for _, part in by_search:
        sparsity, rounds = float(part["sparsity"].iloc[0]), part["rounds"].iloc[0]
        name = None if pd.isna(rounds) else int(rounds)
        shifts = sorted(part["shift"].unique(), key=lambda shift: (shift == STATIONARY, shift))
        for shift in shifts:
            yield (shift, sparsity, name), part[part["shift"] == shift]
        if with_all_shifts and len(shifts) > 1:
            yield (ALL_SHIFTS, sparsity, name), part


def search_labels(frame: pd.DataFrame) -> dict[Search, str]:
    """``sparsity 0.8`` for each search of a setting, with the rounds where they differ."""
    searches = dict.fromkeys(key[1:] for key, _ in groups(frame, with_all_shifts=False))
    with_rounds = len({sparsity for sparsity, _ in searches}) < len(searches)
    return {
        (sparsity, rounds): f"sparsity {sparsity:g}"
        + (f" ({counted(rounds, 'round')})" if with_rounds and rounds is not None else "")
        for sparsity, rounds in searches
    }


def whole_network_metrics(plasticity: pd.DataFrame) -> pd.DataFrame:
    """A row per stream and task, a column per metric of the whole network.

    A metric that was measured with several settings has a column for each:
    ``sharpness(sharpness_iterations=50)``.
    """
    is_of_stream = plasticity["snapshot"].isna() & (plasticity["layer"] == WHOLE_NETWORK)
    whole = plasticity[is_of_stream]
    names = {
        (metric, setting): f"{metric}({own_part})" if own_part else metric
        for metric, own in whole.groupby("metric")["setting"].unique().items()
        for setting, own_part in differing(own).items()
    }
    columns = zip(whole["metric"], whole["setting"], strict=True)
    whole = whole.assign(metric=[names.get(one, one[0]) for one in columns])
    wide = whole.pivot_table(index=["stream_run_id", "task"], columns="metric", values="value")
    return wide.rename_axis(columns=None).reset_index()


def _with_previous_performance(frame: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """The same rows with each stream's performance on the task before the snapshot's."""
    measured = [name for name in PERFORMANCE if name in tasks]
    own = tasks[tasks["snapshot"].isna() & (tasks["subnetwork"] == "dense")]
    following = own.assign(stream_run_id=own["run_id"], task=own["task"] + 1)
    keys = ["stream_run_id", "task"]
    joined = frame.drop(columns=list(PERFORMANCE)).merge(
        following[[*keys, *measured]], on=keys, how="left"
    )
    return joined.reindex(columns=frame.columns)


def options_by_protocol(runs: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Protocol -> its options as text, those that cannot change its results left out.

    Runs of a protocol may have grown differently: then all values are named, as ``3 or 5``.
    """
    fields = {**StreamRun.model_fields, **TicketStreamRun.model_fields}
    compared = [
        name
        for name, field in fields.items()
        if name not in PROTOCOL_EXCLUDES and name in runs and role_of(field) != "where"
    ]
    # A ticket stream has its search's protocol, but lacks some of its options.
    first = runs.groupby("protocol", sort=False).first()
    found = {}
    for protocol, row in first.to_dict("index").items():
        row["plugins"] = _of_protocol(row.get("plugins"), row.get("probe_shift"))
        of_plugins = row.pop("plugin_options", None)
        not_used = unused_parameters(row)
        own = runs[runs["protocol"] == protocol]
        found[str(protocol)] = {
            name: " or ".join(map(option_text, sorted(own[name].dropna().unique())))
            if name in TicketsRun.growing and own[name].nunique() > 1
            else option_text(row[name])
            for name in compared
            if name not in not_used and name in row
        }
        if pd.notna(of_plugins):
            own_part = registry.without(of_plugins, PROTOCOL_EXCLUDES)
            for options in plugin_options.parsed(own_part).values():
                found[str(protocol)] |= {n: option_text(value) for n, value in options.items()}
    return found


def _of_protocol(code: Any, probe_shift: Any) -> Any:
    """Returns the plugins in use, without those in which a protocol's runs may differ."""
    if pd.isna(code):
        return code
    return registry.without(code, PROTOCOL_EXCLUDES, but=[("shift", str(probe_shift))])


def option_text(value: Any) -> str:
    """Returns an option's value as the user writes it: ``0.001``, ``true``."""
    if pd.isna(value):
        return NOT_GIVEN
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value)
