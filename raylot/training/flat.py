"""A network's trainable parameters as one flat vector, so that a step handles one tensor."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from raylot.foundation.errors import OptionError
from raylot.training.checks import check_parameters

#: A boolean tensor per prunable weight, named as in ``network.named_parameters()``; True survives.
Masks = dict[str, Tensor]


class FlatParameters:
    """Makes a network's parameters and gradients views into ``vector`` and its grad, while open.

    Then zeroing, masking and the optimizer take one call each for all parameters. For a small
    network this saves most of a step's time. Closing gives the network its own tensors back, with
    the trained values.
    """

    def __init__(self, network: nn.Module) -> None:
        """Prepares flattening; raises OptionError if an optimizer cannot train the parameters."""
        check_parameters(network)
        self._named = {n: p for n, p in network.named_parameters() if p.requires_grad}
        if len({parameter.device for parameter in self._named.values()}) > 1:
            raise OptionError("network: must have all its trainable parameters on one device")
        self.vector = nn.Parameter(torch.cat([p.detach().flatten() for p in self._named.values()]))
        self.gradient = torch.zeros_like(self.vector)
        self.vector.grad = self.gradient
        self._own: dict[str, Tensor] = {}
        self._leaves = [*self._named.values(), self.vector]
        self._gradients = list(self.unflatten(self.gradient).values())

    def __enter__(self) -> FlatParameters:
        values = self.unflatten(self.vector.detach())
        for (name, parameter), gradient in zip(self._named.items(), self._gradients, strict=True):
            self._own[name] = parameter.data
            parameter.data = values[name]
            parameter.grad = gradient
        return self

    def __exit__(self, *raised: object) -> None:
        for name, parameter in self._named.items():
            self._own[name].copy_(parameter.data)
            parameter.data = self._own[name]
            parameter.grad = None

    def differentiate(self, loss: Tensor, *, add: bool = False) -> None:
        """Sets ``gradient`` to a loss's gradient in the network's parameters and in ``vector``.

        Or adds it to what is there. It is 0 where the loss does not depend on a parameter. This
        copying is much faster than autograd's own accumulation into existing gradients.
        """
        *parts, direct = torch.autograd.grad(loss, self._leaves, allow_unused=True)
        for gradient, part in zip(self._gradients, parts, strict=True):
            if part is not None:
                gradient.add_(part) if add else gradient.copy_(part)
            elif not add:
                gradient.zero_()
        if direct is not None:
            self.gradient.add_(direct)

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Joins one tensor per trainable parameter, by name, in the order of ``vector``.

        Raises:
            KeyError: a tensor is missing.
        """
        return torch.cat([tensors[name].detach().flatten() for name in self._named])

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """Undoes `flatten`."""
        parts = vector.split([p.numel() for p in self._named.values()])
        return {
            name: part.view(p.shape)
            for (name, p), part in zip(self._named.items(), parts, strict=True)
        }

    def flatten_masks(self, masks: Masks) -> Tensor:
        """Joins masks in the order of ``vector``; parameters without a mask survive.

        Raises:
            ValueError: a mask has the name of no trainable parameter, or another shape or type.
        """
        unknown = set(masks) - set(self._named)
        if unknown:
            raise ValueError(f"masks: {', '.join(sorted(unknown))} is no trainable parameter")
        everything = {n: torch.ones_like(p, dtype=torch.bool) for n, p in self._named.items()}
        for name, mask in masks.items():
            if mask.dtype != torch.bool or mask.shape != everything[name].shape:
                shape = tuple(everything[name].shape)
                raise ValueError(f"masks: {name} must be boolean, of shape {shape}")
            everything[name] = mask.to(self.vector.device)
        return self.flatten(everything)
