"""Training of any `nn.Module` by autograd: the reference that every faster engine must equal."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot.config import OptimizerOptions
from raylot.data import Task
from raylot.randomness import RandomKey
from raylot.training.evaluation import Evaluation, evaluate
from raylot.training.flat import FlatParameters, Masks
from raylot.training.hooks import Intervention, Training

#: Batches gathered and scaled at once: bounds memory, spreads the cost of small tensor operations.
BATCHES_PER_BLOCK = 64


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


def train(
    network: nn.Module,
    task: Task,
    *,
    epochs: int,
    batch_size: int,
    optimizer: OptimizerOptions,
    key: RandomKey,
    masks: Masks | None = None,
    masked: str = "zero",
    optimizer_state: dict[str, Tensor] | None = None,
    learning_curve: bool = False,
    previous: Task | None = None,
    gradual: float = 0.0,
    max_steps: int | None = None,
    gradient_magnitudes: bool = False,
    intervention: Intervention | None = None,
    initial: Mapping[str, Tensor] | None = None,
    whole_task: bool = False,
) -> TrainingResult:
    """Trains a network in place on a task's training split.

    Args:
        network: any module that maps inputs to logits, on the task's device.
        task: training and test split.
        epochs: passes over the training split.
        batch_size: examples per step; the last batch of an epoch may be smaller.
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
    curve: list[float] = []
    online = _Online()
    steps, seconds = 0, 0.0
    stop = math.inf if max_steps is None else max_steps
    latest: Evaluation | None = None
    network.train()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_own_random_state(task.train_labels.device, key))
        stack.enter_context(flushed_denormals())
        flat = stack.enter_context(FlatParameters(network))
        guard = _MaskGuard(flat, masks, masked)
        stepper = _build_optimizer(flat.vector, optimizer, optimizer_state)
        act = intervention or Intervention()
        training = Training(network, task, flat, stepper, key.child("intervention"), initial)
        if whole_task:
            act.on_task_start(training)
            guard.restore()
        if learning_curve:
            curve.append(evaluate(network, task).accuracy)
        # Zero gradients leave weights where they are unless old moments or decay move them.
        always_restore = (
            bool(optimizer.weight_decay) or optimizer_state is not None or intervention is not None
        )
        magnitudes = torch.zeros_like(flat.gradient) if gradient_magnitudes else None
        examples = _Examples(task, previous, gradual, epochs, key)
        for epoch in range(epochs):
            started = time.perf_counter()
            epoch_logits: list[Tensor] = []
            epoch_labels: list[Tensor] = []
            for block_inputs, block_labels in examples.blocks(epoch, batch_size):
                if steps >= stop:
                    break
                epoch_labels.append(block_labels)
                inputs, labels = block_inputs.split(batch_size), block_labels.split(batch_size)
                for batch_inputs, batch_labels in zip(inputs, labels, strict=True):
                    if steps >= stop:
                        break
                    training.inputs = batch_inputs
                    logits = network(batch_inputs)
                    loss = F.cross_entropy(logits, batch_labels)
                    if (term := act.loss_term(training)) is not None:
                        loss = loss + term
                    flat.gradient.zero_()
                    loss.backward()
                    if magnitudes is not None:
                        magnitudes.add_(flat.gradient.abs())
                    act.after_gradient(training)
                    guard.mask_gradient()
                    stepper.step()
                    steps += 1
                    training.step = steps
                    act.after_step(training)
                    if always_restore:
                        guard.restore()
                    epoch_logits.append(logits.detach())
            finite = online.add(epoch_logits, epoch_labels)
            seconds += time.perf_counter() - started
            latest = None
            if not finite:
                break
            if learning_curve:
                latest = evaluate(network, task)
                curve.append(latest.accuracy)
            if steps >= stop:
                break
        guard.restore()  # NaN gradients get past a product with 0
        final = latest or evaluate(network, task)
        if whole_task:
            act.on_task_end(training)
            guard.restore()
        state = _optimizer_tensors(stepper, flat.vector)
        means = None if magnitudes is None else flat.unflatten(magnitudes / max(1, steps))
    diverged = not (math.isfinite(online.loss) and math.isfinite(final.loss))
    nan = float("nan")
    speed = None
    if learning_curve:
        area = sum(curve[:-1]) / 2 + sum(curve[1:]) / 2
        speed = nan if diverged else area / (len(curve) - 1)
    return TrainingResult(
        train_loss=online.mean_loss if not diverged else nan,
        online_accuracy=online.accuracy if not diverged else nan,
        test_loss=final.loss,
        test_accuracy=final.accuracy if not diverged else nan,
        learning_speed=speed,
        diverged=diverged,
        steps=steps,
        seconds=seconds,
        optimizer_state=state,
        gradient_magnitudes=means,
    )


