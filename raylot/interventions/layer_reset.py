"""Layer reset: fresh last layers for each task."""

from __future__ import annotations

import torch
from torch import nn

from raylot.config import InterventionOptions
from raylot.foundation.errors import OptionError
from raylot.interventions._redrawing import Redrawing
from raylot.networks.layers import weight_layers
from raylot.training import Training


class LayerReset(Redrawing):
    """Initialises the last ``reset_layers`` layers anew after each task (Nikishin et al. 2022).

    Layers are linear and convolution layers, in the order in which the network registers them. The
    optimizer's moments of their weights and biases become 0.
    """

    name = "layer_reset"

    def __init__(self, options: InterventionOptions) -> None:
        self._count = options.reset_layers

    def check(self, network: nn.Module) -> None:
        """Refuses a network with fewer layers, or one that cannot be initialised anew."""
        super().check(network)
        layers = len(weight_layers(network))
        if self._count > layers:
            raise OptionError(
                f"reset_layers={self._count}: must be at most {layers}, the linear and convolution "
                "layers of the network"
            )

    def on_task_end(self, training: Training) -> None:
        fresh = training.fresh_network(training.key.child("layer_reset"))
        chosen = dict(list(weight_layers(training.network).items())[-self._count :])
        for name, layer in chosen.items():
            layer.load_state_dict(fresh.get_submodule(name).state_dict())
        drawn = {id(parameter) for layer in chosen.values() for parameter in layer.parameters()}
        moved = {
            name: torch.full_like(parameter, id(parameter) in drawn, dtype=torch.bool)
            for name, parameter in training.network.named_parameters()
        }
        training.reset_optimizer(training.flat.flatten(moved))


make = LayerReset
