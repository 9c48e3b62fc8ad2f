"""Weight projection: each layer's weights keep their initial norm, so that steps stay as large."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from raylot.config import InterventionOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.names import module_label
from raylot.networks.layers import NORMS, weight_layers
from raylot.networks.prunable import prunable_weights
from raylot.training import Intervention, Training


class WeightProjection(Intervention):
    """Rescales each weight to its initial Frobenius norm after each step (Lyle et al. 2024).

    W <- W x |W0| / |W|, of every linear and convolution layer, W0 being the weight at the start of
    the stream. Together with a norm before each activation this is their Normalize-and-Project: a
    layer's outputs do not depend on its weight's norm then, but the share of the weight that a
    step changes does. Biases, and the gains and biases of norms, train freely. A layer whose
    weight starts at 0 is left alone.

    In a masked network both norms are those of the live weights.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._weights: list[Tensor] = []
        self._live: list[Tensor | None] = []
        self._norms: list[Tensor] = []

    def check(self, network: nn.Module) -> None:
        """Refuses a network in which no norm follows a layer, apart from the last.

        Modules follow one another as they are registered.

        Raises:
            OptionError: such a layer is followed by another module.
        """
        hidden = {id(layer) for layer in list(weight_layers(network).values())[:-1]}
        leaves = [
            (name, module)
            for name, module in network.named_modules()
            if next(module.children(), None) is None and not isinstance(module, nn.Identity)
        ]
        for (name, module), (_, following) in itertools.pairwise(leaves):
            if id(module) in hidden and not isinstance(following, NORMS):
                raise OptionError(
                    "intervention=weight_projection: must go with a network that has a norm right "
                    f"after each layer but the last; here {module_label(name, module)} is followed "
                    f"by {type(following).__name__}"
                )

    def after_step(self, training: Training) -> None:
        if training.step == 1:
            self._look_at(training)
        for weight, live, target in zip(self._weights, self._live, self._norms, strict=True):
            norm = _norm(weight, live)
            # At a norm of 0, all weights are 0 and stay so, whatever the factor.
            factor = target / norm.clamp_min(1e-30)
            weight.mul_(torch.where(target > 0, factor, 1.0))

    def _look_at(self, training: Training) -> None:
        """Notes each weight, which of its entries live, and its initial norm."""
        flat, names = training.flat, list(prunable_weights(training.network))
        weights = flat.unflatten(flat.vector.detach())
        live = {} if training.live is None else flat.unflatten(training.live)
        initial = flat.unflatten(training.initial_vector)
        self._weights = [weights[name] for name in names]
        self._live = [live.get(name) for name in names]
        self._norms = [_norm(initial[name], live.get(name)) for name in names]


def _norm(weight: Tensor, live: Tensor | None) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(weight if live is None else weight * live)
    return norm


make = WeightProjection
