"""Which engine trains a job: the fastest one that does all it asks for, unless one is named."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from raylot.config import OptimizerOptions
from raylot.data import Task
from raylot.options import OptionError
from raylot.randomness import RandomKey
from raylot.training import fast, generic
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
    return train_job(job, engine)


def train_job(job: TrainingJob, engine: str = "auto") -> TrainingResult:
    """Trains a job with the engine named, or with the fastest that it is for.

    Args:
        job: what is to be trained.
        engine: ``"auto"``, ``"generic"`` (any network and option) or ``"fast"``.

    Raises:
        OptionError: the engine is not for such a job.
    """
    if engine == "generic":
        return generic.train(job)
    reason = fast.why_not(job)
    if reason is None:
        return fast.train(job)
    if engine == "fast":
        raise OptionError(f"engine=fast: must be auto or generic here, as {reason}")
    return generic.train(job)
