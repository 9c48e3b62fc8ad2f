"""Single training steps, each from the same state: what a step would do, without training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from raylot.config import TrainingOptions
from raylot.tasks import Task
from raylot.training import Masks
from raylot.training.flat import FlatParameters
from raylot.training.losses import loss_of
from raylot.training.optimizers import bare_step, build_optimizer

#: Gives the network the weights after one step on inputs and labels; returns its outputs before.
Step = Callable[[Tensor, Tensor], Tensor]


@contextlib.contextmanager
def steps_from_here(
    network: nn.Module, task: Task, training: TrainingOptions, masks: Masks
) -> Iterator[Step]:
    """Yields a function that takes one step from the state that the network has now.

    The step is the first of a training: a fresh optimizer at the learning rate ``lr``, the loss
    with label smoothing, the gradient of live weights, shortened to ``clip_norm``. Pruned weights
    stay where they are. Augmentation, schedule, mixed precision and interventions are left out.

    Args:
        network: a copy that may be changed, in evaluation mode: normalisations keep their
            statistics, and dropout does nothing, so that one example makes a batch.
        task: says what the loss is.
        training: the optimizer, and what shapes its steps.
        masks: survivors by parameter name.

    Raises:
        OptionError: an optimizer cannot train the parameters.
    """
    with FlatParameters(network) as flat:
        vector = flat.vector.detach()
        start, live = vector.clone(), flat.flatten_masks(masks)

        def step(inputs: Tensor, labels: Tensor) -> Tensor:
            vector.copy_(start)
            outputs = network(inputs)
            loss = loss_of(task, outputs, labels, label_smoothing=training.label_smoothing)
            flat.differentiate(loss)
            flat.gradient.mul_(live)
            if training.clip_norm is not None:
                nn.utils.clip_grad_norm_([flat.vector], training.clip_norm)
            bare_step(build_optimizer(flat.vector, training, None))()
            torch.where(live, vector, start, out=vector)
            before: Tensor = outputs.detach()
            return before

        yield step
