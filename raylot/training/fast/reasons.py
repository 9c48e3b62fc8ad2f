"""Why the fast engine cannot train a job; asks without importing numba."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn

from raylot.networks.chain import flattens_examples
from raylot.networks.hooked import has_hooks
from raylot.training.hooks import Intervention, Penalty, action_interval, overrides
from raylot.training.job import TrainingJob

#: Fewer steps than this are not worth the way from compiled code to a method and back.
_FEW_STEPS = 32


def why_not(job: TrainingJob) -> str | None:
    """Returns why this engine cannot train a job, whether or not numba works; None if it can."""
    if job.task.train_labels.device.type != "cpu":
        return "it runs on the CPU alone"
    layers = linear_layers(job.network)
    if layers is None:
        return "it is for chains of linear layers with ReLU between them"
    if not _fit(job, layers[0].in_features, layers[-1].out_features):
        return "the task's inputs or labels do not fit the network"
    if job.optimizer.precision != "float32":
        return "it computes in float32 alone"
    if job.intervention is not None and overrides(job.intervention, "watch"):
        return "the intervention may put hooks into the network (see observed_layers)"
    return None


def acts_within_steps(job: TrainingJob) -> bool:
    """Whether anything changes or looks at single steps of a job, but for a penalty."""
    biases = {name for name, p in job.network.named_parameters() if p.dim() == 1}
    return (
        job.optimizer.optimizer == "rmsprop"
        or bool(job.optimizer.extras)
        or job.gradient_products
        or (job.masks is not None and job.gradient_magnitudes)
        or bool(biases & set(job.masks or ()))
        or job.task.shown is not None
        or (job.intervention is not None and _is_within_steps(job.intervention))
    )


def _is_within_steps(method: Intervention) -> bool:
    # At its start, a method may change the optimizer.
    places = ["on_task_start", "after_gradient", "evaluation", "observed_layers"]
    if not is_penalty(method):
        places.append("loss_term")
    if action_interval(method) < _FEW_STEPS:
        places.append("after_step")
    return method.counts_per_weight or any(overrides(method, place) for place in places)


def is_penalty(method: Intervention | None) -> TypeGuard[Penalty]:
    """Whether a method's term of the loss is that of `Penalty`."""
    if not isinstance(method, Penalty):
        return False
    return getattr(method.loss_term, "__func__", None) is Penalty.loss_term


def _fit(job: TrainingJob, inputs: int, outputs: int) -> bool:
    """Whether a task fits a network's sizes; compiled code does not check that."""
    splits = [(job.task.train_inputs, job.task.train_labels)]
    splits.append((job.task.test_inputs, job.task.test_labels))
    if job.fading is not None:
        splits.append((job.fading.train_inputs, job.fading.train_labels))
    return all(
        examples[0].numel() == inputs
        and (examples.dim() == 2 or flattens(job.network))
        and _are_outputs(labels, outputs if job.task.shown is None else job.task.shown)
        for examples, labels in splits
    )


def _are_outputs(labels: Tensor, outputs: int) -> bool:
    """Whether labels are classes or targets of a network with so many outputs."""
    if labels.dim() == 2:
        return labels.shape[1] == outputs
    return int(labels.min()) >= 0 and int(labels.max()) < outputs


def linear_layers(network: nn.Module) -> list[nn.Linear] | None:
    """Returns the linear layers of a chain Flatten, Linear, ReLU, ..., Linear; None for others.

    A chain has at least one hidden layer. All layers have a bias, and all parameters are trainable
    and float32 on the CPU.
    """
    modules = _in_order(network)[1 if flattens(network) else 0 :]
    layers = [module for module in modules[::2] if type(module) is nn.Linear]
    parameters = list(network.parameters())
    in_order = [p for layer in layers for p in (layer.weight, layer.bias)]
    is_chain = (
        len(layers) >= 2
        and len(modules) == 2 * len(layers) - 1
        and all(type(module) is nn.ReLU for module in modules[1::2])
        and all(layer.bias is not None for layer in layers)
        and list(map(id, parameters)) == list(map(id, in_order))  # none shares a parameter
        and all(p.requires_grad and p.dtype == torch.float32 for p in parameters)
        and all(p.device.type == "cpu" for p in parameters)
        and not has_hooks(network)
    )
    return layers if is_chain else None


def flattens(network: nn.Module) -> bool:
    """Whether a chain begins with a layer that flattens its inputs."""
    return any(map(flattens_examples, _in_order(network)[:1]))


def _in_order(network: nn.Module) -> list[nn.Module]:
    if type(network) is nn.Sequential:
        return [inner for module in network for inner in _in_order(module)]
    return [network]
