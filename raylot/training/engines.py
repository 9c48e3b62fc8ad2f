"""Which engine trains a job: the fastest one that does all it asks for, unless one is named."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from raylot.config import OptimizerOptions
from raylot.data import Task
from raylot.randomness import RandomKey
from raylot.training import generic
from raylot.training.flat import Masks
from raylot.training.hooks import Intervention
from raylot.training.job import TrainingJob, TrainingResult


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
    )
    return generic.train(job)
