"""The context of a pruning criterion: a network, as trained or at its start, and the task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from raylot.config.ticket_options import PruningOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import prune
from raylot.tasks import Task
from raylot.tasks.task import TENSORS
from raylot.training import Masks


@dataclass(frozen=True)
class MeanGradients:
    """Means over all steps of a training, of the gradients of the loss that it minimised.

    They are taken before masking and clipping; see `raylot.training.TrainingResult`.

    Attributes:
        magnitudes: per prunable weight, the mean of |dL/dw|.
        products: per prunable weight, the mean of dL/dw x w, with w from before the step.
    """

    magnitudes: Mapping[str, Tensor]
    products: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class PruningContext:
    """What a pruning criterion can look at. All of it are copies that a criterion may change.

    Attributes:
        network: the network as it was trained, in training mode; its pruned weights have the values
            that they had in the training. For a criterion that scores before training: the network
            that would be trained under the masks so far.
        start: the state dict to which weights are rewound, from which that training started.
        masks: the survivors so far; True survives. The criterion scores these parameters.
        task: what the network was trained on.
        key: for the criterion's own draws; another one for each ticket and round.
        batch_size: examples per training step.
        drop_last: whether training leaves out a smaller batch at the end of an epoch.
        diverged: whether a loss of that training was not finite.
        measured: see `gradients`; None: the criterion has not asked for them.
        options: of the search, and those that a plugin's criterion has of its own.
        epochs: passes over the training split in every training.
        sparsity: fraction of the weights to be removed after the last round.
        round: the round that prunes now, from 1.
        rounds: all rounds.
    """

    network: nn.Module
    start: Mapping[str, Tensor]
    masks: Masks
    task: Task
    key: RandomKey
    batch_size: int
    drop_last: bool = False
    diverged: bool = False
    measured: MeanGradients | None = None
    options: PruningOptions = field(default_factory=PruningOptions)
    epochs: int = 1
    sparsity: float = 0.0
    round: int = 1
    rounds: int = 1

    @property
    def weights(self) -> dict[str, Tensor]:
        """The trained values of the prunable weights, detached."""
        return {name: self.network.get_parameter(name).detach() for name in self.masks}

    @property
    def gradients(self) -> MeanGradients:
        """Mean gradients over that training.

        Raises:
            OptionError: the criterion was registered without ``gradients=True``.
        """
        if self.measured is None:
            raise OptionError(
                "context.gradients: must be asked for, as @plugins.criterion(NAME, gradients=True)"
            )
        return self.measured

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the training split in batches: scaled inputs, ``examples x ...``, and labels.

        Inputs are not augmented.

        The key decides the order, so each call yields the same batches. The last one may be smaller
        unless ``drop_last``.
        """
        inputs, labels = self.task.train_inputs, self.task.train_labels
        order = self.key.child("batches").generator().permutation(len(labels))
        for index in torch.from_numpy(order).to(labels.device).split(self.batch_size):
            if len(index) == self.batch_size or not self.drop_last:
                yield self.task.scale(inputs[index]), labels[index]

    def keep(self, scores: Mapping[str, Tensor]) -> Masks:
        """Returns the masks that this round leaves if these are the scores."""
        return prune(
            scores, self.masks, self.sparsity, self.round, self.rounds,
            self.options.scope, self.options.output_rate,
        )  # fmt: skip

    def balanced_batch(self, per_class: int) -> tuple[Tensor, Tensor]:
        """Returns training examples of each class: scaled inputs, and labels.

        The key decides which. Of a class with fewer examples than ``per_class``, it is all. In
        regression, ``per_class`` examples are drawn from all. Inputs are not augmented.
        """
        labels = self.task.train_labels
        order = self.key.child("balanced batch").generator().permutation(len(labels))
        shuffled = torch.from_numpy(order).to(labels.device)
        if self.task.is_regression:
            index = shuffled[:per_class]
        else:
            own = labels[shuffled]
            index = torch.cat([shuffled[own == label][:per_class] for label in labels.unique()])
        return self.task.scale(self.task.train_inputs[index]), labels[index]

    def copied(self) -> PruningContext:
        """Returns the same with tensors of its own, except those of the network."""
        measured = self.measured
        if measured is not None:
            measured = MeanGradients(_copies(measured.magnitudes), _copies(measured.products))
        task = replace(self.task, **{name: getattr(self.task, name).clone() for name in TENSORS})
        masks, start = _copies(self.masks), _copies(self.start)
        return replace(self, start=start, masks=masks, task=task, measured=measured)


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}
