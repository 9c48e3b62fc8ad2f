"""What coordination costs on a cluster: many short trials on 1 and 2 nodes, sleeping ones on 8.

    python tests/benchmarks/cluster_scaling.py

Every node is a real Ray node of one CPU on this machine. A sleeping trial needs no processor, so
that what its trials take beyond their sleep is scheduling, however few cores this machine has.
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from rich.console import Console

from raylot.config import Study
from raylot.lease import Lease
from raylot.progress import Progress
from raylot.storage import Storage
from raylot.sweep import Stage
from raylot.sweep.cluster import ray_session
from raylot.sweep.execution import Execution
from raylot.trials.stream import StreamTrial

sys.path.append(str(Path(__file__).parents[2]))  # as a script, `tests` is not found otherwise
from tests.faults.clusters import RayCluster

#: A stream that takes a fraction of a second.
_SHORT = {
    "hidden": "16", "tasks": 4, "snapshots": "0", "epochs": 2, "shifts": "stationary",
    "probe_size": 50, "ntk_examples": 0, "sharpness_iterations": 0, "trainability_gap": False,
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
        print(json.dumps(_measure(**json.loads(given.one))))
        return
    print(f"{'cluster':<10}{'sweep':<28}{'trials':>7}{'seconds':>9}{'per trial beyond sleep':>24}")
    for nodes in map(int, given.nodes.split(",")):
        with RayCluster(nodes) as cluster:
            if nodes <= 2:
                seconds = _in_a_process(cluster, trials=given.trials, sleep=None, nodes=nodes)
                print(f"{f'{nodes} nodes':<10}{'training':<28}{given.trials:>7}{seconds:>9.1f}")
            count = given.sleeping * nodes
            seconds = _in_a_process(cluster, trials=count, sleep=given.sleep, nodes=nodes)
            extra = 1e3 * (seconds - given.sleeping * given.sleep) / count
            what = f"sleeping {given.sleep:g} s"
            print(
                f"{f'{nodes} nodes':<10}{what:<28}{count:>7}{seconds:>9.1f}{extra:>21.0f} ms",
                flush=True,
            )


def _in_a_process(cluster: RayCluster, **measurement: Any) -> float:
    """Seconds from the first trial's beginning to the last one's end, without starting workers."""
    told = {**measurement, "address": cluster.address}
    done = subprocess.run(
        [sys.executable, __file__, "--one", json.dumps(told)],
        env={**os.environ, **cluster.environment},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return float(json.loads(done.stdout.splitlines()[-1]))


class _Sleeping(StreamTrial):
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


_Sleeping.__name__ = StreamTrial.__name__


def _measure(trials: int, sleep: float | None, nodes: int, address: str) -> float:
    trainable = StreamTrial if sleep is None else _Sleeping
    _Sleeping.seconds = sleep or 0.0
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    seconds = 0.0
    # The first sweep starts the workers and compiles; it is not counted.
    for count in (2 * nodes, trials):
        study = Study.checked(**_SHORT, seeds=f"0-{count - 1}", save_interval=60)
        runs = [study.stream_run(seed=seed, shift="stationary") for seed in study.seeds]
        stage = Stage("streams", trainable, runs)
        with tempfile.TemporaryDirectory() as folder, Lease(Storage(folder)) as lease:
            progress = Progress(console=Console(file=io.StringIO()))
            execution = Execution([stage], Storage(folder), study, {"seed"}, lease.path, progress)
            with ray_session(study):
                began = time.monotonic()
                given_up = execution.run()
                seconds = time.monotonic() - began
            if given_up or stage.missing(Storage(folder)):
                raise RuntimeError(f"not all trials ended: {given_up}")
    ray.shutdown()
    return seconds


if __name__ == "__main__":
    main()
