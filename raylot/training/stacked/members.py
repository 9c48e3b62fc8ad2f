"""The networks of a stack: one matrix of all trainable parameters, and its optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from raylot.config import OptimizerOptions
from raylot.training.flat import FlatParameters
from raylot.training.job import TrainingJob
from raylot.training.optimizers import build_optimizer, optimizer_tensors
from raylot.training.stacked.forward import stacked_logits


class Members:
    """K networks of one architecture as one, with P trainable parameters each.

    One optimizer call and one masking serve all of them. They never mix: a member that becomes NaN
    does not change the others.

    Attributes:
        optimizer: steps the matrix of all parameters.
    """

    def __init__(self, jobs: Sequence[TrainingJob]) -> None:
        """Stacks the networks of jobs, and sets pruned weights to 0 in jobs that ask for that.

        Args:
            jobs: jobs that `why_not` has no reason against.

        Raises:
            ValueError: masks do not fit, or parameters differ in type.
        """
        self._networks = [job.network for job in jobs]
        self._layout = FlatParameters(self._networks[0])
        matrix = torch.stack(
            [self._layout.flatten(dict(net.named_parameters())) for net in self._networks]
        )
        self._pruned: Tensor | None = None
        if any(job.masks is not None for job in jobs):
            survivors = [self._layout.flatten_masks(job.masks or {}) for job in jobs]
            self._pruned = ~torch.stack(survivors)
            zeroed = torch.tensor([job.masked == "zero" for job in jobs], device=matrix.device)
            matrix.masked_fill_(self._pruned & zeroed.unsqueeze(1), 0)
            self._fixed = matrix.clone()
        self._vector = nn.Parameter(matrix)
        self._gradient = torch.zeros_like(matrix)
        self._vector.grad = self._gradient
        self._gradients = list(self._views(self._gradient).values())
        self._trainable = self._views(self._vector.detach())
        self._parameters = self._trainable | {
            name: torch.stack([network.get_parameter(name) for network in self._networks]).detach()
            for name, parameter in self._networks[0].named_parameters()
            if not parameter.requires_grad
        }
        for view in self._trainable.values():
            view.requires_grad_()
        states = [job.optimizer_state or {} for job in jobs]
        options = jobs[0].optimizer
        state = _stacked_state(options, states, matrix)
        self.optimizer = build_optimizer(self._vector, options, state)
        # With zero gradients, only old moments or decay can move weights.
        self._always_restore = bool(options.weight_decay) or any(states)
        self._magnitudes: Tensor | None = None
        if any(job.gradient_magnitudes for job in jobs):
            self._magnitudes = torch.zeros_like(matrix)
        self._products: Tensor | None = None
        if any(job.gradient_products for job in jobs):
            self._products = torch.zeros_like(matrix)

    @property
    def state(self) -> list[Tensor]:
        """All tensors that a step changes and later steps read."""
        moments = optimizer_tensors(self.optimizer, self._vector).values()
        sums = [sums for sums in (self._magnitudes, self._products) if sums is not None]
        return [self._vector.detach(), *moments, *sums]

    def logits(self, inputs: Tensor) -> Tensor:
        """Returns ``members x examples x classes``; each member has its own inputs."""
        return stacked_logits(self._networks[0], self._parameters, inputs)

    def descend(self, loss: Tensor) -> None:
        """Takes one optimizer step, given the sum of all members' losses."""
        # Only a member's own loss depends on its parameters, so each gets its own gradient.
        gradients = torch.autograd.grad(
            loss, list(self._trainable.values()), materialize_grads=True
        )
        for place, gradient in zip(self._gradients, gradients, strict=True):
            place.copy_(gradient)
        if self._magnitudes is not None:
            self._magnitudes.add_(self._gradient.abs())
        if self._products is not None:
            self._products.addcmul_(self._gradient, self._vector.detach())
        if self._pruned is not None:
            self._gradient.masked_fill_(self._pruned, 0)
        self.optimizer.step()
        if self._always_restore:
            self.restore()

    def restore(self) -> None:
        """Puts pruned weights back to their fixed values, bit for bit."""
        if self._pruned is not None:
            matrix = self._vector.detach()
            torch.where(self._pruned, self._fixed, matrix, out=matrix)

    @torch.no_grad()
    def write_back(self, member: int) -> None:
        """Gives a member's network the values trained so far."""
        trained = self._layout.unflatten(self._vector.detach()[member])
        for name, values in trained.items():
            self._networks[member].get_parameter(name).copy_(values)

    def optimizer_state(self, member: int) -> dict[str, Tensor]:
        """Returns the optimizer's tensors as they would be for this member alone."""
        return {
            name: (tensor[member] if tensor.dim() else tensor).clone()
            for name, tensor in optimizer_tensors(self.optimizer, self._vector).items()
        }

    def gradient_magnitudes(self, member: int, steps: int) -> dict[str, Tensor]:
        """Returns the mean |gradient| of a member's parameters, if any job asked for that."""
        assert self._magnitudes is not None
        return self._layout.unflatten(self._magnitudes[member] / max(1, steps))

    def gradient_products(self, member: int, steps: int) -> dict[str, Tensor]:
        """Returns the mean gradient x weight of a member's parameters, likewise."""
        assert self._products is not None
        return self._layout.unflatten(self._products[member] / max(1, steps))

    def _views(self, matrix: Tensor) -> dict[str, Tensor]:
        """Splits a matrix like that of all parameters: per parameter, ``members x ...``."""
        shapes = {name: part.shape for name, part in self._layout.unflatten(matrix[0]).items()}
        parts = matrix.split([shape.numel() for shape in shapes.values()], dim=1)
        return {
            name: part.view(len(matrix), *shape)
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }


def _stacked_state(
    options: OptimizerOptions, states: Sequence[Mapping[str, Tensor]], matrix: Tensor
) -> dict[str, Tensor]:
    """Returns the optimizer's first state, with zeros for members without an earlier one.

    The optimizer's first step would make it too late: a captured step must find it in place.
    """
    state: dict[str, Tensor] = {}
    moments = ["momentum_buffer"] if options.momentum else []
    if options.optimizer in ("adam", "adamw"):
        moments = ["exp_avg", "exp_avg_sq"]
        state["step"] = torch.tensor(float(states[0].get("step", 0)), device=matrix.device)
    for name in moments:
        rows = [own.get(name, torch.zeros_like(matrix[0])) for own in states]
        state[name] = torch.stack([row.to(matrix) for row in rows])
    return state
