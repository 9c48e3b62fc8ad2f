"""Opens a storage, finished or not: tables, figures, the answer, tickets and networks."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pandas.api.types import is_integer

from raylot import results
from raylot.config import StreamRun, TicketsRun
from raylot.foundation.errors import OptionError
from raylot.results.tables import check_version, opened
from raylot.storage import Storage
from raylot.storage.checksum import DamagedFileError
from raylot.studies.selection import the_run

if TYPE_CHECKING:  # these take seconds to import, and tables need none of them
    from matplotlib.figure import Figure
    from torch import Tensor, nn

    from raylot.analysis.tables.observations import Pairing
    from raylot.tasks import Task
    from raylot.tickets import Tickets, TicketSearch


class Results:
    """The results in one storage: ``raylot.open("results/mine")`` or ``open("s3://bucket/study")``.

    Each call reads the storage as it is at that moment, also while a sweep is writing to it.
    ``tickets``, ``network`` and ``task`` take options that tell one run from the others, as
    ``seed=0, shift="stationary"``; a message says which are still needed.

    Args:
        root: the storage's folder or URI; or the storage itself, which may be empty still.

    Raises:
        OptionError: no raylot results are there, or an older raylot has written them.
    """

    def __init__(self, root: str | Path | Storage) -> None:
        self._storage = opened(root)
        check_version(self._storage)

    def __repr__(self) -> str:
        ended = len(results.finished_runs(self._storage))
        return f"Results({self.root!r}, {ended} runs ended)"

    @property
    def root(self) -> str:
        """The storage's absolute path, or its URI."""
        return self._storage.root

    # -------------------------------------------------- tables and what is made of them

    @property
    def runs(self) -> pd.DataFrame:
        """The table ``runs``: how each run ended, its options and its cost."""
        return self.table("runs")

    def table(self, name: str) -> pd.DataFrame:
        """One table, a row per finding: ``docs/tables.md`` describes the columns.

        Raises:
            OptionError: there is no such table.
        """
        return results.read(self._storage, name)

    def correlation(self, pairing: Pairing = "same") -> pd.DataFrame:
        """Every ticket measure against every plasticity measure, as `raylot analyse` writes them.

        Args:
            pairing: the task whose performance a snapshot is paired with: the one that it is
                about to train on (``"same"``), or the one before (``"previous"``).

        Raises:
            OptionError: no snapshot has been searched yet.
        """
        from raylot.analysis import correlation

        options = correlation.CorrelationOptions.checked(storage=self.root, pairing=pairing)
        return correlation.table(self._storage, options.pairing)

    def answer(self) -> str:
        """The answer in words: whether losing plasticity means running out of tickets here.

        Raises:
            OptionError: no snapshot has been searched yet.
        """
        from raylot.analysis import correlation

        return correlation.answer(self._storage)

    @property
    def figures(self) -> list[str]:
        """Names of the figures that `figure` draws."""
        from raylot.analysis.figures import figures

        return figures.names(self._storage)

    def figure(self, name: str) -> Figure:
        """Draws one of `figures`; a notebook shows it.

        Raises:
            OptionError: there is no such figure, or the storage lacks what it shows.
        """
        from raylot.analysis.figures import figures

        figure = figures.draw(self._storage, name)
        if "ipykernel" in sys.modules:  # a notebook shows only pyplot's figures until this is there
            with suppress(ImportError):
                importlib.import_module("matplotlib_inline.backend_inline")
        return figure

    def report(self) -> str:
        """Writes the page that explores the study; returns its path or URI.

        Raises:
            OptionError: no stream has learned a task yet.
        """
        from raylot.analysis.report import report

        self._storage.write(report.PATH, report.report(self._storage).encode())
        return f"{self.root.rstrip('/')}/{report.PATH}"

    # -------------------------------------------------- what runs left for others

    def tickets(self, **options: Any) -> Tickets:
        """The tickets of one snapshot at one sparsity: masks, accuracies, overlaps.

        Args:
            options: of the search, as ``seed=0, shift="stationary", task=10, sparsity=0.8``.

        Raises:
            OptionError: the options name no finished search, or several; or its masks are damaged.
        """
        from raylot.tickets import Tickets

        run = the_run(self.runs, TicketsRun, options)
        search = self._search(run)
        rows = results.read_run(self._storage, "tickets", run.run_id) or []
        place = {*results.identity_columns(run), "stream_run_id", "task", "sparsity"}
        own = [{name: row[name] for name in row.keys() - place} for row in rows]
        untrained = [search.untrained_masks(ticket) for ticket in search.tickets]
        return Tickets.from_rows(
            search.masks,
            own,
            run,
            untrained=untrained,
            chain=search.chain,
            left_out=search.left_out,
        )

    def network(self, *, task: int, ticket: int | None = None, **options: Any) -> nn.Module:
        """A snapshot: the network as it was before it trained on a task of its stream.

        Args:
            task: of the snapshot.
            ticket: which ticket of the snapshot to return instead, as its training starts: with
                ``masked="zero"`` its pruned weights are 0, with ``"freeze"`` they are as in the
                snapshot. The options must then name a search, as those of `tickets` do.
            options: of the stream, as ``seed=0, shift="stationary"``.

        Raises:
            OptionError: the options name no ended run, or several; or its files are damaged.
        """
        from raylot import networks
        from raylot.masks.pruning import zero_pruned
        from raylot.trials.artifacts import initial_network, snapshot_path

        if ticket is None:
            of_search = TicketsRun.model_fields.keys() - StreamRun.model_fields
            if given := sorted(options.keys() & of_search):
                raise OptionError(
                    f"{given[0]}: must go with ticket, the number of a ticket; without it the "
                    "network is the snapshot itself"
                )
            run = the_run(self.runs, StreamRun, options)
            if (task := _whole("task", task)) not in run.snapshots:
                accepted = ", ".join(map(str, run.snapshots))
                raise OptionError(f"task={task}: must be one of the snapshots {accepted}")
            snapshot = self._tensors(snapshot_path(run.run_id, task))
            return networks.with_state(initial_network(run, _task(run, task)), snapshot)
        search = self._search(the_run(self.runs, TicketsRun, {"task": task, **options}))
        if (ticket := _whole("ticket", ticket)) >= len(search.masks):
            raise OptionError(f"ticket={ticket}: must lie in [0, {len(search.masks)})")
        network = search.network_in(search.start_state(ticket))
        if search.options.masked == "zero":
            zero_pruned(network, search.masks[ticket])
        return network

    def task(self, *, task: int, **options: Any) -> Task:
        """A task of a stream; with ``gradual`` without the examples of the task before.

        Args:
            task: its number, from 0.
            options: of the stream, as ``seed=0, shift="stationary"``.

        Raises:
            OptionError: the options name no ended stream, or several; or its data are not here.
        """
        t = _whole("task", task)
        return _task(the_run(self.runs, StreamRun, options), t)

    def _search(self, run: TicketsRun) -> TicketSearch:
        """The finished search of a run, with its masks."""
        from raylot.tasks.datasets import load
        from raylot.tickets import masks_from_tensors
        from raylot.trials.artifacts import masks_path, snapshot_path, start_search

        snapshot = self._tensors(snapshot_path(run.stream.run_id, run.task))
        search = start_search(run, load(run), snapshot)
        like = search.masks[0]
        for ticket in search.tickets:
            saved = self._tensors(masks_path(run.run_id, ticket))
            search.masks[ticket] = masks_from_tensors(saved, like)[ticket]
        return search

    def _tensors(self, path: str) -> dict[str, Tensor]:
        """Tensors that a run has left in the storage.

        Raises:
            OptionError: they are not there, or damaged.
        """
        from raylot.trials.state import tensors_from_bytes

        again = "`raylot check --repair` and the study's command or call compute it again"
        try:
            saved = self._storage.read_checked(path)
        except DamagedFileError as damage:
            raise OptionError(f"storage={self.root}: {damage}; {again}") from None
        if saved is None:
            raise OptionError(f"storage={self.root}: {path} is not there; {again}")
        return tensors_from_bytes(saved)


#: What ``raylot.open`` is: it reads better than the class where a storage is there already.
open = Results


def _whole(name: str, value: Any) -> int:
    """Returns Python's own number for a whole number from 0, which may be numpy's."""
    if not is_integer(value) or value < 0:
        raise OptionError(f"{name}={value!r}: must be a whole number from 0")
    return int(value)


def _task(run: StreamRun, t: int) -> Task:
    """Task t of a run's stream, on the CPU."""
    from raylot.tasks import make_task
    from raylot.tasks.datasets import load

    return make_task(load(run), run, run.seed, t)
