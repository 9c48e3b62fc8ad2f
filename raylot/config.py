"""Validated configuration: one pydantic model per concept, and the runs and studies made of them.

Every option has one name everywhere: as a field here, as a ``--command-line-option``, as a key of
a YAML file, as a key of a Ray Tune search space and as a column of the ``runs`` table.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from raylot.options import Options, option, parse_integers, parse_list, parse_rounds

_Integers = BeforeValidator(parse_integers)
_List = BeforeValidator(parse_list)
Sparsity = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Rounds = Annotated[int, Field(ge=1, le=1000)]
ShiftType = Literal["permuted_pixels", "permuted_labels", "stationary"]

#: Training examples of each data set, known without loading it.
TRAINING_EXAMPLES = {"digits": 1437, "mnist": 60000}


# ------------------------------------------------------------------ one model per concept


class DataOptions(Options):
    """Which images."""

    dataset: Literal["digits", "mnist"] = option(
        "digits",
        "data set: scikit-learn's 8x8 digits (embedded) or MNIST (needs data_root)",
    )
    scaling: Literal["raw", "unit", "standardize"] = option(
        "raw",
        "inputs as stored (0-16 for digits, 0-255 for mnist), divided by their maximum, "
        "or with the training split's mean 0 and standard deviation 1",
    )
    data_root: Path | None = option(
        None,
        "folder that holds MNIST in torchvision's layout (MNIST/raw/...)",
        accepts="a folder that holds MNIST/raw/train-images-idx3-ubyte and its three siblings",
        identity=False,
    )
    download: bool = option(
        False, "download MNIST into data_root if it is not there", identity=False
    )

    @field_validator("data_root")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """A trial works in a folder of its own, where a relative path would lead elsewhere."""
        return None if value is None else value.expanduser().resolve()


class ShiftOptions(Options):
    """How tasks change along the stream."""

    shift: ShiftType = option(
        "permuted_pixels", "what changes from task to task; stationary is the control"
    )


class InterventionOptions(Options):
    """What is done to keep plasticity."""

    intervention: Literal["none"] = option(
        "none", "method that is meant to keep plasticity", off="none"
    )


class NetworkOptions(Options):
    """Which network."""

    network: Literal["mlp"] = option("mlp", "architecture: a ReLU multilayer perceptron")
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1, le=65536)], ...], _Integers, Field(min_length=1)
    ] = option(
        (64,),
        "units of each hidden layer, first to last",
        accepts="one or more whole numbers in [1, 65536], as 256 or 100,100",
    )


class OptimizerOptions(Options):
    """How weights move."""

    optimizer: Literal["adam", "sgd"] = option("adam", "optimizer")
    lr: float = option(1e-3, "learning rate", gt=0, le=100)
    momentum: float = option(0.0, "momentum of sgd", ge=0, lt=1)
    weight_decay: float = option(
        0.0, "weight decay, added to the gradient as torch.optim does", ge=0, le=100
    )

    @model_validator(mode="after")
    def _momentum_needs_sgd(self) -> Self:
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum={self.momentum}: must be 0 unless optimizer is sgd")
        return self


class TrainingOptions(OptimizerOptions):
    """How one network is trained on one task."""

    epochs: int = option(10, "passes over each task's training split", ge=1, le=100_000)
    batch_size: int = option(32, "examples per training step", ge=1, le=1_000_000)
    device: Literal["auto", "cpu", "cuda"] = option(
        "auto", "where to train; auto is a GPU if the trial was granted one", identity=False
    )


class StreamOptions(Options):
    """How long the stream is, and where it is looked at."""

    tasks: int = option(31, "tasks in the stream", ge=1, le=1_000_000)
    snapshots: Annotated[tuple[int, ...], _Integers, Field(min_length=1)] = option(
        "0-:10",
        "tasks before which a snapshot is taken; its tickets are searched on that task",
        accepts="task numbers from 0 to tasks - 1, each once, as 0,10,20 or 0-20:10 or 0-:10",
    )
    carry_optimizer: bool = option(
        False, "carry the optimizer's state from task to task instead of starting it afresh"
    )

    @field_validator("snapshots", mode="before")
    @classmethod
    def _close_open_ranges(cls, value: Any, info: Any) -> Any:
        """``"0-:10"`` means up to the last task."""
        if isinstance(value, str) and "tasks" in info.data:
            parts = value.replace(",", " ").split()
            return " ".join(p.replace("-:", f"-{info.data['tasks'] - 1}:") for p in parts)
        return value

    @field_validator("snapshots")
    @classmethod
    def _within_stream(cls, value: tuple[int, ...], info: Any) -> tuple[int, ...]:
        tasks = info.data.get("tasks", math.inf)
        if len(set(value)) < len(value) or any(not 0 <= task < tasks for task in value):
            raise ValueError(f"must be task numbers from 0 to {tasks - 1}, each once")
        return tuple(sorted(value))


class PlasticityOptions(Options):
    """How a snapshot's plasticity is measured."""

    probe_size: int = option(
        512, "training inputs of the new task on which activations are measured", ge=2, le=60000
    )
    dormant_threshold: float = option(
        0.025, "tau: a unit is dormant if its mean |activation| is at most this share of "
        "its layer's mean (Sokar et al. 2023)", ge=0, le=1,
    )  # fmt: skip
    trainability_gap: bool = option(
        True, "train a fresh network on each snapshot's task too, to measure the trainability gap"
    )


