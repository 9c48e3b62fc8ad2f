"""Compares the doses under one shift and ticket search, in every way that the answer rests on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from raylot.analysis.doses.collapse import with_collapse
from raylot.analysis.doses.cross_lagged import CrossLagged, cross_lagged
from raylot.analysis.doses.dose_link import DoseLink, link_doses
from raylot.analysis.doses.mixed_model import Model, fit
from raylot.analysis.doses.trajectories import Trajectories, dose_order
from raylot.analysis.statistics.intervals import Mean, mean_interval
from raylot.analysis.words import counted

#: What each dose is described by, besides plasticity and tickets: column -> heading.
DESCRIBED = {
    "weight_norm": "weight norm",
    "overlap_untrained": "untrained",
}

#: The models: name -> columns that stand in it beside plasticity, tickets and tasks.
MODELS = {
    "model given weight norm": ("weight_norm",),
    "model with untrained mask": ("weight_norm", "overlap_untrained"),
}

_PLASTICITY = "plasticity"


@dataclass(frozen=True)
class DoseComparison:
    """The findings about the doses under one shift and ticket search.

    Attributes:
        trajectories: of all doses.
        measure, tickets: columns of plasticity and of tickets.
        confidence: of all intervals.
        incomplete: dose -> which of its seeds lack a value at some snapshot, and what became of
            them, in words; doses that lack none are left out.
        link: over doses.
        models: see `MODELS`.
        order: which comes first.
    """

    trajectories: Trajectories
    measure: str
    tickets: str
    confidence: float
    incomplete: dict[str, str]
    link: DoseLink
    models: dict[str, Model]
    order: CrossLagged

    @property
    def columns(self) -> list[str]:
        """The columns that describe a dose, those that have values."""
        wanted = dict.fromkeys([self.measure, self.tickets, *DESCRIBED])
        return [column for column in wanted if self.trajectories.has(column)]

    def means(self, column: str, snapshot: int | None = None) -> dict[str, Mean]:
        """Returns each dose's mean over seeds, at a snapshot or over each seed's snapshots; doses
        without a value are left out."""
        own = self.trajectories
        wide = own.means(column) if snapshot is None else own.at(column, snapshot)
        means = {
            dose: mean_interval(wide[dose].to_numpy(dtype=float), self.confidence)
            for dose in own.doses
        }
        return {dose: mean for dose, mean in means.items() if mean is not None}


def compare_doses(
    frame: pd.DataFrame, runs: pd.DataFrame, measure: str, tickets: str, confidence: float
) -> DoseComparison:
    """Compares doses.

    Args:
        frame: rows of `observations.Observations` with all interventions, under one shift and
            ticket search.
        runs: those behind them, see `observations.Setting`.
        measure: the column of plasticity.
        tickets: the column of tickets.
        confidence: of the intervals.
    """
    own = Trajectories.of(with_collapse(frame, runs, measure))
    incomplete: dict[str, str] = {}
    if own.has(measure) and own.has(tickets):
        x, y = own.means(measure), own.means(tickets)
        if own.snapshots:
            of_shift = runs[runs["shift"].isin(frame["shift"])]
            incomplete = _incomplete(x.notna() & y.notna(), of_shift)
        order = (
            cross_lagged(own.cube(measure), own.cube(tickets), own.snapshots, confidence)
            if own.snapshots
            else CrossLagged(problem="there is no snapshot after task 0")
        )
    else:
        x = y = pd.DataFrame(np.nan, own.seeds, own.doses)
        order = CrossLagged(problem=f"no values of {measure if own.has(tickets) else tickets}")
    return DoseComparison(
        trajectories=own,
        measure=measure,
        tickets=tickets,
        confidence=confidence,
        incomplete=incomplete,
        link=link_doses(x, y, confidence),
        models={
            name: _model(own, measure, tickets, covariates, confidence)
            for name, covariates in MODELS.items()
        },
        order=order,
    )


def _incomplete(complete: pd.DataFrame, runs: pd.DataFrame) -> dict[str, str]:
    """Says of each dose how many of its seeds lack a value, and how many diverged or failed.

    Args:
        complete: whether each seed and dose has all values.
        runs: of the same shift; they also know doses that have left no snapshot.
    """
    found = {}
    for dose in sorted({*complete, *runs["intervention"]}, key=dose_order):
        lacking = complete.index[~complete[dose]] if dose in complete else complete.index
        own = runs[(runs["intervention"] == dose) & runs["seed"].isin(lacking)]
        ended = own.groupby("status")["seed"].nunique()
        causes = [f"{ended[how]} {how}" for how in ("diverged", "failed") if how in ended]
        if len(lacking):
            of_all = f"{len(lacking)} of {counted(len(complete), 'seed')}"
            found[dose] = ", ".join([of_all, *causes])
    return found


def _model(
    own: Trajectories, measure: str, tickets: str, covariates: tuple[str, ...], confidence: float
) -> Model:
    for column in (measure, tickets, *covariates):
        if not own.has(column):
            return Model(problem=f"no values of {column}")
    if tickets in covariates or measure in covariates:
        return Model(problem="its covariate is the measure itself")
    rows = own.frame[own.frame["task"].isin(own.snapshots)]
    columns = {"seed": rows["seed"], "task": rows["task"], "tickets": rows[tickets]}
    columns |= {_PLASTICITY: rows[measure]}
    for column in covariates:
        values = rows[column].astype(float)
        if column == "weight_norm":
            columns["log weight norm"] = values.where(values > 0).map(np.log)
        else:
            columns[column] = values
    return fit(pd.DataFrame(columns), confidence)
