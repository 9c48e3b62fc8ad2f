"""Training of any `nn.Module` by autograd: the reference that every faster engine must equal."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot.config import OptimizerOptions
from raylot.data import Task
from raylot.randomness import RandomKey
from raylot.training.evaluation import Evaluation, evaluate
from raylot.training.flat import FlatParameters, Masks

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
            test accuracy before training and after each epoch, divided by the epochs: 1 means
            perfect from the start (Chaudhry et al. 2019); None if no curve was asked for.
        diverged: whether a loss was not finite; the measures above are then NaN, but for test_loss.
        steps: optimizer steps taken.
        seconds: wall-clock of the training loop, evaluations excluded.
        optimizer_state: the optimizer's tensors: its moments, a value per trainable parameter,
            and its step count.
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
    """
    curve: list[float] = []
    online_loss, online_correct = 0.0, 0
    steps, seconds = 0, 0.0
    examples = len(task.train_labels)
    latest: Evaluation | None = None
    if learning_curve:
        curve.append(evaluate(network, task).accuracy)
    network.train()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_own_random_state(task.train_labels.device, key))
        stack.enter_context(flushed_denormals())
        flat = stack.enter_context(FlatParameters(network))
        guard = _MaskGuard(flat, masks, masked)
        stepper = _build_optimizer(flat.vector, optimizer, optimizer_state)
        # Zero gradients leave weights where they are unless old moments or decay move them.
        always_restore = bool(optimizer.weight_decay) or optimizer_state is not None
        for epoch in range(epochs):
            started = time.perf_counter()
            epoch_logits: list[Tensor] = []
            order = key.child("epoch", epoch).generator().permutation(examples)
            index = torch.from_numpy(order).to(task.train_labels.device)
            for block in index.split(batch_size * BATCHES_PER_BLOCK):
                inputs = task.scale(task.train_inputs[block]).split(batch_size)
                labels = task.train_labels[block].split(batch_size)
                for batch_inputs, batch_labels in zip(inputs, labels, strict=True):
                    logits = network(batch_inputs)
                    loss = F.cross_entropy(logits, batch_labels)
                    flat.gradient.zero_()
                    loss.backward()
                    guard.mask_gradient()
                    stepper.step()
                    if always_restore:
                        guard.restore()
                    epoch_logits.append(logits.detach())
                    steps += 1
            loss_sum, correct = _online(torch.cat(epoch_logits), task.train_labels[index])
            seconds += time.perf_counter() - started
            online_loss += loss_sum
            online_correct += correct
            if not math.isfinite(loss_sum):
                latest = None
                break
            if learning_curve:
                latest = evaluate(network, task)
                curve.append(latest.accuracy)
        guard.restore()  # NaN gradients get past a product with 0
        state = _optimizer_tensors(stepper, flat.vector)
    final = latest or evaluate(network, task)
    diverged = not (math.isfinite(online_loss) and math.isfinite(final.loss))
    nan = float("nan")
    speed = sum(curve[:-1]) / 2 + sum(curve[1:]) / 2 if learning_curve else None
    return TrainingResult(
        train_loss=online_loss / (examples * epochs) if not diverged else nan,
        online_accuracy=online_correct / (examples * epochs) if not diverged else nan,
        test_loss=final.loss,
        test_accuracy=final.accuracy if not diverged else nan,
        learning_speed=None if speed is None else (nan if diverged else speed / epochs),
        diverged=diverged,
        steps=steps,
        seconds=seconds,
        optimizer_state=state,
    )


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


def _online(logits: Tensor, labels: Tensor) -> tuple[float, int]:
    """Summed loss and number correct of one epoch's logits, each from before its step."""
    loss = F.cross_entropy(logits, labels, reduction="none").sum(dtype=torch.float64)
    return float(loss), int((logits.argmax(1) == labels).sum())


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
