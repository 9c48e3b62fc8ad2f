"""How many short runs one trial of Tune's computes, so that it is worth what a trial costs.

The first runs of a stage get a trial each. They show how long runs take; then as many are bundled
as take some seconds. Towards the end of a stage bundles get smaller, so that no worker waits long
for another one.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from raylot.config import StreamRun
from raylot.trials.trainable import BUNDLE_SECONDS

#: In a stage with fewer runs, each gets a trial of its own, whose curves TensorBoard shows.
MANY = 100

#: Seconds for which a stage's first runs are waited for, to learn how long runs take.
_PATIENCE = 30.0

#: Trials from whose times those of the next runs are predicted.
_TRIALS = 16


def weight(run: StreamRun) -> int:
    """Returns a number to which the times of runs of one kind are proportional."""
    return max(1, run.training_steps)


@dataclass
class Bundles:
    """Shares the runs of one stage out among trials.

    Args:
        runs: of the stage.
        alone: run_ids of runs that get a trial of their own.
        at_once: returns how many trials run at the same time.
        bundles: whether trials may compute more than one run.
        clock: returns seconds; tests set it.
    """

    runs: Sequence[StreamRun]
    alone: Collection[str]
    at_once: Callable[[], int]
    bundles: bool = True
    clock: Callable[[], float] = time.monotonic
    _left: deque[tuple[StreamRun, int]] = field(init=False)
    _weight_left: int = field(init=False)
    # Seconds per weight of the last trials.
    _rates: deque[float] = field(init=False)
    _began: float | None = None

    def __post_init__(self) -> None:
        self.bundles = self.bundles and len(self.runs) >= MANY
        self._left = deque((run, weight(run)) for run in self.runs)
        self._weight_left = sum(weight for _, weight in self._left)
        self._rates = deque(maxlen=_TRIALS)

    @property
    def are_all_out(self) -> bool:
        """Whether trials have been given all runs."""
        return not self._left

    def take(self, out: int) -> list[StreamRun]:
        """Returns the runs of the next trial; none as long as it is better to wait.

        Tune hands trials to free workers in no order, so only few are made before they are needed:
        otherwise a large bundle might come last.

        Args:
            out: trials that have runs and have not ended.
        """
        if not self._left:
            return []
        if not self.bundles:
            return [self._pop()[0]]
        if not self._rates:
            return [] if self._is_waiting(out) else [self._pop()[0]]
        rate, at_once = statistics.median(self._rates), self.at_once()
        room = min(BUNDLE_SECONDS, rate * self._weight_left / (2 * at_once))
        is_bundle = len(self._left) > 1 and rate * (self._left[0][1] + self._left[1][1]) <= room
        if is_bundle and out >= 2 * at_once:
            return []
        run, weight = self._pop()
        taken = [run]
        while is_bundle and self._left and rate * (weight + self._left[0][1]) <= room:
            if {run.run_id, self._left[0][0].run_id}.intersection(self.alone):
                break
            run, more = self._pop()
            weight += more
            taken.append(run)
        return taken

    def _is_waiting(self, out: int) -> bool:
        self._began = self.clock() if self._began is None else self._began
        return out >= self.at_once() and self.clock() - self._began < _PATIENCE

    def _pop(self) -> tuple[StreamRun, int]:
        run, weight = self._left.popleft()
        self._weight_left -= weight
        return run, weight

    def give_back(self, runs: Sequence[StreamRun]) -> None:
        """Takes runs back that a trial had no time for."""
        for run in reversed(runs):
            self._left.appendleft((run, weight(run)))
            self._weight_left += weight(run)

    def learn(self, runs: Sequence[StreamRun], seconds: float) -> None:
        """Is told how long a trial took for its runs."""
        self._rates.append(seconds / sum(map(weight, runs)))
