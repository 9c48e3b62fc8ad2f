"""The columns of every result table, and how a run's identity and options fill them."""

from __future__ import annotations

from types import UnionType
from typing import Any, get_args

import pyarrow as pa

from raylot.config import (
    MeasurementRun,
    ProbeRun,
    RetrainingRun,
    StreamRun,
    TicketBarrierRun,
    TicketsRun,
    TicketStreamRun,
)
from raylot.config.intervention_options import InterventionParameters
from raylot.config.options import Options
from raylot.config.shift_options import ShiftParameters
from raylot.foundation.names import PERFORMANCE

_NUMBERS: dict[Any, pa.DataType] = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def _option_columns(*models: type[Options]) -> dict[str, pa.DataType]:
    """Returns a column for each option: numbers, also optional ones, by their type; else text."""
    columns = {}
    for name, field in (item for model in models for item in model.model_fields.items()):
        declared = field.annotation
        kinds = {*get_args(declared)} if isinstance(declared, UnionType) else {declared}
        numbers = [_NUMBERS.get(kind) for kind in kinds - {type(None)}]
        columns[name] = numbers[0] if len(numbers) == 1 and numbers[0] else pa.string()
    return columns


#: What tells a run from those that it is compared with: without parameters, two doses look alike.
IDENTITY = {
    "run_id": pa.string(),
    "dataset": pa.string(),
    "network": pa.string(),
    "shift": pa.string(),
    **_option_columns(ShiftParameters),  # null where the shift does not use them
    "intervention": pa.string(),
    **_option_columns(InterventionParameters),  # null where the intervention does not use them
    # options of plugins, as intervention:clipped:clip_at=0.1,...
    "plugin_options": pa.string(),
    "seed": pa.int64(),
}

#: The snapshot that a ticket, overlap or ticket stream comes from.
_SNAPSHOT = {
    "stream_run_id": pa.string(),
    "task": pa.int64(),  # of the snapshot
    "sparsity": pa.float64(),  # target fraction of the weights removed
    "search_task": pa.string(),  # own, probe: on which task its tickets were searched
}

#: The stream or ticket stream whose continual learning a row describes.
_LEARNER = {
    "subnetwork": pa.string(),  # dense; in a ticket stream also ticket, random, reinit
    "stream_run_id": pa.string(),  # its own run_id for a stream
    "snapshot": pa.int64(),  # task of the snapshot that a ticket stream starts from, or null
    "sparsity": pa.float64(),  # of its subnetwork, or null
    "ticket": pa.int64(),  # which ticket or random draw, or null
}

_LIKENESS = {
    "jaccard": pa.float64(),
    "chance": pa.float64(),
    "corrected": pa.float64(),  # (jaccard - chance) / (1 - chance)
}

