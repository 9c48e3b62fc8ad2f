"""Why the stacked engine cannot train some jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from raylot.config import OptimizerOptions
from raylot.networks.copies import copied
from raylot.networks.hooked import has_hooks
from raylot.training.evaluation import begin_training
from raylot.training.job import TrainingJob
from raylot.training.stacked.forward import stacked_logits

#: What all jobs of a stack have in common; states and values of parameters may differ.
_ALIKE: dict[str, Callable[[TrainingJob], object]] = {
    "architectures": lambda job: (type(job.network), repr(job.network)),
    "parameters": lambda job: [
        (name, p.shape, p.dtype, p.requires_grad) for name, p in job.network.named_parameters()
    ],
    "training modes": lambda job: [module.training for module in job.network.modules()],
    "devices": lambda job: {p.device for p in job.network.parameters()},
    "epochs": lambda job: job.epochs,
    "batch sizes": lambda job: job.batch_size,
    "drop_last": lambda job: job.drop_last,
    "max_steps": lambda job: job.max_steps,
    "learning_curve": lambda job: job.learning_curve,
    "optimizers": lambda job: [
        getattr(job.optimizer, option) for option in OptimizerOptions.model_fields
    ],
    "optimizer steps taken before": lambda job: float((job.optimizer_state or {}).get("step", 0)),
    "input shapes": lambda job: job.task.input_shape,
    "input types": lambda job: (job.task.train_inputs.dtype, job.task.test_inputs.dtype),
    "scalings": lambda job: (job.task.offset, job.task.divisor),
    "numbers of training examples": lambda job: len(job.task.train_labels),
    "numbers of test examples": lambda job: len(job.task.test_labels),
}


def why_not(jobs: Sequence[TrainingJob]) -> str | None:
    """Returns why jobs cannot be stacked, in a few words to follow "because of"; None if they can.

    Networks have the same architecture if they have the same class and print alike: then the same
    function has built them with the same arguments.
    """
    for job in jobs:
        if job.optimizer.optimizer == "rmsprop":  # PyTorch has no fused one
            return "optimizer rmsprop"
        if extras := job.optimizer.extras:
            return extras[0]
        if job.intervention is not None:
            return "an intervention"
        if job.after_epoch is not None:
            return "a training that may end early"
        if job.fading is not None:
            return "a task that fades out"
        if job.task.is_regression:
            return "a regression task"
        if job.task.shown is not None:
            return "a head that grows"
        if any(True for _ in job.network.buffers()):
            return "a network with running statistics or other buffers"
        if has_hooks(job.network):
            return "hooks on a network"
        if _shares_weights(job.network):
            return "a network with a weight in several places"
    if len({id(job.network) for job in jobs}) < len(jobs):
        return "one network in several jobs"
    for name, value in _ALIKE.items():
        if any(value(job) != value(jobs[0]) for job in jobs[1:]):
            return f"different {name}"
    return _why_not_vectorised(jobs[0]) if jobs else None


def _shares_weights(network: nn.Module) -> bool:
    """Whether a weight has several places: functional_call spoils it (pytorch issue 164759)."""
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    return len(names) > len(list(network.parameters()))


@torch.no_grad()
def _why_not_vectorised(job: TrainingJob) -> str | None:
    """Tries a forward pass of a copy of the network, with two members and two examples."""
    task = job.task
    inputs = task.scale(task.train_inputs[:2]).expand(2, 2, *task.input_shape)
    try:
        network = copied(job.network)
        begin_training(network)
        before = _attributes(network)
        parameters = {n: p.expand(2, *p.shape) for n, p in network.named_parameters()}
        stacked_logits(network, parameters, inputs)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return "a network with dropout or another operation that torch.vmap does not take"
    after = _attributes(network)
    if before.keys() != after.keys() or any(after[name] is not before[name] for name in after):
        # All members share the attributes of one network, and a captured step cannot change them.
        return "a network that changes its own attributes"
    return None


def _attributes(network: nn.Module) -> dict[str, object]:
    return {
        f"{name}.{attribute}": value
        for name, module in network.named_modules()
        for attribute, value in vars(module).items()
    }
