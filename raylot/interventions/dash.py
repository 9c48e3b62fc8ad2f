"""DASH: direction-aware shrinking before each new task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from raylot.config import InterventionOptions
from raylot.networks.copies import copied
from raylot.networks.layers import by_kernel_position, weight_layers
from raylot.training import Intervention, Training
from raylot.training.losses import loss_of

#: Examples per gradient, as the authors train.
_BATCH = 128


class DASH(Intervention):
    """Shrinks weights that do not point where the coming task would move them.

    Before each task but the stream's first, a running mean follows the gradients of the loss over
    the coming task's training split, once, in batches of 128: G <- (1 - a) G - a g with
    ``dash_rate`` a, from 0. Then each row w of a linear layer, each kernel (of one output and one
    input channel) of a convolution, and each of their biases as a whole, becomes
    w x clip(cosine(G, w), ``dash_shrink``, 1) (Shin et al. 2024, arXiv 2410.23495;
    baekrok/DASH-Direction-Aware-SHrinking).

    Cosines are those of live weights alone. Normalisations stay as they are.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._rate, self._smallest = options.dash_rate, options.dash_shrink
        self._tasks = 0

    def state_dict(self) -> dict[str, Tensor | int | float]:
        """Returns how many tasks have begun."""
        return {"tasks": self._tasks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state_dict` returned."""
        self._tasks = state["tasks"]

    def on_task_start(self, training: Training) -> None:
        """Shrinks, if a task came before."""
        self._tasks += 1
        if self._tasks == 1:
            return
        downhill = _mean_descent(training, self._rate)
        live = None if training.live is None else training.flat.unflatten(training.live)
        with torch.no_grad():
            for name, descent in downhill.items():
                parameter = training.network.get_parameter(name)
                kept = parameter if live is None else parameter * live[name]
                aims = descent if live is None else descent * live[name]
                cosines = F.cosine_similarity(_vectors(aims), _vectors(kept), dim=-1)
                factors = cosines.clamp(self._smallest, 1).unsqueeze(-1)
                parameter.copy_((_vectors(parameter) * factors).reshape(parameter.shape))


def _vectors(parameter: Tensor) -> Tensor:
    """Returns a weight or bias with the entries that share a cosine along its last dimension."""
    if parameter.dim() <= 2:
        return parameter
    return by_kernel_position(parameter)


def _mean_descent(training: Training, rate: float) -> dict[str, Tensor]:
    """Returns the running mean of the negative gradients of the coming task, by parameter."""
    task = training.task
    network = copied(training.network)  # as its batch statistics change here
    shrunk = {
        f"{name}.{own}".removeprefix("."): parameter
        for name, layer in weight_layers(network).items()
        for own, parameter in layer.named_parameters(recurse=False)
        if parameter.requires_grad
    }
    means = {name: torch.zeros_like(parameter) for name, parameter in shrunk.items()}
    drawn = training.key.child("dash").generator().permutation(len(task.train_labels))
    order = torch.from_numpy(drawn).to(task.train_labels.device)
    for batch in order.split(_BATCH):
        inputs = task.scale(task.train_inputs.index_select(0, batch))
        loss = loss_of(task, network(inputs), task.train_labels.index_select(0, batch))
        gradients = torch.autograd.grad(loss, list(shrunk.values()), allow_unused=True)
        for mean, gradient in zip(means.values(), gradients, strict=True):
            mean.mul_(1 - rate)
            if gradient is not None:
                mean.sub_(gradient, alpha=rate)
    return means


make = DASH