#: Table name -> column name -> Arrow type. One row per: finished run (runs), run and task
#: (tasks), snapshot, layer and metric (plasticity), snapshot or fresh network and probe task
#: (probes), snapshot and pair of its copies, or search and pair of its tickets (barriers), copy of
#: a snapshot, sparsity, epoch and what a mask is compared with (mask_distances), snapshot,
#: sparsity, ticket and round (tickets), snapshot, sparsity, pair of masks and layer (overlaps),
#: snapshot, sparsity, selection and layer (plastic_parameters), snapshot and sparsity (snapshots).
#: Fractions, accuracies among them, lie in [0, 1]; losses are in nats, in
#: regression squared errors.
SCHEMAS: dict[str, dict[str, pa.DataType]] = {
    "runs": {
        **IDENTITY,
        # stream, probes, retrainings, measurement, tickets, ticket_barriers, ticket_stream,
        # ticket_measurement
        "kind": pa.string(),
        "status": pa.string(),  # finished, diverged, failed
        "error": pa.string(),  # why it failed
        "notes": pa.string(),  # what could not be measured or done, and why; "; " between two
        "stream_run_id": pa.string(),  # its own run_id for a stream
        "protocol": pa.string(),  # equal for runs that can be compared: see config/runs.py
        **_option_columns(
            StreamRun,
            ProbeRun,
            RetrainingRun,
            MeasurementRun,
            TicketsRun,
            TicketBarrierRun,
            TicketStreamRun,
        ),
        "training_steps": pa.int64(),
        "seconds": pa.float64(),  # wall-clock in the trial, all attempts together
        "training_seconds": pa.float64(),  # of these, inside the training loop
        "plasticity_seconds": pa.float64(),  # of these, measuring networks
        "started": pa.timestamp("us", tz="UTC"),
        "device_used": pa.string(),
        "engine_used": pa.string(),  # generic, fast, stacked; several with a comma between them
        # JSON: table -> [rows that the run has there, digest of its file there]; artifact -> its
        # fingerprint (raylot/storage/checksum.py)
        "files": pa.string(),
        "inputs": pa.string(),  # JSON: artifact of another run it started from -> its fingerprint
        "raylot_version": pa.string(),
        "torch_version": pa.string(),
        "ray_version": pa.string(),
        # git's digits, with -dirty at the end if tracked files differed; null outside of a clone
        "raylot_commit": pa.string(),
        "plugin_commits": pa.string(),  # of each plugin used, as mine.py:1f2e...-dirty,other.py:...
        "host": pa.string(),  # the machine that computed the run, or the last part of it
        "cpu_model": pa.string(),
        "cpu_threads": pa.int64(),  # that the machine has, not that the run used
    },
    "tasks": {
        **IDENTITY,
        "task": pa.int64(),
        **_LEARNER,
        "train_loss": pa.float64(),
        "online_accuracy": pa.float64(),
        "test_loss": pa.float64(),
        "test_accuracy": pa.float64(),
        "learning_speed": pa.float64(),
    },
    "plasticity": {
        **IDENTITY,
        "task": pa.int64(),
        **_LEARNER,
        "layer": pa.string(),
        "metric": pa.string(),
        # options that decide its value, as "probe_size=512, sharpness_iterations=20", and the hash
        # of a plugin's code as "code=..."; null where none does
        "setting": pa.string(),
        "value": pa.float64(),
    },
    "probes": {
        **IDENTITY,
        "stream_run_id": pa.string(),
        "task": pa.int64(),  # of the snapshot; null for a fresh network
        "trained": pa.string(),  # snapshot, fresh
        "probe_shift": pa.string(),
        "probe_task": pa.int64(),  # counted from 0
        "final_train_loss": pa.float64(),  # on the training split, after the training
        "train_loss": pa.float64(),  # online, over all epochs
        "online_accuracy": pa.float64(),
        "test_loss": pa.float64(),
        "test_accuracy": pa.float64(),
        "learning_speed": pa.float64(),
    },
    "barriers": {
        **IDENTITY,
        "stream_run_id": pa.string(),
        "task": pa.int64(),  # of the snapshot
        "trained": pa.string(),  # snapshot: two copies of it; ticket: two of its tickets
        "pair": pa.int64(),  # counted from 0
        # of tickets only
        "sparsity": pa.float64(),
        "search_task": pa.string(),
        "ticket_a": pa.int64(),
        "ticket_b": pa.int64(),
        **_LIKENESS,  # of their masks
        # of both: means of the two trained networks; the test error is a fraction of the test split
        **dict.fromkeys(("test_error", "test_loss", "train_loss"), pa.float64()),
        # the highest along the line between the two minus that mean
        **dict.fromkeys(
            ("test_error_barrier", "test_loss_barrier", "train_loss_barrier"), pa.float64()
        ),
    },
    "mask_distances": {
        **IDENTITY,
        "stream_run_id": pa.string(),
        "task": pa.int64(),  # of the snapshot
        "sparsity": pa.float64(),  # of the masks of the largest magnitudes
        "scope": pa.string(),  # layer, global: among which weights these are the largest
        "copy": pa.int64(),  # of the snapshot; pair p is of copies 2p and 2p + 1
        "epoch": pa.int64(),  # after which the mask was drawn; 0: before the training
        # before: the mask an epoch before; final: that after the last epoch; other: of the two
        # copies of a pair, both after the last epoch
        "compared_with": pa.string(),
        "distance": pa.float64(),  # share of all prunable weights that are in one mask alone
        "chance": pa.float64(),  # of random masks of the same layer densities
    },
    "tickets": {
        **IDENTITY,
        **_SNAPSHOT,
        "control": pa.string(),  # ticket (no control), dense, untrained, random, rewired, reinit,
        # supermask (a ticket that is not trained)
        "ticket": pa.int64(),
        "round": pa.int64(),  # times its mask was pruned
        "density": pa.float64(),
        "train_loss": pa.float64(),
        "online_accuracy": pa.float64(),
        "test_loss": pa.float64(),
        "test_accuracy": pa.float64(),
        "test_examples": pa.int64(),
        # last round of a ticket only; null where it is not judged
        "wins": pa.bool_(),
    },
    "overlaps": {
        **IDENTITY,
        **_SNAPSHOT,
        "layer": pa.string(),  # all: over the whole network
        "compared_with": pa.string(),  # ticket b; or untrained: the untrained mask of ticket b
        "ticket_a": pa.int64(),
        "ticket_b": pa.int64(),
        **_LIKENESS,
        # of two tickets: chance level of what each shares with its untrained mask
        "chance_untrained": pa.float64(),
        "beyond_untrained": pa.float64(),  # (jaccard - this) / (1 - this)
        # of two tickets, whole networks: after the hidden units of one are matched
        "jaccard_matched": pa.float64(),
    },
    "plastic_parameters": {
        **IDENTITY,
        **_SNAPSHOT,
        "protocol": pa.string(),
        "rounds": pa.int64(),
        "tickets": pa.int64(),  # K
        "layer": pa.string(),  # all: over the whole network
        "selection": pa.string(),  # of the K tickets: first, union, intersection
        "density": pa.float64(),  # of the plastic parameters
        "selection_density": pa.float64(),  # of what they are compared with
        **_LIKENESS,
    },
    "snapshots": {
        **IDENTITY,
        **_SNAPSHOT,
        "protocol": pa.string(),
        "rounds": pa.int64(),
        "density": pa.float64(),
        "tickets": pa.int64(),
        "tolerance": pa.float64(),  # of the verdict which tickets win
        "test_examples": pa.int64(),  # which that verdict needs
        "winning_tickets": pa.int64(),  # null where it is not judged
        "ticket_count": pa.float64(),
        "winning_ticket_count": pa.float64(),
        "overlap_mean": pa.float64(),
        "overlap_std": pa.float64(),
        "overlap_chance": pa.float64(),
        "overlap_corrected": pa.float64(),
        "overlap_matched": pa.float64(),
        "overlap_untrained": pa.float64(),
        "overlap_beyond_untrained": pa.float64(),
        "dense_accuracy": pa.float64(),
        "ticket_accuracy": pa.float64(),
        "untrained_accuracy": pa.float64(),
        "random_accuracy": pa.float64(),
        "rewired_accuracy": pa.float64(),
        "reinit_accuracy": pa.float64(),
        "supermask_accuracy": pa.float64(),
        # in regression, in place of these: test losses
        "dense_loss": pa.float64(),
        "ticket_loss": pa.float64(),
        "untrained_loss": pa.float64(),
        "random_loss": pa.float64(),
        "rewired_loss": pa.float64(),
        "reinit_loss": pa.float64(),
        "supermask_loss": pa.float64(),
        # the stream's own performance on the snapshot's task
        **dict.fromkeys(PERFORMANCE, pa.float64()),
    },
}


def identity_columns(run: StreamRun) -> dict[str, Any]:
    """Returns the columns that begin every row of a run."""
    unused = run.unused_options
    return {name: None if name in unused else getattr(run, name) for name in IDENTITY}


def option_values(run: StreamRun) -> dict[str, Any]:
    """Returns a run's options as values of ``runs``: lists as ``256,256``, unused options null."""
    values: dict[str, Any] = dict.fromkeys(run.unused_options)
    for name, value in run.model_dump(mode="json", exclude=run.unused_options).items():
        values[name] = ",".join(map(str, value)) if isinstance(value, list) else value
    return values
