"""The session with a Ray cluster, and whether it can grant what trials ask for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from raylot.config import SweepOptions
from raylot.foundation.errors import OptionError
from raylot.sweep.interrupt_guard import InterruptGuard
from raylot.sweep.ray_start import RayStart
from raylot.trials import ray_internals

#: Seconds that the nodes of a cluster may take to join it after its head.
_LATE_NODES = 20.0


@contextlib.contextmanager
def ray_session(
    options: SweepOptions,
    guard: InterruptGuard | None = None,
    say: Callable[[str], None] = lambda line: None,
    start: RayStart | None = None,
) -> Iterator[None]:
    """Waits until a Ray is joined or started, and leaves it at the end; the user's own goes on.

    Args:
        options: where, and what a trial asks for.
        guard: ends the process if the connection is lost.
        say: tells the user what the session waits for.
        start: of the Ray; None: the user's own, which this process has joined or started.

    Raises:
        OptionError: the cluster cannot be reached, or can never grant what a trial asks for.
        StartError: Ray could not be started.
    """
    from raylot.trials import tune_internals  # not at the top: Ray starts before Tune is imported

    tune_internals.keep_credentials_here()
    with ray_internals.terminal_and_signals_left_alone():
        try:
            if start:
                start.wait()
            if guard:
                guard.listen()
                guard.watch_cluster()
            is_local = start is not None and options.cluster_address in ("", "local")
            _check_resources(options, say, is_local=is_local)
            yield
        finally:
            if guard:
                guard.leave_cluster()
            if start:
                start.leave()
                start.join()


def _check_resources(options: SweepOptions, say: Callable[[str], None], is_local: bool) -> None:
    wanted = {"CPU": options.cpus_per_trial, "GPU": options.gpus_per_trial}
    # Some nodes of a cluster may still be joining.
    give_up = time.monotonic() + (0 if is_local else min(_LATE_NODES, options.node_patience))
    while True:
        nodes = alive_nodes()
        if any(_holds(node, wanted) for node in nodes):
            return
        if time.monotonic() >= give_up:
            break
        time.sleep(0.5)
    trial = f"cpus_per_trial={wanted['CPU']:g} and gpus_per_trial={wanted['GPU']:g}"
    if ray_internals.is_autoscaling():
        say("waiting for the cluster to add a node that can hold a trial")
        if _is_granted(wanted, options.node_patience):
            return
        raise OptionError(
            f"node_patience={options.node_patience:g}: must be long enough for the cluster to add "
            f"a node for a trial with {trial}, if it can"
        )
    there = {f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes}
    has_gpus = any(_holds(node, {"GPU": wanted["GPU"]}) for node in nodes)
    name = "gpus" if wanted["GPU"] and not has_gpus else "cpus"
    raise OptionError(
        f"{name}_per_trial={getattr(options, f'{name}_per_trial'):g}: must fit on one node of this "
        f"cluster, with {trial}; its nodes have {', '.join(sorted(there)) or 'nothing'}"
    )


def alive_nodes() -> list[dict[str, float]]:
    """Returns the resources of each node of the cluster."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _holds(node: dict[str, float], wanted: dict[str, float]) -> bool:
    return all(node.get(name, 0) >= n for name, n in wanted.items())


def _is_granted(wanted: dict[str, float], patience: float) -> bool:
    """Asks the cluster for room for one trial, as Tune will; returns whether it came in time."""
    group = placement_group([{name: n for name, n in wanted.items() if n}])
    give_up = time.monotonic() + patience
    try:
        while not group.wait(1):
            if time.monotonic() > give_up:
                return False
        return True
    finally:
        remove_placement_group(group)


@contextlib.contextmanager
def room_given_back() -> Iterator[None]:
    """Takes back at the end what Tune has reserved since, if the user's own Ray goes on.

    An interrupted experiment leaves its workers and their resources behind, and the next one in the
    same Ray would wait for these for ever.
    """
    before = ray_internals.placement_groups()
    try:
        yield
    finally:
        for group in ray_internals.placement_groups().keys() - before:
            identity = ray.PlacementGroupID(bytes.fromhex(group))
            remove_placement_group(PlacementGroup(identity))
