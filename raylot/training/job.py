"""What one training is to do, and what it showed: the interface of all engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn

from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task
from raylot.training.flat import Masks
from raylot.training.hooks import Intervention


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """One network to be trained in place on one task's training split.

    Attributes:
        network: any module that maps inputs to logits, on the task's device. One in evaluation
            mode is put into training mode; in one in training mode, submodules in evaluation mode
            (a frozen batch normalisation, for instance) stay in it.
        task: training and test split.
        epochs: passes over the training split.
        batch_size: examples per step; the last batch of an epoch may be smaller.
        drop_last: leave such a smaller batch out.
        optimizer: which optimizer and its options.
        key: decides the data order of each epoch (and a network's own draws, as in dropout).
        masks: survivors; weights outside never move, whatever the optimizer does.
        masked: ``"zero"`` sets pruned weights to 0 first, ``"freeze"`` leaves them as they are.
        optimizer_state: state to carry on, from an earlier result.
        learning_curve: evaluate before training and after each epoch, for ``learning_speed``.
        previous: the task whose examples fade out at the beginning, if ``gradual`` is not 0.
        gradual: share of the training over which they do, in [0, 1]: their probability falls
            linearly from 1 to 0.
        max_steps: stop after so many steps, if they are fewer.
        gradient_magnitudes: also measure the mean |gradient| of every parameter.
        intervention: acts at the places of the loop that `raylot.training.hooks` names.
        initial: the network's state at the start of its life, for interventions that need it.
        whole_task: whether this is a task of a stream, at whose start and end interventions act
            too, rather than a search from a snapshot.
    """

    network: nn.Module
    task: Task
    epochs: int
    batch_size: int
    optimizer: OptimizerOptions
    key: RandomKey
    masks: Masks | None = None
    masked: str = "zero"
    optimizer_state: dict[str, Tensor] | None = None
    learning_curve: bool = False
    previous: Task | None = None
    gradual: float = 0.0
    max_steps: int | None = None
    gradient_magnitudes: bool = False
    intervention: Intervention | None = None
    initial: Mapping[str, Tensor] | None = None
    whole_task: bool = False
    drop_last: bool = False

    def __post_init__(self) -> None:
        """Makes sure that there is a batch to train on.

        Raises:
            OptionError: ``drop_last`` leaves none.
        """
        if self.drop_last and not self.examples_per_epoch:
            raise OptionError(
                f"batch_size={self.batch_size}: must be at most {len(self.task.train_labels)}, the "
                "task's training examples, with drop_last"
            )

    @property
    def examples_per_epoch(self) -> int:
        """Training examples that an epoch uses."""
        examples = len(self.task.train_labels)
        return examples - examples % self.batch_size if self.drop_last else examples

    @property
    def fading(self) -> Task | None:
        """The task that fades out, if one does."""
        return self.previous if self.gradual else None


@dataclass(frozen=True)
class TrainingResult:
    """What one training on one task showed.

    Attributes:
        train_loss: mean online cross-entropy in nats: of each example before the step that used
            it, over all epochs.
        online_accuracy: mean online accuracy, likewise.
        test_loss: cross-entropy on the test split after training, in nats.
        test_accuracy: accuracy there.
        learning_speed: normalised area under the learning curve, that is the trapezoid area under
            test accuracy before training and after each epoch, divided by the epochs begun: 1
            means perfect from the start (Chaudhry et al. 2019); None if no curve was asked for.
        diverged: whether a loss was not finite; the measures above are then NaN, but for test_loss.
        steps: optimizer steps taken.
        seconds: wall-clock of the training loop, evaluations excluded.
        optimizer_state: the optimizer's tensors: its moments, a value per trainable parameter,
            and its step count.
        gradient_magnitudes: per trainable parameter, the mean over all steps of its |gradient|
            before masking, an intervention's loss term included; None if not asked for.
        engine: which engine trained it.
    """

    train_loss: float
    online_accuracy: float
    test_loss: float
    test_accuracy: float
    learning_speed: float | None
    diverged: bool
    steps: int
    seconds: float
    optimizer_state: dict[str, Tensor] = field(repr=False)
    gradient_magnitudes: dict[str, Tensor] | None = field(repr=False)
    engine: str


def has_hooks(network: nn.Module) -> bool:
    """Whether a network does more than its modules say: hooks of any kind, parametrisations."""
    return any(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or nn.utils.parametrize.is_parametrized(module)
        for module in network.modules()
    ) or any(p._backward_hooks for p in network.parameters())


def epoch_order(job: TrainingJob, epoch: int) -> np.ndarray:
    """The order in which an epoch takes the training examples: int64 indices of those it uses."""
    order = job.key.child("epoch", epoch).generator().permutation(len(job.task.train_labels))
    return order[: job.examples_per_epoch]
