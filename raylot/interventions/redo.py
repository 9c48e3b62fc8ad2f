"""ReDo: dormant units start anew."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raylot.config import InterventionOptions
from raylot.interventions._recycling import Recycling
from raylot.networks.units import HiddenLayer, recorded_outputs
from raylot.plasticity import dormant_units
from raylot.training import Training, evaluation_mode


class ReDo(Recycling):
    """Recycles dormant units every ``redo_interval`` steps (Sokar et al. 2023).

    A hidden unit is dormant if its mean |output| on ``redo_examples`` training examples, drawn for
    this reset alone, is at most ``redo_threshold`` times its layer's mean. See `Recycling.recycle`
    for how it starts anew. Adam's step count, one for all weights, goes on, as in the authors' code
    (google/dopamine, labs/redo).
    """

    name = "redo"

    def __init__(self, options: InterventionOptions) -> None:
        self._threshold, self.acts_every = options.redo_threshold, options.redo_interval
        self._examples = options.redo_examples

    def after_step(self, training: Training) -> None:
        """Recycles dormant units."""
        layers = self.layers_of(training.network)
        inputs = self._own_examples(training)
        dormant = dormant_by_layer(training.network, layers, inputs, self._threshold)
        self.recycle(training, dormant, layers)

    def _own_examples(self, training: Training) -> Tensor:
        task = training.task
        count = len(task.train_labels)
        draw = training.key.child("redo examples", training.step).generator()
        chosen = torch.from_numpy(draw.choice(count, min(count, self._examples), replace=False))
        return task.scale(task.train_inputs[chosen.to(task.train_labels.device)])


def dormant_by_layer(
    network: nn.Module, layers: Sequence[HiddenLayer], inputs: Tensor, threshold: float
) -> dict[str, Tensor]:
    """Returns which units of hidden layers are dormant on a batch (Sokar et al. 2023).

    Returns:
        By the layer's name: boolean, ``units``; a channel is a unit.
    """
    with torch.no_grad(), evaluation_mode(network), recorded_outputs(network, layers) as recorded:
        network(inputs)
    return {
        layer.name: dormant_units(layer.outputs(recorded[layer.name]), threshold)
        for layer in layers
    }


make = ReDo
