"""How well does each intervention do at its best setting, on seeds that did not choose it?

Reads the settings that ``raylot sweep best-settings`` has tried. Writes
STORAGE/analysis/settings.csv and .parquet with every setting, best_settings.csv and .parquet with
the best of each intervention, as best.yaml has them, and the figure best_settings; prints the best
settings with t intervals over the seeds that were not used to choose.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from matplotlib.figure import Figure

from raylot import results
from raylot.analysis import command, output
from raylot.analysis.figures import style
from raylot.analysis.output import plain_table
from raylot.analysis.statistics.intervals import Mean, mean_interval
from raylot.analysis.words import with_half
from raylot.config.distributions import as_text
from raylot.config.doses import dose_text
from raylot.config.parameters import DOSED, parameters
from raylot.foundation.errors import OptionError
from raylot.foundation.names import CHOOSING
from raylot.results.settings import Standing, read_chosen, standing, tried
from raylot.results.tables import check_version, opened
from raylot.storage import Storage

_NAME, _SETTINGS, _FIGURE = "best_settings", "settings", "analysis/figures/best_settings"

#: What is reported: columns of ``tasks``, each the mean over a stream's tasks.
MEASURES = {CHOOSING: "online accuracy", "test_accuracy": "test accuracy"}

SETTING_COLUMNS: dict[str, pa.DataType] = {
    "search": pa.string(),  # equal for settings of an intervention that were compared
    "intervention": pa.string(),
    "setting": pa.string(),
    "status": pa.string(),  # finished, stopped (by ASHA), diverged, failed, unfinished
    "tasks": pa.int64(),  # that it has reached
    "of_tasks": pa.int64(),
    "accuracy": pa.float64(),  # online, mean over these tasks and its streams
    "run_ids": pa.string(),  # of its streams
}

BEST_COLUMNS: dict[str, pa.DataType] = {
    "intervention": pa.string(),
    "setting": pa.string(),
    "choosing_accuracy": pa.float64(),  # online, on the seeds that chose it
    "measure": pa.string(),
    "mean": pa.float64(),  # over the other seeds, with its 95% t interval
    "low": pa.float64(),
    "high": pa.float64(),
    "seeds": pa.int64(),
}


def fresh_runs(runs: pd.DataFrame, one: Standing) -> pd.DataFrame:
    """Returns the ended streams of a setting on other seeds than those that chose it.

    Args:
        runs: the table ``runs``.
        one: the setting.
    """
    streams = runs[(runs["kind"] == "stream") & runs["status"].isin(["finished", "diverged"])]
    columns = ["protocol", *DOSED, *itertools.chain(*map(parameters, DOSED)), "plugin_options"]
    trained = streams[columns].map(str).agg(" ".join, axis=1)
    own = streams["run_id"].isin(one.setting.runs)
    is_whole = (streams["status"] == "diverged") | (streams["tasks"] >= one.setting.tasks)
    is_fresh = ~streams["seed"].isin(set(streams.loc[own, "seed"]))
    return streams[trained.isin(set(trained[own])) & is_whole & is_fresh]


def accuracies(tasks: pd.DataFrame, runs: pd.DataFrame, one: Standing, measure: str) -> list[float]:
    """Returns the mean accuracy of each fresh seed; a task that was not reached counts as 0."""
    own = tasks[tasks["run_id"].isin(runs["run_id"]) & (tasks["task"] < one.setting.tasks)]
    sums = own.groupby("run_id")[measure].sum() / one.setting.tasks
    return list(sums.groupby(runs.set_index("run_id")["seed"]).mean())


def setting_rows(found: Sequence[Standing]) -> Iterator[dict[str, Any]]:
    """Yields `SETTING_COLUMNS`, the best settings of each intervention first; those that did not
    finish, of which early tasks tell too much, after them."""

    def place(one: Standing) -> tuple[str, bool, float]:
        accuracy = -math.inf if math.isnan(one.accuracy) else one.accuracy
        return one.setting.intervention, one.status != "finished", -accuracy

    for one in sorted(found, key=place):
        own = one.setting
        yield {
            "search": own.search, "intervention": own.intervention, "setting": _label(one),
            "status": one.status, "tasks": len(one.curve), "of_tasks": own.tasks,
            "accuracy": one.accuracy, "run_ids": ",".join(own.runs),
        }  # fmt: skip


def _label(one: Standing) -> str:
    return ", ".join(
        f"{name}={as_text(value) if isinstance(value, tuple) else dose_text(value)}"
        for name, value in sorted(one.setting.options.items())
    )


Reported = Mapping[str, tuple[Standing, Mapping[str, Mean]]]


def report(storage: Storage) -> Reported:
    """Returns the settings that the latest search has chosen, those of best.yaml, with their means
    on fresh seeds.

    Args:
        storage: where their streams are.
    """
    runs, tasks = results.read(storage, "runs"), results.read(storage, "tasks")
    reported: dict[str, tuple[Standing, Mapping[str, Mean]]] = {}
    for setting in read_chosen(storage):
        name, one = setting.intervention, standing(storage, setting)
        fresh = fresh_runs(runs, one)
        means = {m: mean_interval(accuracies(tasks, fresh, one, m)) for m in MEASURES}
        reported[name] = one, {m: mean for m, mean in means.items() if mean is not None}
    return reported


def draw(reported: Reported) -> Figure:
    """One panel per measure: each intervention's mean on fresh seeds with its interval; hollow: on
    the seeds that chose the setting."""
    figure = Figure(figsize=(style.DOUBLE_COLUMN, 0.9 + 0.32 * len(reported)))
    panels = figure.subplots(1, len(MEASURES), sharey=True)
    colours = style.intervention_colours(reported)
    labels = [f"{name}\n{_label(one)}" for name, (one, _) in reported.items()]
    for axes, (name, label) in zip(panels, MEASURES.items(), strict=True):
        for place, (intervention, (one, means)) in enumerate(reported.items()):
            colour = colours[intervention]
            if name == CHOOSING:
                axes.plot(one.accuracy, place, "o", mfc="none", mec=colour, ms=4.5, mew=0.8)
            if (mean := means.get(name)) is not None:
                error = None
                if mean.low is not None and mean.high is not None:
                    error = np.array([[mean.mean - mean.low], [mean.high - mean.mean]])
                axes.errorbar(mean.mean, place, xerr=error, fmt="o", color=colour, ms=4, capsize=2)
        axes.set_xlabel(f"{label}, mean over the stream")
        axes.margins(0.08, 0.2)
    panels[0].set_yticks(range(len(labels)), labels, fontsize=6)
    panels[0].invert_yaxis()
    seeds = sorted({mean.seeds for _, means in reported.values() for mean in means.values()})
    style.note(
        figure,
        f"Bars: 95% t intervals over {' or '.join(map(str, seeds))} seeds that chose nothing.",
        "Hollow: mean on the seeds on which the setting was chosen.",
    )
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Reports the best settings in the storage that the command line names."""
    options = command.parse(command.StorageOptions, __doc__, arguments)
    storage = opened(options.storage)
    check_version(storage)
    found = [standing(storage, setting) for setting in tried(storage)]
    if not found:
        raise OptionError(
            f"storage={storage.root}: must hold settings that raylot sweep best-settings has tried"
        )
    console = command.terminal()
    reported = report(storage)
    table = plain_table("intervention", "best setting", *MEASURES.values(), "seeds")
    for intervention, (one, means) in reported.items():
        seeds = {mean.seeds for mean in means.values()}
        cells = (with_half(means.get(measure)) for measure in MEASURES)
        table.add_row(intervention, _label(one), *cells, str(max(seeds, default=0)))
    rows = [
        {
            "intervention": intervention, "setting": _label(one),
            "choosing_accuracy": one.accuracy, "measure": measure, "mean": mean.mean,
            "low": mean.low, "high": mean.high, "seeds": mean.seeds,
        }
        for intervention, (one, means) in reported.items()
        for measure, mean in means.items()
    ]  # fmt: skip
    console.width = 120
    console.print(table)
    if reported:
        with style.applied():
            for kind, data in style.encoded(draw(reported)).items():
                storage.write(f"{_FIGURE}.{kind}", data)
    output.write(
        storage, _SETTINGS, output.frame_of(list(setting_rows(found)), SETTING_COLUMNS),
        SETTING_COLUMNS,
    )  # fmt: skip
    output.write(storage, _NAME, output.frame_of(rows, BEST_COLUMNS), BEST_COLUMNS)
    output.print_where(console, storage, _NAME, _SETTINGS)
