"""What metrics look at: a snapshot, some inputs of its next task, and how it would train there."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from raylot.config import PlasticityOptions, TrainingOptions
from raylot.config.plasticity_options import ProbeOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.networks.copies import copied
from raylot.networks.prunable import prunable_weights
from raylot.plasticity.metric import Note
from raylot.tasks import Task
from raylot.training import Masks


@dataclass(frozen=True, eq=False)
class Probe:
    """The view of a snapshot that metrics get; a plugin's metric of the network gets a copy.

    Attributes:
        network: a copy, in evaluation mode; its draws depend on the run's seed alone.
        inputs: some training inputs of the next task, as the network sees them:
            ``examples x ...``, float32.
        labels: their labels: ``examples``, int64; in regression ``examples x targets``, float32.
        options: ``probe_size`` and ``dormant_threshold`` of the study.
        masks: survivors by parameter name; a dense network has none.
        initial: the network's state at initialisation, if known.
    """

    network: nn.Module
    inputs: Tensor
    labels: Tensor
    options: ProbeOptions
    masks: Masks
    initial: Mapping[str, Tensor] | None

    @property
    def trainable(self) -> dict[str, nn.Parameter]:
        """The trainable parameters, by name."""
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}

    def prunable(self, note: Note) -> dict[str, nn.Parameter]:
        """Returns the weights of linear and convolution layers, by name; notes if none trains."""
        try:
            return prunable_weights(self.network)
        except OptionError:  # there are none
            note(
                "metrics of weights and gradients: left out, as no linear or convolution layer "
                "trains"
            )
            return {}

    def copy(self) -> Probe:
        """Copies everything, so that a plugin can write into it."""
        others = copy.deepcopy((self.inputs, self.labels, self.options, self.masks, self.initial))
        return Probe(copied(self.network), *others)


@dataclass(frozen=True, eq=False)
class Subject:
    """What a further measure may look at.

    Attributes:
        probe: the snapshot, and the first examples of ``order``.
        task: the task on which the network will be trained next.
        order: all its training examples in an order that the seed alone decides: ``examples``,
            int64.
        options: parameters of the measures.
        key: decides what a measure draws.
        training: how the network is trained; None: unknown.
        note: called with a line that says what could not be computed, and why.
    """

    probe: Probe
    task: Task
    order: Tensor
    options: PlasticityOptions
    key: RandomKey
    training: TrainingOptions | None
    note: Note

    def examples(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Returns inputs, as the network sees them, and labels of some training examples."""
        return self.task.scale(self.task.train_inputs[index]), self.task.train_labels[index]
