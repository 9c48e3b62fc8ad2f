"""Starts Ray in a thread, which takes seconds, while this process does something else."""

from __future__ import annotations

import sys
import threading

from raylot.config import SweepOptions

#: Seconds between two looks whether the process ends.
_INTERVAL = 0.5


def is_ray_started() -> bool:
    """Returns whether this process has joined or started a Ray; does not import it.

    A Ray that is being left is waited for.
    """
    for thread in threading.enumerate():
        if isinstance(thread, RayStart) and thread.is_being_left:
            thread.join()
    # An interrupted import may have left a part of the module.
    is_initialized = getattr(sys.modules.get("ray"), "is_initialized", None)
    return is_initialized is not None and is_initialized()


class RayStart(threading.Thread):
    """Joins or starts a Ray, and leaves it again.

    The thread lives until the Ray is left: Linux ends the processes that a thread has started with
    it, as Ray asks for. No signal interrupts the thread; an interrupted start would leave processes
    behind.

    Args:
        options: where Ray is, and what a trial asks for.
        trials: that could run at once. If they need most of this machine's cores, the workers of a
            Ray that is started here import what trials need while it starts.
    """

    def __init__(self, options: SweepOptions, trials: int) -> None:
        super().__init__(name="Ray")
        self._options, self._trials = options, trials
        self._error: BaseException | None = None
        self._is_under_way, self._is_decided = threading.Event(), threading.Event()
        self._is_to_end = threading.Event()

    def begin(self) -> None:
        """Starts the thread; waits until it has imported all of Ray that it needs.

        From then on it mostly waits for processes. Two threads that import slow each other down,
        and may find each other's modules half imported.
        """
        self.start()
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

    @property
    def is_being_left(self) -> bool:
        return self._is_to_end.is_set()

    def leave(self) -> None:
        """Asks the thread to leave the Ray, and to stop it if it has started it.

        `join` waits for that; the process waits for it before it ends.
        """
        self._is_to_end.set()

    def run(self) -> None:
        try:
            from raylot.sweep.joining import connect
            from raylot.trials.ray_internals import import_what_starting_takes

            import_what_starting_takes()
            self._is_under_way.set()
            connect(self._options, self._trials)
        except BaseException as error:  # for the thread that waits
            self._error = error
        self._is_under_way.set()
        self._is_decided.set()
        while threading.main_thread().is_alive() and not self._is_to_end.wait(_INTERVAL):
            pass
        ray = sys.modules.get("ray")
        if ray is not None and ray.is_initialized():
            ray.shutdown()
