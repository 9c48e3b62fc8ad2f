"""What coordination costs on a cluster: many short trials on 1 and 2 nodes, sleeping ones on 8.

    python tests/benchmarks/cluster_scaling.py

Every node is a real Ray node of one CPU on this machine. A sleeping trial needs no processor, so
that what it costs is coordination, however few cores this machine has: processor time of the driver
per trial, and how long a node stands idle between two trials. Counted is from the moment when every
node has ended a trial, which leaves out how long workers take to start.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import ray
from rich.console import Console

from raylot.config import Study
from raylot.storage import Storage
from raylot.storage.lease import Lease
from raylot.sweep import execution, experiment
from raylot.sweep.cluster import ray_session
from raylot.sweep.interrupt_guard import InterruptGuard
from raylot.sweep.stage import Stage
from raylot.terminal.progress import Progress
from raylot.trials.kinds import TRIALS
from raylot.trials.stream import StreamTrial

sys.path.append(str(Path(__file__).parents[2]))  # as a script, `tests` is not found otherwise
from tests.faults.clusters import RayCluster

#: Seconds in which a node and a worker on it start.
_STARTING = 10.0

#: A stream that takes a fraction of a second.
_SHORT = {
    "hidden": "16", "tasks": 4, "snapshots": "0", "epochs": 2, "shifts": "stationary",
    "probe_size": 50, "ntk_examples": 0, "sharpness_iterations": 0, "probe_tasks": 0,
    "engine": "generic",
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints a line for each cluster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=120, help="of the fixed sweep")
    parser.add_argument("--sleeping", type=int, default=60, help="sleeping trials per node")
    parser.add_argument("--sleep", type=float, default=1.0, help="seconds that one sleeps")
    parser.add_argument("--nodes", default="1,2,8", help="sizes of the clusters")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a measurement in a process of its own
    given = parser.parse_args(arguments)
    if given.one:
        print(json.dumps(asdict(_measure(**json.loads(given.one)))))
        return
    print(f"{'nodes':<7}{'sweep':<20}{'trials':>8}{'per second':>12}", end="")
    print(f"{'driver, ms per trial':>22}{'node idle, ms':>15}")
    for nodes in map(int, given.nodes.split(",")):
        with RayCluster(nodes) as cluster:
            if nodes <= 2:
                _print(f"{nodes:<7}{'training':<20}", cluster, trials=given.trials, sleep=None)
            _print(
                f"{nodes:<7}{f'sleeping {given.sleep:g} s':<20}",
                cluster,
                trials=given.sleeping * nodes,
                sleep=given.sleep,
            )


def _print(what: str, cluster: RayCluster, **measurement: Any) -> None:
    told = {**measurement, "address": cluster.address, "nodes": len(cluster.nodes)}
    done = subprocess.run(
        [sys.executable, __file__, "--one", json.dumps(told)],
        env={**os.environ, **cluster.environment},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    cost = _Cost(**json.loads(done.stdout.splitlines()[-1]))
    idle = "" if measurement["sleep"] is None else f"{cost.idle:.0f}"
    print(f"{what}{cost.trials:>8}{cost.trials / cost.seconds:>12.2f}", end="")
    print(f"{cost.driver:>22.0f}{idle:>15}", flush=True)


@dataclass(frozen=True)
class _Cost:
    """Of the trials that ended after every node had ended one.

    Attributes:
        trials: how many.
        seconds: until the last one ended.
        driver: its processor time per trial, in ms.
        idle: between the ends of a node's trials beyond their sleep, on average, in ms.
    """

    trials: int
    seconds: float
    driver: float
    idle: float


class _Ends(Progress):
    """Notes when trials end: of each worker, the seconds on the clock and of the driver's own."""

    def __init__(self) -> None:
        super().__init__(console=Console(file=io.StringIO()))
        self.by_worker: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)

    def run_advanced(self, trial_id: str, result: dict[str, Any]) -> None:
        super().run_advanced(trial_id, result)
        if result["done"]:
            self.by_worker[result["pid"]].append((time.monotonic(), time.process_time()))

    def cost(self, sleep: float) -> _Cost:
        since, driver = max(ends[0] for ends in self.by_worker.values())
        ends = sorted(end for worker in self.by_worker.values() for end in worker)
        trials = sum(end > since for end, _ in ends)
        gaps = [
            after - before
            for worker in self.by_worker.values()
            for (before, _), (after, _) in pairwise(worker)
            if after > since
        ]
        return _Cost(
            trials=trials,
            seconds=ends[-1][0] - since,
            driver=1e3 * (ends[-1][1] - driver) / trials,
            idle=1e3 * (mean(gaps) - sleep),
        )


class _Training(StreamTrial):
    """A stream, in a worker that waits until the workers of all nodes have started.

    When a run ends, Tune gives its worker the next one, and stops the worker that this was to get
    for itself, though it may be starting: runs shorter than a start would keep other nodes empty.
    """

    begins_at = 0.0

    def __init__(self, config: Mapping[str, Any], **shared: Any) -> None:
        super().__init__(config, **shared)
        time.sleep(max(self.begins_at - time.time(), 0))


class _Sleeping(_Training):
    """A stream that sleeps instead of training, and is recorded as any other."""

    seconds = 0.0

    def begin(self) -> None:
        pass

    def advance(self) -> dict[str, float]:
        time.sleep(self.seconds)
        return {}

    def tensors(self) -> dict[str, Any]:
        return {}

    @property
    def total_steps(self) -> int:
        return 1


for _trainable in (_Training, _Sleeping):
    _trainable.__name__ = StreamTrial.__name__


def _measure(trials: int, sleep: float | None, nodes: int, address: str) -> _Cost:
    trainable = _Training if sleep is None else _Sleeping
    trainable.begins_at = time.time() + _STARTING * nodes if nodes > 1 else 0.0
    _Sleeping.seconds = sleep or 0.0
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    study = Study.checked(**_SHORT, seeds=f"0-{trials - 1}", save_interval=60)
    runs = [study.stream_run(seed=seed, shift="stationary") for seed in study.seeds]
    stage = Stage("streams", runs)
    TRIALS["stream"] = trainable
    progress = _Ends()
    with tempfile.TemporaryDirectory() as folder, Lease(Storage(folder)) as lease:
        guard = InterruptGuard("")
        work = execution.Execution(
            [stage], Storage(folder), study, {"seed"}, lease.path, progress, guard
        )
        with ray_session(study):
            given_up = work.run(experiment.compute)
        if given_up or stage.missing(work.ended):
            raise RuntimeError(f"not all trials ended: {given_up}")
    ray.shutdown()
    if len(progress.by_worker) < nodes:
        raise RuntimeError("not every node has had a trial")
    return progress.cost(sleep or 0.0)


if __name__ == "__main__":
    main()