class PruningOptions(Options):
    """How a ticket is searched (iterative magnitude pruning)."""

    scope: Literal["layer", "global"] = option(
        "layer", "rank weights within each layer, or over all layers"
    )
    masked: Literal["zero", "freeze"] = option(
        "zero", "pruned weights are 0 for good, or stay at their value in the snapshot"
    )


class TicketOptions(PruningOptions):
    """How many tickets and controls are searched per snapshot and sparsity."""

    tickets: int = option(
        4, "tickets per snapshot and sparsity; they differ in data order", ge=1, le=1000
    )
    random_masks: int | None = option(
        None,
        "random masks of the same layer densities, as control; none given: as many as tickets",
        accepts="a whole number in [0, 1000]",
        ge=0,
        le=1000,
    )
    tolerance: float = option(
        0.01, "a ticket wins if its test accuracy is at most this much (as a fraction of 1) "
        "below the dense network's, and above every random mask's", ge=0, le=1,
    )  # fmt: skip


class TicketSearchOptions(TrainingOptions, TicketOptions):
    """The whole search for the tickets of one snapshot at one sparsity."""

    sparsity: Sparsity = option(0.8, "target fraction of the weights removed")
    rounds: int | None = option(
        None,
        "pruning rounds; none given: 20% of the survivors per round",
        accepts="a whole number in [1, 1000]",
        ge=1,
        le=1000,
    )

    @field_validator("rounds")
    @classmethod
    def _customary_rounds(cls, value: int | None, info: Any) -> int | None:
        if value is None and "sparsity" in info.data:
            return customary_rounds(info.data["sparsity"])
        return value

    @property
    def round_count(self) -> int:
        assert self.rounds is not None, "filled in when the options were validated"
        return self.rounds

    @property
    def random_mask_count(self) -> int:
        return self.tickets if self.random_masks is None else self.random_masks

    @property
    def trainings(self) -> int:
        """Networks trained: each ticket densely and after each round, and the random masks."""
        return self.tickets * (self.round_count + 1) + self.random_mask_count


# ------------------------------------------------------------------ runs: what one trial computes


class SeedOptions(Options):
    """What decides every random draw."""

    seed: int = option(0, "seed of every random draw", ge=0, le=2**63 - 1)


