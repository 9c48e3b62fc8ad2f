"""Plasticity injection: the old network is frozen, and fresh weights learn on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from raylot.config import InterventionOptions
from raylot.foundation.errors import OptionError
from raylot.interventions._redrawing import Redrawing
from raylot.networks.copies import copied
from raylot.training import Training

#: Buffers of a prepared network: whether plasticity was injected; the frozen parameters of the old
#: network; the frozen fresh parameters. Each is flat, in the order of ``named_parameters``.
_DONE, _OLD, _FRESH = "injected", "injected_old", "injected_fresh"

#: Attribute of a prepared network: a copy without weights, in a tuple, so that it is no submodule.
_SKELETON = "injected_skeleton"


class PlasticityInjection(Redrawing):
    """Adds a fresh trainable network whose outputs begin at 0, once, after ``inject_after`` tasks.

    The outputs become f(old) + f(new) - f(fresh): old and fresh are frozen, new is trained and
    begins as fresh does (Nikishin et al. 2023, arXiv 2305.15555, who do so with an agent's head).
    So no output changes at that moment. The network's own parameters become the new ones, and the
    others its buffers; the optimizer starts over. Masks and metrics are of the new ones; frozen
    networks are in evaluation mode. In a masked network, what is pruned is alike in new and fresh.
    """

    name = "plasticity_injection"

    def __init__(self, options: InterventionOptions) -> None:
        self._after = options.inject_after
        self._tasks = 0

    def state_dict(self) -> dict[str, Tensor | int | float]:
        """Returns how many tasks have ended."""
        return {"tasks": self._tasks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state_dict` returned."""
        self._tasks = state["tasks"]

    def check(self, network: nn.Module) -> None:
        """Refuses a network with buffers of its own, or one that cannot be initialised anew."""
        super().check(network)
        own = [name for name, _ in network.named_buffers() if name not in (_DONE, _OLD, _FRESH)]
        if own:
            raise OptionError(
                f"intervention={self.name}: must go with a network without running statistics or "
                f"other buffers, which frozen networks cannot share; here it has {own[0]}"
            )

    def prepare(self, network: nn.Module) -> None:
        """Gives a network room for the frozen parameters, and adds their outputs to its own."""
        if hasattr(network, _SKELETON):
            return
        skeleton = copied(network).to("meta").requires_grad_(False).eval()
        parameters = torch.cat([p.detach().flatten() for p in network.parameters()])
        setattr(network, _SKELETON, (skeleton,))
        network.register_buffer(_DONE, torch.zeros((), dtype=torch.bool, device=parameters.device))
        network.register_buffer(_OLD, torch.zeros_like(parameters))
        network.register_buffer(_FRESH, torch.zeros_like(parameters))
        network.register_forward_hook(_add_frozen)

    def on_task_end(self, training: Training) -> None:
        """Injects, if it is time to."""
        self._tasks += 1
        network = training.network
        self.prepare(network)
        if self._tasks != self._after or network.get_buffer(_DONE):
            return
        old = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
        network.get_buffer(_OLD).copy_(old)
        vector = training.flat.vector.detach()
        fresh = training.fresh_vector(training.key.child("plasticity_injection"))
        if training.live is not None:
            fresh = torch.where(training.live, fresh, vector)
        vector.copy_(fresh)
        new = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
        network.get_buffer(_FRESH).copy_(new)
        network.get_buffer(_DONE).fill_(True)
        training.reset_optimizer()


def _add_frozen(network: nn.Module, inputs: Any, outputs: Tensor) -> Tensor | None:
    """Returns a prepared network's outputs plus those of the frozen parameters."""
    if not network.get_buffer(_DONE):
        return None
    (skeleton,) = getattr(network, _SKELETON)
    # Whoever records the activations of the network must not see those of frozen ones.
    with torch._C.DisableTorchFunction():
        fresh = functional_call(skeleton, _named(skeleton, network.get_buffer(_FRESH)), inputs)
        old = functional_call(skeleton, _named(skeleton, network.get_buffer(_OLD)), inputs)
        added: Tensor = outputs - fresh + old
    return added


def _named(skeleton: nn.Module, flat: Tensor) -> dict[str, Tensor]:
    named = dict(skeleton.named_parameters())
    parts = flat.split([parameter.numel() for parameter in named.values()])
    return {
        name: part.view(parameter.shape)
        for (name, parameter), part in zip(named.items(), parts, strict=True)
    }


make = PlasticityInjection
