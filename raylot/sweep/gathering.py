"""Gathers the tables of runs that have ended into large files, while others still run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection

import pyarrow as pa

from raylot.foundation.errors import OptionError
from raylot.results.compaction import drop_twice, gather
from raylot.results.files import small_runs
from raylot.storage import Storage

#: Runs whose files are gathered at once; fewer are left as they are.
AT_ONCE = 1000

_log = logging.getLogger(__name__)


class _StoppedError(Exception):
    """The sweep ends while files are being gathered."""


class Gathering:
    """Gathers the files of a sweep's runs in a thread, so that the sweep goes on meanwhile.

    Args:
        storage: where.
        lease: path of the file that says that this sweep is in charge.
        share: the streams of the sweep's share of a study; None: it computes all of it.
    """

    def __init__(self, storage: Storage, lease: str, share: Collection[str] | None) -> None:
        self._storage, self._lease, self._share = storage, lease, share
        self._ended: list[str] = []
        self._growing: Collection[str] = ()
        self._thread: threading.Thread | None = None
        self._is_stopped = threading.Event()
        # Held by a thread that gathers.
        self._working = threading.Lock()

    def begin(self, growing: Collection[str]) -> None:
        """Prepares for runs of a stage.

        Args:
            growing: those of them that grow; their older rows are in large files until `wait` ends.
        """
        self._growing = growing

    def add(self, run_id: str) -> None:
        """Takes in a run that has ended."""
        if run_id in self._growing:
            return
        self._ended.append(run_id)
        if self._thread is None or not self._thread.is_alive():
            self._gather_enough()

    def _gather_enough(self) -> None:
        if len(self._ended) >= AT_ONCE:
            run_ids, self._ended = self._ended, []
            self._thread = threading.Thread(
                target=self._gather, args=(run_ids,), name="gathering", daemon=True
            )
            self._thread.start()

    def wait(self) -> None:
        """Waits until nothing is being gathered."""
        self._join()
        self._gather_enough()  # what has ended meanwhile
        self._join()

    def _join(self) -> None:
        if self._thread:
            self._thread.join()

    def stop(self) -> None:
        """Returns once no thread changes files, nor will; what is gathered later is left as it is.

        To be called before the lease goes: a next sweep must not meet a thread of this one.

        Raises:
            KeyboardInterrupt: the user interrupts the wait; raised after it.
        """
        self._is_stopped.set()
        interruption: KeyboardInterrupt | None = None
        while True:
            try:
                # Not join: once an interruption has broken one off, Python takes the thread for
                # ended. A thread that gets the lock later finds that it is to stop.
                with self._working:
                    break
            except KeyboardInterrupt as again:
                interruption = again
        if interruption:
            raise interruption

    def mend(self, ended: Collection[str]) -> None:
        """Tidies up where a gathering was killed before, and takes in what it and others left.

        Args:
            ended: runs of the sweep that have ended, and do not grow in this command.
        """
        # Once a run has no small file, older rows in a large file would count.
        stale = drop_twice(self._storage, self._check, self._share)
        self._ended = list((set(small_runs(self._storage, "runs")) & set(ended)) - stale)

    def _gather(self, run_ids: list[str]) -> None:
        try:
            with self._working:
                gather(self._storage, run_ids, self._check)
        except _StoppedError:
            return
        except (OSError, OptionError, pa.ArrowException) as error:  # the files stay as they are
            _log.warning("tables of %d runs were not gathered (%s)", len(run_ids), error)

    def _check(self) -> None:
        if self._is_stopped.is_set():
            raise _StoppedError
        if self._lease and not self._storage.exists(self._lease):
            raise OptionError(f"storage={self._storage.root}: another sweep has taken over")
