"""Every column of the result tables: its type, what it holds, its unit and its range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import UnionType
from typing import Any, get_args

import pyarrow as pa
from pydantic.fields import FieldInfo

from raylot.config import RUNS
from raylot.config.intervention_options import InterventionParameters
from raylot.config.options import Options
from raylot.config.shift_options import ShiftParameters

_NUMBERS: dict[Any, pa.DataType] = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}

#: A stream has a million tasks at most, and a ticket stream as many again.
_LAST_TASK = 2_000_000
_MANY = 1_000_000


@dataclass(frozen=True)
class Column:
    """A column of a result table.

    Attributes:
        type: Arrow's type.
        meaning: what it holds, with its unit, and when it is null.
        low: the least value; None: there is none, or values are no numbers.
        high: the largest value.
        option: the option whose value it holds; None: it holds none.
    """

    type: pa.DataType
    meaning: str
    low: float | None = None
    high: float | None = None
    option: FieldInfo | None = None


def _text(meaning: str) -> Column:
    return Column(pa.string(), meaning)


def _count(meaning: str, low: float = 0, high: float = _MANY) -> Column:
    return Column(pa.int64(), meaning, low, high)


def _share(meaning: str) -> Column:
    return Column(pa.float64(), meaning, 0, 1)


def _loss(meaning: str) -> Column:
    """A cross-entropy in nats; in regression a squared error; inf in a training that diverged."""
    return Column(pa.float64(), f"{meaning}, in nats; in regression the squared error", 0, math.inf)


def _corrected(meaning: str) -> Column:
    """1: equal; 0: as alike as by chance; below 0: less."""
    return Column(pa.float64(), meaning, -math.inf, 1)


def _seconds(meaning: str) -> Column:
    return Column(pa.float64(), f"{meaning}, in seconds", 0, math.inf)


def _options(*models: type[Options]) -> dict[str, Column]:
    """Returns a column for each option: numbers, also optional ones, by their type; else text."""
    columns = {}
    for name, field in (item for model in models for item in model.model_fields.items()):
        declared = field.annotation
        kinds = {*get_args(declared)} if isinstance(declared, UnionType) else {declared}
        numbers = [_NUMBERS.get(kind) for kind in kinds - {type(None)}]
        dtype = numbers[0] if len(numbers) == 1 and numbers[0] else pa.string()
        columns[name] = Column(dtype, field.description or "", option=field)
    return columns


#: What tells a run from those that it is compared with: without parameters, two doses look alike.
IDENTITY = {
    "run_id": _text("the run that wrote the row"),
    "dataset": _text("name of the data set"),
    "network": _text("name of the architecture"),
    "shift": _text("what changes from task to task"),
    **_options(ShiftParameters),
    "intervention": _text("the method that keeps plasticity"),
    **_options(InterventionParameters),
    "plugin_options": _text(
        "options of plugins that the run uses, as `intervention:clip:clip_at=0.1,...`"
    ),
    "seed": Column(pa.int64(), "seed of the run", 0, 2**63),
}

_TASK = _count("task before which the snapshot was taken", high=_LAST_TASK)
_SPARSITY = _share("target share of the weights removed")
_STREAM = _text("the stream whose snapshot this is")

#: The snapshot that a ticket, overlap or ticket stream comes from.
_SNAPSHOT = {
    "stream_run_id": _STREAM,
    "task": _TASK,
    "sparsity": _SPARSITY,
    "search_task": _text("on which task tickets were searched: own or probe"),
}

#: The stream or ticket stream whose continual learning a row describes.
_LEARNER = {
    "subnetwork": _text("dense; in a ticket stream also ticket, random, reinit"),
    "stream_run_id": _text("its stream: its own run_id for a stream"),
    "snapshot": _count(
        "task of the snapshot from which a ticket stream starts; null for a stream",
        high=_LAST_TASK,
    ),
    "sparsity": _share("target sparsity of the subnetwork; null if it is dense"),
    "ticket": _count("which ticket or random draw, from 0; null if it is dense"),
}

_LIKENESS = {
    "jaccard": _share("Jaccard overlap of the two masks: shared survivors / all survivors"),
    "chance": _share("the overlap of random masks of the same layer densities"),
    "corrected": _corrected("(jaccard - chance) / (1 - chance)"),
}

_ONLINE = _share("mean accuracy on each batch before its update; null in regression")
_TEST_ACCURACY = _share("accuracy on the test split after the training; null in regression")
_LEARNING_SPEED = Column(
    pa.float64(),
    "normalised area under the test accuracy's curve over epochs; null in regression",
    -1,
    1,
)
_TRAIN_LOSS = _loss("mean loss of each batch before its update")
_TEST_LOSS = _loss("mean loss on the test split after the training")
_PROTOCOL = _text("equal for runs that can be compared")

_CONTROLS = {
    "dense": "the dense network",
    "ticket": "the tickets",
    "untrained": "the untrained masks",
    "random": "the random masks",
    "rewired": "the rewired masks",
    "reinit": "the re-initialised tickets",
    "supermask": "the supermasks",
}
_NONE = "; null if there are none"

#: Table -> column -> what it is.
COLUMNS: dict[str, dict[str, Column]] = {
    "runs": {
        **IDENTITY,
        "kind": _text(
            "stream, probes, retrainings, measurement, tickets, ticket_barriers, ticket_stream or "
            "ticket_measurement"
        ),
        "status": _text("finished, diverged (a loss was not finite) or failed"),
        "error": _text("why it failed; null if it did not"),
        "notes": _text(
            "what could not be measured or done, and why; `; ` stands between two remarks"
        ),
        "stream_run_id": _text("the stream on which it stands: its own run_id for a stream"),
        "protocol": _PROTOCOL,
        **_options(*RUNS),
        "training_steps": _count("training steps that it took", high=math.inf),
        "seconds": _seconds("wall-clock time in the trial, all attempts together"),
        "training_seconds": _seconds("of these, inside the training loop"),
        "plasticity_seconds": _seconds("of these, measuring networks"),
        "started": Column(pa.timestamp("us", tz="UTC"), "when it started, in UTC"),
        "device_used": _text("cpu, or the GPU's name"),
        "engine_used": _text("generic, fast or stacked; several with a comma between them"),
        "files": _text(
            "JSON: table -> [rows that the run has there, digest of its file there]; artifact -> "
            "its fingerprint (`raylot/storage/checksum.py`)"
        ),
        "inputs": _text("JSON: artifact of another run that it started from -> its fingerprint"),
        "raylot_version": _text("version of raylot"),
        "torch_version": _text("version of PyTorch"),
        "ray_version": _text("version of Ray"),
        "raylot_commit": _text(
            "git's commit of raylot, with -dirty at the end if tracked files differed; null "
            "outside of a clone"
        ),
        "plugin_commits": _text("git's commit of each plugin used, as `mine.py:1f2e...-dirty,...`"),
        "host": _text("the machine that computed the run, or the last part of it"),
        "cpu_model": _text("that machine's processor"),
        "cpu_threads": Column(
            pa.int64(), "threads that the machine has, not that the run used", 0, _MANY
        ),
    },
    "tasks": {
        **IDENTITY,
        "task": _count("task on which the network has been trained, from 0", high=_LAST_TASK),
        **_LEARNER,
        "train_loss": _TRAIN_LOSS,
        "online_accuracy": _ONLINE,
        "test_loss": _TEST_LOSS,
        "test_accuracy": _TEST_ACCURACY,
        "learning_speed": _LEARNING_SPEED,
    },
    "plasticity": {
        **IDENTITY,
        "task": _TASK,
        **_LEARNER,
        "layer": _text("name of the layer; `all`: the whole network"),
        "metric": _text("name of the measure"),
        "setting": _text(
            "options that decide its value, as `probe_size=512, sharpness_iterations=20`, and the "
            "hash of a plugin's code as `code=...`; null where none does"
        ),
        "value": Column(
            pa.float64(),
            "the measure; its unit and range stand in docs/measures.md; NaN if it cannot be "
            "computed, with the reason in the run's notes",
        ),
    },
    "probes": {
        **IDENTITY,
        "stream_run_id": _text("the stream whose snapshot was trained"),
        "task": _count("task of the snapshot; null for a fresh network", high=_LAST_TASK),
        "trained": _text("snapshot or fresh"),
        "probe_shift": _text("the shift that makes the probe tasks"),
        "probe_task": _count("which probe task, from 0"),
        "final_train_loss": _loss("loss on the training split after the training"),
        "train_loss": _TRAIN_LOSS,
        "online_accuracy": _ONLINE,
        "test_loss": _TEST_LOSS,
        "test_accuracy": _TEST_ACCURACY,
        "learning_speed": _LEARNING_SPEED,
    },
    "barriers": {
        **IDENTITY,
        "stream_run_id": _STREAM,
        "task": _TASK,
        "trained": _text("snapshot: two copies of it; ticket: two of its tickets"),
        "pair": _count("which pair, from 0"),
        "sparsity": _share("target sparsity of the tickets; null for copies"),
        "search_task": _text("on which task the tickets were searched; null for copies"),
        "ticket_a": _count("one ticket of the pair; null for copies"),
        "ticket_b": _count("the other ticket; null for copies"),
        **_LIKENESS,
        "test_error": _share("share of the test split that is wrong, mean of the two networks"),
        "test_loss": _loss("loss on the test split, mean of the two networks"),
        "train_loss": _loss("loss on the training split, mean of the two networks"),
        "test_error_barrier": _share("highest test error on the line between the two - that mean"),
        "test_loss_barrier": _loss("highest test loss on the line between the two - that mean"),
        "train_loss_barrier": _loss("highest train loss on the line between the two - that mean"),
    },
    "mask_distances": {
        **IDENTITY,
        "stream_run_id": _STREAM,
        "task": _TASK,
        "sparsity": _share("sparsity of the masks of the largest magnitudes"),
        "scope": _text("layer or global: among which weights these are the largest"),
        "copy": _count("copy of the snapshot; pair p is of copies 2p and 2p + 1"),
        "epoch": _count("after which epoch the mask was drawn; 0: before the training"),
        "compared_with": _text(
            "before: the mask an epoch before; final: that after the last epoch; other: of the two "
            "copies of a pair, both after the last epoch"
        ),
        "distance": _share("share of all prunable weights that are in one mask alone"),
        "chance": _share("that distance of random masks of the same layer densities"),
    },
    "tickets": {
        **IDENTITY,
        **_SNAPSHOT,
        "control": _text(
            "ticket (no control), dense, untrained, random, rewired, reinit, or supermask (a "
            "ticket that is not trained)"
        ),
        "ticket": _count("which ticket, or draw of the control, from 0"),
        "round": _count("times its mask was pruned"),
        "density": _share("share of the prunable weights that survive"),
        "train_loss": _TRAIN_LOSS,
        "online_accuracy": _ONLINE,
        "test_loss": _TEST_LOSS,
        "test_accuracy": _TEST_ACCURACY,
        "test_examples": _count("examples of the test split", 1, math.inf),
        "wins": Column(
            pa.bool_(),
            "whether it is a winning ticket; of a ticket's last round only; null where that is not "
            "judged",
        ),
    },
    "overlaps": {
        **IDENTITY,
        **_SNAPSHOT,
        "layer": _text("name of the layer's weight; `all`: the whole network"),
        "compared_with": _text("ticket: ticket_b; untrained: the untrained mask of ticket_b"),
        "ticket_a": _count("a ticket"),
        "ticket_b": _count("another ticket, or ticket_a's own number"),
        **_LIKENESS,
        "chance_untrained": _share(
            "of two tickets: the chance level of what each shares with its untrained mask"
        ),
        "beyond_untrained": _corrected("of two tickets: (jaccard - that) / (1 - that)"),
        "jaccard_matched": _share(
            "of two tickets, whole networks: the overlap after the hidden units of one are matched "
            "to the other's"
        ),
    },
    "plastic_parameters": {
        **IDENTITY,
        **_SNAPSHOT,
        "protocol": _PROTOCOL,
        "rounds": _count("rounds of pruning", 1, 1000),
        "tickets": _count("number K of tickets"),
        "layer": _text("name of the layer's weight; `all`: the whole network"),
        "selection": _text("of the K tickets: first, union or intersection"),
        "density": _share("density of the plastic parameters"),
        "selection_density": _share("density of what they are compared with"),
        **_LIKENESS,
    },
    "snapshots": {
        **IDENTITY,
        **_SNAPSHOT,
        "protocol": _PROTOCOL,
        "rounds": _count("rounds of pruning", 1, 1000),
        "density": _share("share of the prunable weights that survive in the tickets"),
        "tickets": _count("number K of tickets"),
        "tolerance": Column(
            pa.float64(), "tolerance of the verdict which tickets win, in accuracy", 0, math.inf
        ),
        "test_examples": _count("test examples, which that verdict needs", 1, math.inf),
        "winning_tickets": _count("number of winning tickets; null where that is not judged"),
        "ticket_count": Column(
            pa.float64(), "effective number of distinct tickets (Vendi score)", 0, _MANY
        ),
        "winning_ticket_count": Column(
            pa.float64(), "the same of the winning tickets; null where that is not judged", 0, _MANY
        ),
        "overlap_mean": _share("mean Jaccard overlap of pairs of tickets"),
        "overlap_std": Column(pa.float64(), "standard deviation over these pairs", 0, 1),
        "overlap_chance": _share("mean chance level of these pairs"),
        "overlap_corrected": _corrected("mean chance-corrected overlap of these pairs"),
        "overlap_matched": _share("mean overlap after hidden units are matched"),
        "overlap_untrained": _share("mean overlap of each ticket with its untrained mask"),
        "overlap_beyond_untrained": _corrected(
            "mean overlap of pairs beyond what each ticket shares with its untrained mask"
        ),
        **{
            f"{name}_accuracy": _share(f"test accuracy, mean of {whose}{_NONE * (name != 'dense')}")
            for name, whose in _CONTROLS.items()
        },
        **{
            f"{name}_loss": Column(
                pa.float64(), f"in regression: test loss, mean of {whose}", 0, math.inf
            )
            for name, whose in _CONTROLS.items()
        },
        "test_accuracy": _share("test accuracy of the stream's own network on the snapshot's task"),
        "online_accuracy": _share("its online accuracy on that task"),
        "learning_speed": Column(pa.float64(), "its learning speed on that task", -1, 1),
    },
}