class StreamRun(
    SeedOptions,
    DataOptions,
    ShiftOptions,
    NetworkOptions,
    InterventionOptions,
    TrainingOptions,
    StreamOptions,
    PlasticityOptions,
):
    """One network's life along one stream of tasks."""

    kind: ClassVar[str] = "stream"

    @model_validator(mode="after")
    def _probe_fits(self) -> Self:
        examples = TRAINING_EXAMPLES[self.dataset]
        if self.probe_size > examples:
            raise ValueError(
                f"probe_size={self.probe_size}: must be at most {examples}, "
                f"the training examples of {self.dataset}"
            )
        return self

    @property
    def stream(self) -> StreamRun:
        """The stream run that this run stands on: itself."""
        return self

    @functools.cached_property
    def run_id(self) -> str:
        return _short_hash({"kind": self.kind, **self.identity()})

    @property
    def training_steps_per_task(self) -> int:
        return self.epochs * math.ceil(TRAINING_EXAMPLES[self.dataset] / self.batch_size)

    @property
    def training_steps(self) -> int:
        """Training steps of the whole run, the fresh networks' included."""
        fresh = len(self.snapshots) if self.trainability_gap else 0
        return (self.tasks + fresh) * self.training_steps_per_task

    @property
    def protocol(self) -> str:
        """Short hash of all options but those that a sweep compares: equal for comparable runs."""
        values = self.identity()
        for name in PROTOCOL_EXCLUDES & values.keys():
            del values[name]
        return _short_hash(values)

    @property
    def label(self) -> str:
        return f"{self.kind} seed={self.seed} {self.shift}"


class TicketsRun(StreamRun, TicketSearchOptions):
    """All tickets of one snapshot of one stream at one sparsity."""

    kind: ClassVar[str] = "tickets"

    task: int = option(0, "the snapshot's task", ge=0)

    @model_validator(mode="after")
    def _task_has_a_snapshot(self) -> Self:
        if self.task not in self.snapshots:
            raise ValueError(f"task={self.task}: must be one of the snapshots {self.snapshots}")
        return self

    @functools.cached_property
    def stream(self) -> StreamRun:
        """The stream run whose snapshot this run starts from."""
        return StreamRun(**self.model_dump(include=set(StreamRun.model_fields)))

    @functools.cached_property
    def run_id(self) -> str:
        own = {k: v for k, v in self.identity().items() if k not in StreamRun.model_fields}
        return _short_hash({"kind": self.kind, "stream": self.stream.run_id, **own})

    @property
    def training_steps(self) -> int:
        return self.trainings * self.training_steps_per_task

    @property
    def label(self) -> str:
        return f"{super().label} task={self.task} sparsity={self.sparsity:g}"


#: What a sweep compares; everything else makes two runs incomparable.
PROTOCOL_EXCLUDES = {"seed", "shift", "intervention", "task", "sparsity", "rounds"}


def customary_rounds(sparsity: float) -> int:
    """Rounds that remove about 20% of the survivors each (Frankle & Carbin 2019); at least 1."""
    return max(1, round(math.log(1 - sparsity) / math.log(0.8)))


# ------------------------------------------------------------------ a study: what one sweep covers


class SearchOptions(Options):
    """What is varied."""

    seeds: Annotated[tuple[Seed, ...], _Integers, Field(min_length=1)] = option(
        "0-4",
        "seeds, each a replicate",
        accepts="whole numbers from 0, each once, as 0-9 or 0,3,5",
    )
    shifts: Annotated[tuple[ShiftType, ...], _List, Field(min_length=1)] = option(
        ("permuted_pixels", "stationary"),
        "shift types to compare",
        accepts=f"one or more of {', '.join(get_args(ShiftType))}, each once",
    )
    sparsities: Annotated[tuple[Sparsity, ...], _List, Field(min_length=1)] = option(
        (0.8, 0.9),
        "target fractions of weights removed",
        accepts="one or more numbers in [0, 1), each once, as 0.8,0.9",
    )
    rounds: Annotated[Rounds | dict[Sparsity, Rounds] | None, BeforeValidator(parse_rounds)] = (
        option(
            None,
            "pruning rounds, for all sparsities or one per sparsity; "
            "auto: 20% of the survivors per round",
            accepts="a whole number in [1, 1000], one per sparsity as 0.8:3,0.9:5, or auto",
        )
    )

    @field_validator("seeds", "shifts", "sparsities")
    @classmethod
    def _each_once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(value)) < len(value):
            raise ValueError("given twice")
        return value


