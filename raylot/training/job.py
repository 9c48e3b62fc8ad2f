"""Describes a training and its measures: the interface of all engines."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn

from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task
from raylot.training.augmentation import check_images
from raylot.training.flat import Masks
from raylot.training.hooks import Intervention
from raylot.training.precision import check_precision


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """One network to be trained in place on one task's training split.

    Attributes:
        network: any module that maps inputs to logits (in regression: to predictions), on the
            task's device. If it is in evaluation mode, all of it is trained; if it is in training
            mode, submodules in evaluation mode (a frozen batch normalisation, for instance) stay in
            it.
        task: training and test split.
        epochs: passes over the training split.
        batch_size: examples per step; the last batch of an epoch may be smaller.
        drop_last: whether to leave such a smaller batch out.
        optimizer: which optimizer, its options, and what else shapes its steps.
        key: decides the data order of each epoch, the changes of its images by ``augment`` (and a
            network's own draws, as in dropout).
        masks: survivors; other weights never move, whatever the optimizer does.
        masked: ``"zero"`` sets pruned weights to 0 first, ``"freeze"`` leaves them as they are.
        optimizer_state: state from an earlier result, to go on from.
        learning_curve: whether to evaluate before training and after each epoch, for
            ``learning_speed``.
        previous: the task whose examples fade out at the beginning, if ``gradual`` is not 0.
        gradual: share of the training over which they fade, in [0, 1]: their probability falls
            linearly from 1 to 0.
        max_steps: the training stops after so many steps, if it has more; a learning-rate schedule
            is that of the whole training.
        after_epoch: called with the network after each epoch; the training ends if it returns True.
        gradient_magnitudes: whether to measure the mean |gradient| of every parameter too.
        gradient_products: whether to measure the mean gradient x weight of every parameter too.
        intervention: acts at the places that `raylot.training.hooks` names.
        initial: the network's state at the start of its life, for interventions that need it.
        whole_task: True for a task of a stream, at whose start and end interventions act too;
            False for a search from a snapshot.
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
    gradient_products: bool = False
    after_epoch: Callable[[nn.Module], bool] | None = None

    def __post_init__(self) -> None:
        """Makes sure that there is a batch to train on, and that its steps can be taken.

        Raises:
            OptionError: ``drop_last`` leaves none; or the device lacks ``precision``, or the inputs
                are no images for ``augment``, or the labels no classes for ``label_smoothing``.
        """
        if self.optimizer.label_smoothing and self.task.is_regression:
            raise OptionError(
                f"label_smoothing={self.optimizer.label_smoothing:g}: must be 0 for a regression "
                "task"
            )
        check_precision(self.optimizer, self.task.train_labels.device)
        check_images(self.optimizer, self.task.input_shape)
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
    def steps(self) -> int:
        """Steps of the whole training, without a look at ``max_steps``."""
        return self.epochs * math.ceil(self.examples_per_epoch / self.batch_size)

    @property
    def fading(self) -> Task | None:
        """The task that fades out, if one does."""
        return self.previous if self.gradual else None


@dataclass(frozen=True)
class TrainingResult:
    """The measures of one training on one task.

    Attributes:
        train_loss: mean online loss (cross-entropy in nats, or in regression squared error, see
            `raylot.training.losses`): over all epochs, the loss of each example before the step
            that used it, as ``augment`` has changed it, without label smoothing.
        online_accuracy: mean online accuracy, likewise; None in regression.
        test_loss: the same loss on the test split after training.
        test_accuracy: accuracy on the test split after training; None in regression.
        learning_speed: normalised area under the learning curve: the trapezoid area under test
            accuracy before training and after each epoch, divided by the epochs begun. 1 means
            perfect from the start (Chaudhry et al. 2019). None without ``learning_curve``, and in
            regression.
        diverged: whether a loss was not finite; then the measures above are NaN, except test_loss.
        steps: training steps; with float16, those too that were left out as gradients overflowed.
        seconds: wall-clock time of the training loop, without evaluations.
        optimizer_state: the optimizer's tensors: its moments, a value per trainable parameter,
            and its step count.
        gradient_magnitudes: per trainable parameter, the mean over all steps of its |gradient|: of
            the loss that is trained, with label smoothing and an intervention's term, before
            masking and clipping; None if not measured.
        engine: the engine that trained.
        gradient_products: per trainable parameter, the mean over all steps of its gradient times
            its value before the step, likewise.
        remark: why ``engine="auto"`` did without an engine that should have been faster; "" if it
            did not.
    """

    train_loss: float
    online_accuracy: float | None
    test_loss: float
    test_accuracy: float | None
    learning_speed: float | None
    diverged: bool
    steps: int
    seconds: float
    optimizer_state: dict[str, Tensor] = field(repr=False)
    gradient_magnitudes: dict[str, Tensor] | None = field(repr=False)
    engine: str
    gradient_products: dict[str, Tensor] | None = field(default=None, repr=False)
    remark: str = ""


def epoch_order(job: TrainingJob, epoch: int) -> np.ndarray:
    """Returns int64 indices of the training examples that an epoch uses, in their order."""
    order = job.key.child("epoch", epoch).generator().permutation(len(job.task.train_labels))
    return order[: job.examples_per_epoch]
