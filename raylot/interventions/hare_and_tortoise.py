"""Hare and Tortoise: a slow mean of the weights, to which these return from time to time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from raylot.config import InterventionOptions
from raylot.training import Intervention, Training


class HareAndTortoise(Intervention):
    """Trains the hare, evaluates the tortoise, and sets the hare back to it now and then.

    After each step, with ``tortoise_decay`` m, tortoise <- m tortoise + (1 - m) hare; after each
    ``hare_interval`` steps of the stream, hare <- tortoise (Lee et al. 2024, arXiv 2406.02596).
    Both are all parameters and buffers; counts are copied. A stream begins with the two alike, and
    so does every training on its own. The optimizer's moments stay as they are when the hare is set
    back, as in the authors' code. What a training itself evaluates is the tortoise; a snapshot, its
    structural metrics and tickets are those of the hare.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._decay, self._interval = options.tortoise_decay, options.hare_interval
        self._tortoise: dict[str, Tensor] = {}
        self._steps = 0

    def state_dict(self) -> dict[str, Tensor | int | float]:
        """Returns the tortoise, and the steps that it has followed."""
        return {**self._tortoise, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state_dict` returned."""
        self._steps = state["steps"]
        self._tortoise = {name: value for name, value in state.items() if name != "steps"}

    def after_gradient(self, training: Training) -> None:
        if not self._tortoise:
            self._tortoise = {name: tensor.clone() for name, tensor in _hare(training).items()}

    def after_step(self, training: Training) -> None:
        if not self._tortoise:  # the optimizer has left its first step out
            return
        self._steps += 1
        for name, tensor in _hare(training).items():
            if tensor.is_floating_point():
                # In this form, equal numbers stay equal to the last bit.
                self._tortoise[name].lerp_(tensor, 1 - self._decay)
            else:
                self._tortoise[name].copy_(tensor)
        if self._steps % self._interval == 0:
            _set(training, self._tortoise)

    @contextlib.contextmanager
    def evaluation(self, training: Training) -> Iterator[None]:
        """Lets the tortoise take the hare's place."""
        if not self._tortoise:
            yield
            return
        hare = {name: tensor.clone() for name, tensor in _hare(training).items()}
        _set(training, self._tortoise)
        try:
            yield
        finally:
            _set(training, hare)


def _hare(training: Training) -> dict[str, Tensor]:
    """Returns the parameters and buffers of the network itself."""
    buffers = training.network.named_buffers()
    parameters = {"parameters": training.flat.vector.detach()}
    return parameters | {f"buffer/{name}": buffer.detach() for name, buffer in buffers}


@torch.no_grad()
def _set(training: Training, values: Mapping[str, Tensor]) -> None:
    for name, tensor in _hare(training).items():
        tensor.copy_(values[name])


make = HareAndTortoise
