"""Snapshots and masks that ended runs have left in a storage; opening them needs no Ray."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from torch import Tensor, nn

from raylot import interventions, networks
from raylot.config import StreamRun, TicketsRun
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task, make_probe_task, make_task
from raylot.tickets import TicketSearch


def snapshot_path(stream_run_id: str, task: int) -> str:
    """Returns the path of a stream's snapshot before a task."""
    return f"artifacts/{stream_run_id}/snapshot-{task}.safetensors"


def intervention_path(stream_run_id: str, task: int) -> str:
    """Returns the path of what a stream's intervention remembers before a task, if anything."""
    return f"artifacts/{stream_run_id}/intervention-{task}.safetensors"


def masks_path(run_id: str, ticket: int) -> str:
    """Returns the path of the masks of one ticket of a tickets run."""
    return f"artifacts/{run_id}/masks-{ticket}.safetensors"


def gradients_path(run_id: str) -> str:
    """Returns the path of the gradients that a tickets run has measured for plastic parameters."""
    return f"artifacts/{run_id}/gradients.safetensors"


def initial_network(run: StreamRun, task: Task) -> nn.Module:
    """Builds the network with which a run's stream begins."""
    key = RandomKey((run.seed, "network"))
    return _built(run, task, key)


def _built(run: StreamRun, task: Task, key: RandomKey) -> nn.Module:
    method = interventions.make(run)
    prepare = None if method is None else method.prepare
    return networks.build(run, task.input_shape, task.outputs, key, prepare)


def task_of_search(run: TicketsRun, dataset: Task) -> Task:
    """Makes the task on which a run searches tickets."""
    if run.uses_probe_tasks:
        return make_probe_task(dataset, run.trained_shift, run.trained_classes, run.seed, 0)
    return make_task(dataset, run, run.seed, run.task)


def start_search(run: TicketsRun, dataset: Task, snapshot: Mapping[str, Tensor]) -> TicketSearch:
    """Returns a run's search before its first step, from the snapshot of its stream."""
    task = task_of_search(run, dataset)
    own = make_task(dataset, run, run.seed, run.task)  # may have more classes
    # On the probe task the tickets of all snapshots train in the same data orders.
    key = RandomKey((run.seed, "tickets", "probe" if run.uses_probe_tasks else run.task))
    network = _built(run, own, key)
    network.load_state_dict(snapshot)
    device = task.train_labels.device
    initial = initial_network(run, own).to(device).state_dict()
    return TicketSearch(
        network.to(device),
        task,
        run,
        key,
        prunable=networks.prunable(run),
        make_intervention=functools.partial(interventions.make, run),
        initial=initial,
    )
