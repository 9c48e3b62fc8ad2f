"""Which engine trains a job: the fastest one that does all it asks for, unless one is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task
from raylot.training import fast, generic, stacked
from raylot.training.flat import Masks
from raylot.training.hooks import Intervention
from raylot.training.job import TrainingJob, TrainingResult


@torch.enable_grad()
def train(
    network: nn.Module,
    task: Task,
    *,
    epochs: int,
    batch_size: int,
    optimizer: OptimizerOptions,
    key: RandomKey,
    masks: Masks | None = None,
    masked: str = "zero",
    optimizer_state: dict[str, Tensor] | None = None,
    learning_curve: bool = False,
    previous: Task | None = None,
    gradual: float = 0.0,
    max_steps: int | None = None,
    gradient_magnitudes: bool = False,
    intervention: Intervention | None = None,
    initial: Mapping[str, Tensor] | None = None,
    whole_task: bool = False,
    drop_last: bool = False,
    engine: str = "auto",
) -> TrainingResult:
    """Trains a network in place on a task's training split; see `TrainingJob` for the arguments."""
    job = TrainingJob(
        network=network,
        task=task,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        key=key,
        masks=masks,
        masked=masked,
        optimizer_state=optimizer_state,
        learning_curve=learning_curve,
        previous=previous,
        gradual=gradual,
        max_steps=max_steps,
        gradient_magnitudes=gradient_magnitudes,
        intervention=intervention,
        initial=initial,
        whole_task=whole_task,
        drop_last=drop_last,
    )
    return train_job(job, engine)


def train_job(job: TrainingJob, engine: str = "auto") -> TrainingResult:
    """Trains one job; see `train_all`."""
    return train_all([job], engine)[0]


def train_all(jobs: Sequence[TrainingJob], engine: str = "auto") -> list[TrainingResult]:
    """Trains jobs with the engine named, or with the fastest that does all they ask for.

    Args:
        jobs: on one device, each with a network of its own.
        engine: ``"auto"``; ``"generic"``: any network and option; ``"fast"``: ReLU MLPs on the CPU;
            ``"stacked"``: all jobs as one computation, meant for GPUs.

    Returns:
        A result per job, in their order; each says which engine it was.

    Raises:
        OptionError: the engine named is not for such jobs, or a network's parameters
            cannot be trained.
    """
    if engine == "stacked" or (engine == "auto" and _stacks(jobs)):
        reason = stacked.why_not(jobs)
        if reason is None:
            return stacked.train_stacked(jobs) if engine == "stacked" else _stacked(jobs)
        if engine == "stacked":
            raise OptionError(f"engine=stacked: must be auto or generic here, because of {reason}")
    return [_trained_alone(job, engine) for job in jobs]


def _stacked(jobs: Sequence[TrainingJob]) -> list[TrainingResult]:
    """All jobs together, or in as many parts as memory needs; a job alone is left to others."""
    starts = [{n: t.to("cpu", copy=True) for n, t in j.network.state_dict().items()} for j in jobs]
    try:
        return stacked.train_stacked(jobs)
    except torch.OutOfMemoryError:
        for job, start in zip(jobs, starts, strict=True):  # some may have been trained already
            job.network.load_state_dict(start)
        if len(jobs) == 1:
            return [_trained_alone(jobs[0], "auto")]
    half = len(jobs) // 2
    return [*_stacked(jobs[:half]), *_stacked(jobs[half:])]


def trains_together(device: torch.device, engine: str) -> bool:
    """Whether `train_all` may train several jobs on a device as one, if given them together."""
    return engine == "stacked" or (engine == "auto" and device.type == "cuda")


def _stacks(jobs: Sequence[TrainingJob]) -> bool:
    return any(trains_together(job.task.train_labels.device, "auto") for job in jobs)


def _trained_alone(job: TrainingJob, engine: str) -> TrainingResult:
    if engine != "generic":
        reason = fast.why_not(job)
        if reason is None:
            return fast.train(job)
        if engine == "fast":
            raise OptionError(f"engine=fast: must be auto or generic here, as {reason}")
    return generic.train(job)
