"""Predicts how long a sweep takes on this machine, from some seconds of its own trainings."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from raylot import interventions, networks
from raylot.config import (
    DataOptions,
    NetworkOptions,
    ProbeRun,
    RetrainingRun,
    StreamRun,
    TicketBarrierRun,
    TicketsRun,
    TicketStreamRun,
)
from raylot.foundation.cores import usable_cores
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import full_masks, independent_masks
from raylot.tasks import Task, datasets, make_task
from raylot.terminal.progress import duration
from raylot.training import train

#: Options that decide how long a training step takes.
_DECISIVE = (
    *DataOptions.model_fields, *NetworkOptions.model_fields, "kind", "shift", "gradual",
    "intervention", "optimizer", "weight_decay", "batch_size", "drop_last", "epochs", "engine",
    "masked", "criterion", "schedule", "label_smoothing", "clip_norm", "augment", "precision",
    "nesterov", "classes_per_task", "new_classes_only",
)  # fmt: skip

#: Seconds of training from which a speed is taken, at least.
_MEASURED_SECONDS = 0.5


@dataclass(frozen=True)
class Speed:
    """How fast a training is.

    Attributes:
        step: seconds per training step.
        evaluation: seconds beside the steps, mostly of an evaluation on the test split.
    """

    step: float
    evaluation: float

    def training(self, steps: int, evaluations: int = 1) -> float:
        """Returns the seconds of one training."""
        return steps * self.step + evaluations * self.evaluation


def predicted(stages: Iterable[Sequence[tuple[StreamRun, int]]], trials_at_once: int | None) -> str:
    """Says how long runs will take, and what that is measured from.

    Args:
        stages: the runs that are left to compute and the training steps left of each, in one list
            for each stage.
        trials_at_once: how many trials Ray runs at the same time; None: runs are computed without
            Ray, one after another.
    """
    known: dict[tuple[object, ...], Speed] = {}

    def speed(run: StreamRun, density: float) -> Speed:
        if isinstance(run, ProbeRun | RetrainingRun):  # its networks train like the stream's
            run = run.stream
        if isinstance(run, TicketBarrierRun):  # and these like the search's
            run = run.search
        kind = (*(getattr(run, name, None) for name in _DECISIVE), density, run.momentum > 0,
                _has_shown_all(run))  # fmt: skip
        if kind not in known:
            known[kind] = measured_speed(run, density)
        return known[kind]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as trials do
    try:
        times = [
            [
                _seconds(run, functools.partial(speed, run)) * left / run.training_steps
                for run, left in runs
                if left
            ]
            for runs in stages
        ]
    finally:
        torch.set_num_threads(threads)
    # A stage takes as long as its longest run, at least.
    elapsed = sum(max(sum(stage) / (trials_at_once or 1), *stage) for stage in times if stage)
    core_hours = sum(map(sum, times)) / 3600
    steps = sorted(1e3 * speed.step for speed in known.values())
    how, more = f"with {trials_at_once} trials at once", "starting Ray, measuring plasticity"
    if trials_at_once is None:
        how, more = "one run after another", "measuring plasticity"
    return (
        f"Predicted: {duration(elapsed)} of training and evaluation {how}, {core_hours:.2g} "
        f"core-hours\n(measured on one core of this machine: {steps[0]:.2g} to {steps[-1]:.2g} ms "
        f"per training step;\n{more} and the analysis come on top, and take most of a small "
        "study's time)."
    )


def trials_on_this_machine(cpus_per_trial: float, max_concurrent: int | None) -> int:
    """Returns how many trials a Ray of this process's own runs at once."""
    fitting = int(usable_cores() / cpus_per_trial)
    return max(1, min(fitting, max_concurrent or fitting))


