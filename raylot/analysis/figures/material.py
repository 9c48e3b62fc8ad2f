"""The data that the figures of one setting draw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from raylot.analysis.correlation import correlate
from raylot.analysis.doses.trajectories import dose_order
from raylot.analysis.figures import style
from raylot.analysis.tables import tables
from raylot.analysis.tables.judged_alike import judged_alike, of_usual_number
from raylot.analysis.tables.measures import main_measures
from raylot.analysis.tables.observations import Observations, Setting, label_variants
from raylot.analysis.tables.ticket_streams import found_by
from raylot.foundation.names import STATIONARY
from raylot.storage import Storage


class NothingToDrawError(Exception):
    """Says which data of a figure the storage lacks."""


@dataclass(frozen=True)
class Tables:
    """A storage's tables, with the variants of shifts and interventions labelled."""

    runs: pd.DataFrame
    tasks: pd.DataFrame
    snapshots: pd.DataFrame
    plastic_parameters: pd.DataFrame

    @classmethod
    def read(cls, storage: Storage) -> Tables:
        """Reads them all."""
        runs = tables.read(storage, "runs")
        every = (
            tables.read(storage, "tasks"),
            judged_alike(storage, tables.read(storage, "snapshots"), runs),
            of_usual_number(tables.read(storage, "plastic_parameters")),
        )
        return cls(runs, *(label_variants(table, runs) for table in every))


@dataclass(frozen=True)
class Material:
    """One setting's rows of every table that is drawn.

    Attributes:
        setting: its observations and its name.
        tables: of the storage.
        observations: of the storage.
        all_measures: whether matrices of correlations show all measures, not just the main ones.
    """

    setting: Setting
    tables: Tables
    observations: Observations
    all_measures: bool = False

    @property
    def frame(self) -> pd.DataFrame:
        """A row per snapshot and sparsity: see `observations.Observations`."""
        return self.setting.frame

    @property
    def title(self) -> str:
        """Tells the setting from the storage's others; empty if it is the only one."""
        return f"{self.setting.title}." if self.setting.suffix else ""

    @property
    def protocol(self) -> str:
        """The protocol of the searches."""
        return str(self.frame["protocol"].iloc[0])

    @cached_property
    def _streams(self) -> set[str]:
        return set(self.frame["stream_run_id"])

    @cached_property
    def shifts(self) -> list[str]:
        """Its shifts, the control last."""
        shifts = self.frame["shift"].unique()
        return sorted(shifts, key=lambda shift: (shift == STATIONARY, shift))

    @property
    def shift_colours(self) -> dict[str, str]:
        """The colours of its shifts: the same in all figures of the storage."""
        colours = style.shift_colours(self._of_storage("shift"))
        return {shift: colours[shift] for shift in self.shifts}

    @property
    def shift_markers(self) -> dict[str, str]:
        """The markers of its shifts: the same in all figures of the storage."""
        markers = style.shift_markers(self._of_storage("shift"))
        return {shift: markers[shift] for shift in self.shifts}

    @property
    def intervention_colours(self) -> dict[str, str]:
        """The colours of the storage's interventions, in order of method and strength."""
        return style.intervention_colours(sorted(self._of_storage("intervention"), key=dose_order))

    def _of_storage(self, column: str) -> list[str]:
        return sorted(self.observations.frame[column].unique())

    @cached_property
    def measures(self) -> list[str]:
        """The plasticity measures that have a value in it."""
        return [name for name in self.observations.measures if self.frame[name].notna().any()]

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """Its streams' rows of ``tasks``, one per task that was trained on."""
        tasks = self.tables.tasks
        own = tasks["run_id"].isin(self._streams) & (tasks["subnetwork"] == "dense")
        return tasks[own & tasks["snapshot"].isna()]

    @cached_property
    def snapshots(self) -> pd.DataFrame:
        """Its rows of ``snapshots``."""
        return self._searched(self.tables.snapshots)

    @cached_property
    def plastic_parameters(self) -> pd.DataFrame:
        """Its rows of ``plastic_parameters``."""
        return self._searched(self.tables.plastic_parameters)

    @cached_property
    def ticket_streams(self) -> pd.DataFrame:
        """Rows of ``tasks`` of the ended ticket streams that start from its snapshots.

        Those of a dense network belong to every search of the snapshot.
        """
        tasks = self.tables.tasks
        rows = tasks[tasks["stream_run_id"].isin(self._streams) & tasks["snapshot"].notna()]
        protocols = found_by(rows, self.tables.runs)
        dense = (rows["subnetwork"] == "dense") & protocols.notna()
        return rows[dense | (protocols == self.protocol)]

    @cached_property
    def tickets(self) -> list[str]:
        """The ticket measures that have a value in it."""
        return [name for name in self.observations.tickets if self.frame[name].notna().any()]

    @property
    def shown_tickets(self) -> list[str]:
        """The ticket measures that matrices of correlations show."""
        return self._shown(self.tickets)

    @property
    def left_out(self) -> int:
        """How many measures `correlations` leaves out."""
        return sum(len(own) - len(self._shown(own)) for own in (self.tickets, self.measures))

    def correlations(self, statistic: str) -> pd.DataFrame:
        """Its correlations of one kind, as `raylot analyse correlation` writes them."""
        tickets, measures = self.shown_tickets, self._shown(self.measures)
        return correlate(self.frame, measures, tickets=tickets, statistics=[statistic])

    def _shown(self, names: list[str]) -> list[str]:
        return names if self.all_measures else main_measures(names)

    def _searched(self, table: pd.DataFrame) -> pd.DataFrame:
        own = table["stream_run_id"].isin(self._streams)
        return pd.DataFrame(table[own & (table["protocol"] == self.protocol)])