class _Examples:
    """The training examples in the order of use, among them those of a task that fades out."""

    def __init__(
        self, task: Task, previous: Task | None, gradual: float, epochs: int, key: RandomKey
    ) -> None:
        self._task = task
        self._previous = previous if gradual else None
        self._key = key
        self._fading = gradual * epochs * len(task.train_labels)

    def blocks(self, epoch: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Scaled inputs and labels of an epoch, many batches at once."""
        examples = len(self._task.train_labels)
        device = self._task.train_labels.device
        order = self._key.child("epoch", epoch).generator().permutation(examples)
        index = torch.from_numpy(order).to(device)
        old = torch.zeros(0, dtype=torch.bool, device=device)
        if self._previous is not None:
            used = np.arange(epoch * examples, (epoch + 1) * examples)
            draws = self._key.child("gradual", epoch).generator().random(examples)
            old = torch.from_numpy(draws < 1 - used / self._fading).to(device)
        size = batch_size * BATCHES_PER_BLOCK
        for start in range(0, examples, size):
            block = slice(start, start + size)
            inputs = self._task.scale(self._task.train_inputs[index[block]])
            labels = self._task.train_labels[index[block]]
            if self._previous is not None and bool(old[block].any()):
                faded = index[block][old[block]] % len(self._previous.train_labels)
                inputs[old[block]] = self._previous.scale(self._previous.train_inputs[faded])
                labels[old[block]] = self._previous.train_labels[faded]
            yield inputs, labels


class _Online:
    """Loss and accuracy of all examples so far, each from before the step that used it."""

    def __init__(self) -> None:
        self.loss = 0.0
        self._correct = 0
        self._examples = 0

    def add(self, logits: list[Tensor], labels: list[Tensor]) -> bool:
        """Adds the steps of an epoch; whether their loss is finite."""
        if not logits:
            return True
        outputs = torch.cat(logits)
        targets = torch.cat(labels)[: len(outputs)]
        loss = F.cross_entropy(outputs, targets, reduction="none").sum(dtype=torch.float64)
        self.loss += float(loss)
        self._correct += int((outputs.argmax(1) == targets).sum())
        self._examples += len(targets)
        return math.isfinite(self.loss)

    @property
    def mean_loss(self) -> float:
        return self.loss / self._examples if self._examples else math.nan

    @property
    def accuracy(self) -> float:
        return self._correct / self._examples if self._examples else math.nan


class _MaskGuard:
    """Keeps pruned entries of a flat parameter vector bit for bit where they are."""

    def __init__(self, flat: FlatParameters, masks: Masks | None, masked: str) -> None:
        self._flat = flat
        self._mask = None if masks is None else flat.flatten_masks(masks)
        if self._mask is None:
            return
        vector = flat.vector.detach()
        if masked == "zero":
            vector.masked_fill_(~self._mask, 0)
        self._factor = self._mask.to(vector.dtype)
        self._fixed = vector.clone()

    def mask_gradient(self) -> None:
        if self._mask is not None:
            self._flat.gradient.mul_(self._factor)

    def restore(self) -> None:
        if self._mask is not None:
            vector = self._flat.vector.detach()
            torch.where(self._mask, vector, self._fixed, out=vector)


def _build_optimizer(
    vector: nn.Parameter, options: OptimizerOptions, state: dict[str, Tensor] | None
) -> torch.optim.Optimizer:
    stepper: torch.optim.Optimizer
    if options.optimizer == "adam":
        stepper = torch.optim.Adam(
            [vector], lr=options.lr, weight_decay=options.weight_decay, fused=True
        )
    else:
        stepper = torch.optim.SGD(
            [vector],
            lr=options.lr,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            fused=True,
        )
    if state:
        stepper.state[vector] = {
            name: tensor.to(vector.device, copy=True) for name, tensor in state.items()
        }
    return stepper


def _optimizer_tensors(stepper: torch.optim.Optimizer, vector: nn.Parameter) -> dict[str, Tensor]:
    return {k: v for k, v in stepper.state[vector].items() if isinstance(v, Tensor)}


@contextlib.contextmanager
def _own_random_state(device: torch.device, key: RandomKey) -> Iterator[None]:
    """Draws by the network itself depend on the key alone, and disturb nobody else's."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(key.child("network").torch_seed())
        yield


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treats denormal numbers as 0 inside; they make up much of Adam's state and are slow."""
    was_flushing = float(torch.tensor([1e-39]) * 1) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_flushing)
