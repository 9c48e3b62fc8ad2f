"""Checks, before anything trains, that a network can be copied, trained and evaluated."""

from __future__ import annotations

import itertools
from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from raylot.config import TrainingOptions
from raylot.foundation import registry
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.names import module_label
from raylot.networks.copies import copied, copied_with_constants
from raylot.tasks import Task
from raylot.training.evaluation import begin_training
from raylot.training.losses import loss_of

#: Hooks that compute a layer's weight before each forward pass -> the function that removes them.
#: An optimizer does not find such a weight, and such a layer cannot be copied.
_REPARAMETRISATIONS: dict[type, str] = {
    BasePruningMethod: "torch.nn.utils.prune.remove",
    WeightNorm: "torch.nn.utils.remove_weight_norm",
    SpectralNorm: "torch.nn.utils.remove_spectral_norm",
}

#: Examples of a trial step: the fewest that batch normalisation accepts.
_EXAMPLES = 2


def check_parameters(network: nn.Module) -> None:
    """Makes sure that optimizers can train a network's parameters; does not run the network.

    Raises:
        OptionError: they cannot.
    """
    if not isinstance(network, nn.Module):
        raise OptionError(f"network={shown(network)}: must be a torch.nn.Module")
    for name, tensor in itertools.chain(network.named_parameters(), network.named_buffers()):
        if is_lazy(tensor):
            raise OptionError(
                f"network: {name} has no shape yet; call the network on a batch of inputs first"
            )
        if tensor.is_meta:
            raise OptionError(f"network: {name} is on the device meta, so it has no values")
    for name, module in network.named_modules():
        for hook in module._forward_pre_hooks.values():
            for kind, remover in _REPARAMETRISATIONS.items():
                if isinstance(hook, kind):
                    raise OptionError(
                        f"network: {module_label(name, module)} is reparametrised by "
                        f"{type(hook).__name__} of torch.nn.utils; remove that first, with "
                        f"{remover}"
                    )
    trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not trainable:
        raise OptionError("network: must have trainable parameters")
    for name, parameter in trainable.items():
        if parameter.dtype != torch.float32:
            raise OptionError(
                f"network: {name} is {_words(parameter.dtype)}; trainable parameters must be "
                "float32 (network.float() converts them)"
            )
        if parameter._post_accumulate_grad_hooks:
            raise OptionError(
                f"network: {name} has a hook (register_post_accumulate_grad_hook), which training "
                "never calls; remove it"
            )


@torch.enable_grad()
def check_network(
    network: nn.Module, task: Task, options: TrainingOptions, examples: Collection[int] = ()
) -> None:
    """Makes sure that copies of a network can be trained and evaluated on a task.

    Tries two training steps and an evaluation of two examples on a copy. The network itself and the
    global random state stay as they are.

    Args:
        network: any module.
        task: gives the examples and the device.
        options: batch size, and whether smaller batches are left out.
        examples: how many training examples the tasks of the network will have; none: as many as
            this task.

    Raises:
        OptionError: it cannot be copied, trained or evaluated.
    """
    check_parameters(network)
    for name, parameter in network.named_parameters():
        if parameter._backward_hooks:
            raise OptionError(
                f"network: {name} has a hook (register_hook), which copies of the network do not "
                "have; remove it, or do its work in a forward or backward hook of a module"
            )
    device = task.train_labels.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        _try(network, task)
        _try_last_batch(copied(network).to(device), task, options, examples)


def _try(network: nn.Module, task: Task) -> None:
    """Tries two training steps, as the second may need tensors that the first has freed."""
    trial, constants = copied_with_constants(network)
    # A copy, as the task's own tensors may be of inference mode.
    inputs = task.scale(task.train_inputs[:_EXAMPLES].clone())
    for constant in constants:  # moving the network would copy them
        constant.requires_grad_()
    trial = trial.to(inputs.device)
    labels = task.train_labels[:_EXAMPLES].clone()
    if not task.is_regression:  # so that the result does not depend on which classes come first
        labels.zero_()
    trainable = [p for p in trial.parameters() if p.requires_grad]
    original = [p for p in network.parameters() if p.requires_grad]
    begin_training(trial)
    before = _shapes(trial)
    for _ in range(2):
        loss = loss_of(task, _outputs(trial, inputs, task), labels)
        try:
            gradients = torch.autograd.grad(
                loss, [*trainable, *original, *constants], allow_unused=True
            )
        except RuntimeError as error:
            raise OptionError(
                f"network: cannot be trained: {registry.describe_error(error)}"
            ) from None
        is_used = [gradient is not None for gradient in gradients[len(trainable) :]]
        if any(is_used[: len(original)]):
            raise OptionError(
                "network: a copy of it computes with the parameters of the original; it must be no "
                "TorchScript module, and keep nothing that refers to it (as self.function = lambda "
                "x: self.layer(x))"
            )
        if any(is_used[len(original) :]):
            raise OptionError(
                "network: computes with a tensor that it has computed from its parameters before "
                "and kept, which training would not change; compute it anew in each forward pass"
            )
    trial.eval()
    with torch.no_grad():
        _outputs(trial, inputs, task)
    after = _shapes(trial)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            raise OptionError(
                f"network: {name} comes into its state dict, or changes its shape, in a forward "
                "pass; call the network on a batch of inputs first, or keep it out of the state "
                "dict"
            )


def _try_last_batch(
    trial: nn.Module, task: Task, options: TrainingOptions, examples: Collection[int]
) -> None:
    """Tries a step on one example, if a batch or the last batch of an epoch has only one."""
    size = options.batch_size
    leaving = [n for n in examples or (len(task.train_labels),) if n % size == 1]
    if size > 1 and (options.drop_last or not leaving):
        return
    begin_training(trial)
    try:
        _outputs(trial, task.scale(task.train_inputs[:1]), task)
    except OptionError as error:
        reason = str(error).removeprefix("network: ")
        if size == 1:
            raise OptionError(f"batch_size=1: must be at least 2; the network {reason}") from None
        raise OptionError(
            f"batch_size={size}: must not leave a last batch of 1 example (of {leaving[0]:,}) "
            f"without drop_last; the network {reason}"
        ) from None


def _outputs(network: nn.Module, inputs: Tensor, task: Task) -> Tensor:
    wanted = task.outputs
    try:
        outputs = network(inputs)
    except Exception as error:
        raise OptionError(
            f"network: fails on inputs of shape {tuple(inputs.shape)}, float32: "
            f"{registry.describe_error(error)}"
        ) from None
    found = f"a {type(outputs).__name__}"
    if isinstance(outputs, Tensor):
        shape = tuple(outputs.shape)
        fits = len(shape) == 2 and shape[0] == len(inputs) and shape[1] >= wanted
        if task.is_regression:  # surplus outputs would have no target
            fits = fits and shape[1] == wanted
        if fits and outputs.is_floating_point():
            return outputs
        found = f"{_words(outputs.dtype)} of shape {shape}"
    told, sides = ("outputs", "targets") if task.is_regression else ("logits", "classes")
    raise OptionError(
        f"network: returns {found} for {len(inputs)} examples; it must return {told}, "
        f"floating-point numbers of shape (examples, {sides}), here ({len(inputs)}, {wanted})"
    )


def _shapes(network: nn.Module) -> dict[str, object]:
    return {name: getattr(value, "shape", None) for name, value in network.state_dict().items()}


def _words(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