class SweepOptions(Options):
    """Where a sweep runs and what it may use; none of it changes results."""

    storage: str | None = option(
        None,
        "folder or URI (s3://bucket/...) for all results; none given: results/NAME",
        accepts="a folder that can be written, or a URI",
        min_length=1,
    )
    name: str | None = option(
        None, "name of the study, part of its folder's name",
        accepts="letters, digits, '-', '_' and '.'", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
    )  # fmt: skip
    address: str | None = option(
        None, "address of a running Ray cluster (auto, or host:port); none given: as Ray decides, "
        "that is RAY_ADDRESS, a cluster running on this machine, or a new one",
    )  # fmt: skip
    cpus_per_trial: float = option(1, "CPU cores that a trial reserves", gt=0, le=4096)
    gpus_per_trial: float = option(
        0, "GPUs that a trial reserves; fractions share one", ge=0, le=4096
    )
    max_concurrent: int | None = option(
        None, "trials running at once; none given: as many as fit",
        accepts="a whole number from 1", ge=1,
    )  # fmt: skip
    max_failures: int = option(
        3, "times a run is continued after its worker or node was lost", ge=0, le=1000
    )
    save_interval: float = option(
        5.0, "seconds between saves of a running trial's state; 0: after every step", ge=0, le=86400
    )


class Study(
    DataOptions,
    NetworkOptions,
    InterventionOptions,
    TrainingOptions,
    StreamOptions,
    PlasticityOptions,
    TicketOptions,
    SearchOptions,
    SweepOptions,
):
    """Everything that one command runs: the options of its runs, what is varied, and where."""

    @model_validator(mode="after")
    def _runs_are_valid(self) -> Self:
        self.stream_run()
        return self

    @model_validator(mode="after")
    def _cuda_needs_a_gpu(self) -> Self:
        if self.device == "cuda" and not self.gpus_per_trial:
            raise ValueError("device=cuda: must go with gpus_per_trial greater than 0")
        return self

    @model_validator(mode="after")
    def _rounds_fit(self) -> Self:
        if isinstance(self.rounds, dict) and not set(self.rounds) & set(self.sparsities):
            raise ValueError(
                f"rounds={self.rounds}: must be for one of the sparsities {self.sparsities}"
            )
        return self

    def rounds_for(self, sparsity: float) -> int:
        """Pruning rounds at a sparsity; a table of rounds that lacks it means the customary."""
        rounds = self.rounds.get(sparsity) if isinstance(self.rounds, dict) else self.rounds
        return customary_rounds(sparsity) if rounds is None else rounds

    def stream_run(self, **searched: Any) -> StreamRun:
        """The stream run with these searched options."""
        shared = self.model_dump(include=set(StreamRun.model_fields))
        return StreamRun.checked(**{**shared, **searched})

    def tickets_run(self, **searched: Any) -> TicketsRun:
        """The tickets run with these searched options."""
        shared = self.model_dump(include=set(TicketsRun.model_fields) - {"rounds"})
        if "rounds" not in searched:
            searched["rounds"] = self.rounds_for(searched["sparsity"])
        return TicketsRun.checked(**{**shared, **searched})


PRESETS: dict[str, dict[str, Any]] = {
    # Small enough for a laptop; raw pixels and this learning rate were chosen because plasticity is
    # then lost, with each of seeds 0 to 4, within 31 tasks.
    "default": {
        "dataset": "digits",
        "scaling": "raw",
        "hidden": "64",
        "lr": 0.005,
        "epochs": 4,
        "tasks": 31,
        "snapshots": "0-:10",
        "tickets": 4,
        "rounds": 3,
        "sparsities": "0.8,0.9",
        "shifts": "permuted_pixels,stationary",
        "seeds": "0-4",
    },
    # The protocol of "Loss of Plasticity and Winning Lottery Tickets" (ETH Zürich, 2024-2025;
    # GitHub: benny-lo/loss-of-plasticity).
    "original": {
        "dataset": "mnist",
        "scaling": "raw",
        "shifts": "permuted_pixels",
        "hidden": "256",
        "optimizer": "adam",
        "lr": 0.001,
        "batch_size": 32,
        "epochs": 10,
        "tasks": 501,
        "snapshots": "0-:50",
        "tickets": 10,
        "random_masks": 10,
        "scope": "layer",
        "masked": "freeze",
        "sparsities": "0.8,0.9,0.95",
        "rounds": "0.8:3,0.9:5,0.95:10",
        "seeds": "0",
    },
}


# ------------------------------------------------------------------ identity


def _short_hash(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