def _seconds(run: StreamRun, speed: functools.partial[Speed]) -> float:
    """Returns one run's seconds, all its trainings together."""
    steps, dense = run.training_steps_per_task, speed(1.0)
    if isinstance(run, ProbeRun):
        steps = run.steps_per_training
        trainings = run.training_steps // steps
        return trainings * dense.training(steps, run.epochs + 2)
    if isinstance(run, TicketStreamRun):
        is_dense = run.subnetwork == "dense"
        own = dense if is_dense else speed(_density(run, run.round_count))
        return run.ticket_tasks * own.training(steps, run.epochs + 1)
    if isinstance(run, RetrainingRun):
        pairs = run.training_steps // (2 * steps)
        return pairs * (2 * dense.training(steps) + _along(run.barrier_points, dense))
    if isinstance(run, TicketBarrierRun):
        own = speed(_density(run, run.round_count))
        pair = 2 * own.training(run.steps_per_training) + _along(run.barrier_points, dense)
        return run.ticket_pairs * (pair + 2 * run.rewind_steps * dense.step)
    if not isinstance(run, TicketsRun):
        return run.tasks * dense.training(steps, run.epochs + 1)
    steps = run.steps_per_training
    final = _density(run, run.round_count)
    sparse = speed(final)
    measured_apart = run.measures_plasticity_apart
    total = (run.tickets + measured_apart) * dense.training(steps)
    total += run.tickets * run.rewind_steps * dense.step
    if run.criterion_traits.trains_scores:
        total += run.tickets * run.round_count * dense.training(steps)
    for round_index in run.trained_rounds[1:]:
        # Interpolates between the two measured densities, as if time were linear in density.
        share = (_density(run, round_index) - final) / (1 - final) if final < 1 else 0.0
        between = share * dense.training(steps) + (1 - share) * sparse.training(steps)
        total += run.tickets * between
    return total + run.control_count * sparse.training(steps)


def _along(points: int, dense: Speed) -> float:
    """Returns the seconds of evaluating networks between two, on test and training examples."""
    return 2 * points * dense.evaluation


def _density(run: TicketsRun, round_index: int) -> float:
    return float(round((1 - run.sparsity) ** (round_index / run.round_count), 6))


def _typical_task(run: StreamRun) -> int:
    """Returns the number of a task that is like most of those that a run trains on."""
    if run.shift == "class_incremental" and isinstance(run, TicketStreamRun):
        return run.first_task + run.ticket_tasks // 2
    if run.shift == "class_incremental" and isinstance(run, TicketsRun):
        return run.task
    return run.tasks // 2


def _has_shown_all(run: StreamRun) -> bool:
    """Whether that task's loss counts all classes: where it does not, another engine trains."""
    groups = run.facts.classes // run.classes_per_task
    return run.shift != "class_incremental" or _typical_task(run) >= groups - 1


def measured_speed(run: StreamRun, density: float) -> Speed:
    """Measures the speed of a run's network, dense or under random masks of a density."""
    task = make_task(datasets.load(run), run, run.seed, _typical_task(run))
    most = run.training_steps_per_task
    few, many = max(1, most // 10), most
    _timed(run, task, density, few)  # compiles
    once = _timed(run, task, density, few)
    if most * once / few > 2 * _MEASURED_SECONDS:
        many = min(most, few + max(1, int(_MEASURED_SECONDS * few / once)))
    if many == few:
        return Speed(once / few, 0.0)
    repeats = max(1, min(50, int(_MEASURED_SECONDS / (once * many / few))))
    shorter = min(_timed(run, task, density, few) for _ in range(repeats))
    longer = min(_timed(run, task, density, many) for _ in range(repeats))
    # On a busy machine the longer training may take less time than the shorter.
    step = (longer - shorter) / (many - few) if longer > shorter else longer / many
    return Speed(step, max(0.0, shorter - few * step))


def _timed(run: StreamRun, task: Task, density: float, steps: int) -> float:
    """Returns the seconds of one training with one evaluation."""
    key = RandomKey((run.seed, "prediction"))
    network = networks.build(run, task.input_shape, task.outputs, key)
    every = full_masks(network, networks.prunable(run))
    masks = None if density == 1 else independent_masks(every, density, key)
    started = time.perf_counter()
    train(
        network,
        task,
        epochs=run.epochs,
        batch_size=run.batch_size,
        drop_last=run.drop_last,
        optimizer=_on_this_machine(run),
        key=key,
        masks=masks,
        masked=getattr(run, "masked", "zero"),
        previous=None if run.kind == "tickets" else task,  # any will do, as only its size counts
        gradual=run.gradual,
        max_steps=steps,
        gradient_products=masks is None and _measures_gradients(run),
        intervention=interventions.make(run),
        initial=network.state_dict(),
        engine=run.engine,
    )
    return time.perf_counter() - started


def _on_this_machine(run: StreamRun) -> StreamRun:
    """Returns a run in a precision that the CPU has."""
    return run.model_copy(update={"precision": "float32"}) if run.precision == "float16" else run


def _measures_gradients(run: StreamRun) -> bool:
    """Whether a run's criterion needs gradients, which takes a slower engine."""
    return isinstance(run, TicketsRun) and run.criterion_traits.gradients
