"""Starts Ray in a thread, which takes seconds, while this process does something else."""

from __future__ import annotations

import sys
import threading

from raylot.config import SweepOptions


def is_ray_started() -> bool:
    """Returns whether this process has joined or started a Ray; does not import it."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


class RayStart:
    """A Ray that is being joined or started.

    Its thread lives until the Ray is left: Linux ends the processes that a thread has started with
    it, as Ray asks for. No signal interrupts the thread; an interrupted start would leave processes
    behind.

    Args:
        options: where Ray is, and what a trial asks for.
        trials: that could run at once. If they need most of this machine's cores, the workers of a
            Ray that is started here import what trials need while it starts.
    """

    def __init__(self, options: SweepOptions, trials: int) -> None:
        self._options, self._trials = options, trials
        self._error: BaseException | None = None
        self._is_under_way, self._is_decided = threading.Event(), threading.Event()
        self._is_left = threading.Event()
        threading.Thread(target=self._stay, name="Ray", daemon=True).start()
        # From here on it mostly waits for processes; two threads that import slow each other down.
        self._is_under_way.wait()

    def wait(self) -> None:
        """Waits until the Ray is there.

        Raises:
            OptionError: the cluster cannot be reached.
            StartError: Ray could not be started.
        """
        self._is_decided.wait()
        if self._error is not None:
            raise self._error

    def leave(self) -> None:
        """Leaves the Ray, and stops it if it was started here; waits until it is there."""
        self._is_decided.wait()
        if is_ray_started() and not self._is_left.is_set():
            import ray  # not at the top: it takes a second

            ray.shutdown()
        self._is_left.set()

    def _stay(self) -> None:
        try:
            from raylot.sweep.joining import connect

            self._is_under_way.set()
            connect(self._options, self._trials)
        except BaseException as error:  # for the thread that waits
            self._error = error
        self._is_under_way.set()
        self._is_decided.set()
        self._is_left.wait()
