"""The base of methods that give some hidden units fresh weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from raylot.foundation.errors import OptionError
from raylot.interventions._redrawing import Redrawing
from raylot.networks.units import HiddenLayer, hidden_layers
from raylot.training import Training


class Recycling(Redrawing):
    """Base of methods that give some hidden units fresh weights.

    `raylot.networks.units` says which layers have units that can start anew.
    """

    def check(self, network: nn.Module) -> None:
        """Refuses a network without such units, or that cannot be initialised anew."""
        super().check(network)
        self.layers_of(network)

    def layers_of(self, network: nn.Module) -> list[HiddenLayer]:
        """Returns the hidden layers of a network.

        Raises:
            OptionError: it has none.
        """
        layers = hidden_layers(network)
        if not layers:
            raise OptionError(
                f"intervention={self.name}: must go with a network with a hidden layer that feeds "
                "one next layer alone: two trainable linear or convolution layers that follow one "
                "another in nn.Sequential, or in a module with a method chain()"
            )
        return layers

    def recycle(
        self, training: Training, chosen: Mapping[str, Tensor], layers: list[HiddenLayer]
    ) -> None:
        """Lets units start anew.

        A unit gets incoming weights from the network's own initial distribution, a bias of 0, a
        fresh gain, bias and statistics in a norm that follows, and outgoing weights of 0. The
        optimizer's moments of all these become 0, and their step counts if each has its own.

        Args:
            training: the training under way.
            chosen: which units, boolean by the layer's name; other layers keep all.
            layers: all hidden layers.
        """
        recycled = [(layer, chosen[layer.name]) for layer in layers if layer.name in chosen]
        recycled = [(layer, units) for layer, units in recycled if bool(units.any())]
        if not recycled:
            return
        state = training.network.state_dict()
        fresh = training.fresh_network(training.key.child(self.name, training.step)).state_dict()
        moved = {name: torch.zeros_like(t, dtype=torch.bool) for name, t in state.items()}
        for layer, units in recycled:
            for name in layer.own:
                new = layer.incoming(fresh[name])[units]
                layer.incoming(state[name])[units] = 0 if name == layer.bias else new
                layer.incoming(moved[name])[units] = True
        # Only now, as a recycled unit may feed another recycled unit of the next layer.
        for layer, units in recycled:
            layer.outgoing_by_unit(state[layer.outgoing])[:, :, units] = 0
            layer.outgoing_by_unit(moved[layer.outgoing])[:, :, units] = True
        training.reset_optimizer(training.flat.flatten(moved))


class Watching(Recycling):
    """Base of methods that follow in every step what units put out.

    Attributes:
        layers: the hidden layers of the network in training.
    """

    layers: list[HiddenLayer]

    def observed_layers(self, network: nn.Module) -> list[HiddenLayer]:
        """Observes all hidden layers."""
        self.layers = self.layers_of(network)
        return self.layers

    def outputs(self, training: Training, layer: HiddenLayer) -> Tensor:
        """Returns what a layer's units have put out in this step: ``rows x units``."""
        return layer.outputs(self.given(training, layer))

    def given(self, training: Training, layer: HiddenLayer) -> Tensor:
        """Returns what a layer's units have given to the next layer in this step."""
        return training.given[layer.name].float()  # 16 bits with some precisions
