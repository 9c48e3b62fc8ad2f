"""Compares the doses under one shift and ticket search, in every way that the answer rests on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from raylot.analysis.doses.cross_lagged import CrossLagged, cross_lagged
from raylot.analysis.doses.link import Link, linked
from raylot.analysis.doses.mixed_model import Model, fit
from raylot.analysis.doses.trajectories import Trajectories
from raylot.analysis.statistics.intervals import Mean, mean_interval

#: What each dose is described by, besides plasticity and tickets: column -> heading.
DESCRIBED = {
    "advantage_over_random": "over random",
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
class Comparison:
    """The findings about the doses under one shift and ticket search.

    Attributes:
        trajectories: of all doses.
        measure, tickets: columns of plasticity and of tickets.
        confidence: of all intervals.
        streams: how many there are, a seed and a dose each.
        complete: how many have a finite value of both at all snapshots.
        link: over doses.
        models: see `MODELS`.
        order: which comes first.
    """

    trajectories: Trajectories
    measure: str
    tickets: str
    confidence: float
    streams: int
    complete: int
    link: Link
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


def compare(frame: pd.DataFrame, measure: str, tickets: str, confidence: float) -> Comparison:
    """Compares doses.

    Args:
        frame: rows of `observations.Observations` with all interventions, under one shift and
            ticket search.
        measure: the column of plasticity.
        tickets: the column of tickets.
        confidence: of the intervals.
    """
    own = Trajectories.of(frame)
    if own.has(measure) and own.has(tickets):
        x, y = own.means(measure), own.means(tickets)
        order = (
            cross_lagged(own.cube(measure), own.cube(tickets), confidence)
            if own.snapshots
            else CrossLagged(problem="there is no snapshot after task 0")
        )
    else:
        x = y = pd.DataFrame(np.nan, own.seeds, own.doses)
        order = CrossLagged(problem=f"no values of {measure if own.has(tickets) else tickets}")
    return Comparison(
        trajectories=own,
        measure=measure,
        tickets=tickets,
        confidence=confidence,
        streams=x.size,
        complete=int((x.notna() & y.notna()).to_numpy().sum()),
        link=linked(x, y, confidence),
        models={
            name: _model(own, measure, tickets, covariates, confidence)
            for name, covariates in MODELS.items()
        },
        order=order,
    )


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
