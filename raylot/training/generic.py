"""The generic engine: trains any `nn.Module` by autograd, the reference for all engines."""

from __future__ import annotations

import contextlib
import inspect
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot.config import OptimizerOptions
from raylot.foundation.randomness import RandomKey
from raylot.training.evaluation import Evaluation, begin_training, evaluate
from raylot.training.flat import FlatParameters, Masks
from raylot.training.hooks import Intervention, Training
from raylot.training.job import TrainingJob, TrainingResult, epoch_order
from raylot.training.record import Record

#: Batches gathered and scaled at once: many enough to spread the cost of small tensor operations,
#: few enough to stay in the processor's cache until they are used.
BATCHES_PER_BLOCK = 16


def train(job: TrainingJob) -> TrainingResult:
    """Trains any job."""
    network, task, key = job.network, job.task, job.key
    record = Record()
    steps, seconds = 0, 0.0
    stop = math.inf if job.max_steps is None else job.max_steps
    latest: Evaluation | None = None
    begin_training(network)
    with contextlib.ExitStack() as stack:
        stack.enter_context(own_random_state(task.train_labels.device, key))
        stack.enter_context(flushed_denormals())
        flat = stack.enter_context(FlatParameters(network))
        guard = MaskGuard(flat, job.masks, job.masked)
        stepper = build_optimizer(flat.vector, job.optimizer, job.optimizer_state)
        descend = bare_step(stepper)
        act = job.intervention or Intervention()
        training = Training(network, task, flat, stepper, key.child("intervention"), job.initial)
        if job.whole_task:
            act.check(network)
            act.on_task_start(training)
            guard.restore()
        if job.learning_curve:
            record.curve.append(evaluate(network, task).accuracy)
        # With zero gradients, only old moments, decay or an intervention can move weights.
        always_restore = (
            bool(job.optimizer.weight_decay)
            or job.optimizer_state is not None
            or job.intervention is not None
        )
        magnitudes = torch.zeros_like(flat.gradient) if job.gradient_magnitudes else None
        products = torch.zeros_like(flat.gradient) if job.gradient_products else None
        examples = Examples(job)
        for epoch in range(job.epochs):
            started = time.perf_counter()
            epoch_logits: list[Tensor] = []
            epoch_labels: list[Tensor] = []
            for block_inputs, block_labels in examples.blocks(epoch):
                if steps >= stop:
                    break
                epoch_labels.append(block_labels)
                inputs = block_inputs.split(job.batch_size)
                labels = block_labels.split(job.batch_size)
                for batch_inputs, batch_labels in zip(inputs, labels, strict=True):
                    if steps >= stop:
                        break
                    training.inputs = batch_inputs
                    logits = network(batch_inputs)
                    loss = F.cross_entropy(logits, batch_labels)
                    if (term := act.loss_term(training)) is not None:
                        loss = loss + term
                    flat.differentiate(loss)
                    if magnitudes is not None:
                        magnitudes.add_(flat.gradient.abs())
                    if products is not None:
                        products.addcmul_(flat.gradient, flat.vector.detach())
                    act.after_gradient(training)
                    guard.mask_gradient()
                    descend()
                    steps += 1
                    training.step = steps
                    act.after_step(training)
                    if always_restore:
                        guard.restore()
                    epoch_logits.append(logits.detach())
            if epoch_logits:
                record.add_logits(torch.cat(epoch_logits), torch.cat(epoch_labels))
            seconds += time.perf_counter() - started
            latest = None
            if not record.is_finite:
                break
            if job.learning_curve:
                latest = evaluate(network, task)
                record.curve.append(latest.accuracy)
            if steps >= stop:
                break
        guard.restore()  # a NaN gradient times 0 is NaN
        final = latest or evaluate(network, task)
        if job.whole_task:
            training.inputs = torch.empty(0)
            flat.gradient.zero_()
            act.on_task_end(training)
            guard.restore()
        return record.result(
            final,
            steps=steps,
            seconds=seconds,
            optimizer_state=optimizer_tensors(stepper, flat.vector),
            gradient_magnitudes=_means(flat, magnitudes, steps),
            gradient_products=_means(flat, products, steps),
            engine="generic",
        )


def _means(flat: FlatParameters, sums: Tensor | None, steps: int) -> dict[str, Tensor] | None:
    """Returns means over steps per parameter, if their sums were measured."""
    return None if sums is None else flat.unflatten(sums / max(1, steps))


class Examples:
    """A job's training examples in the order of use, mixed with those of a task that fades out."""

    def __init__(self, job: TrainingJob) -> None:
        self._job = job
        self._fading = job.gradual * job.epochs * job.examples_per_epoch

    def blocks(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields scaled inputs and labels of an epoch, many batches at once."""
        task, previous, key = self._job.task, self._job.fading, self._job.key
        examples = self._job.examples_per_epoch
        device = task.train_labels.device
        index = torch.from_numpy(epoch_order(self._job, epoch)).to(device)
        old = torch.zeros(0, dtype=torch.bool, device=device)
        if previous is not None:
            used = np.arange(epoch * examples, (epoch + 1) * examples)
            draws = key.child("gradual", epoch).generator().random(examples)
            old = torch.from_numpy(draws < 1 - used / self._fading).to(device)
        size = self._job.batch_size * BATCHES_PER_BLOCK
        for start in range(0, examples, size):
            block = slice(start, start + size)
            # Much faster than indexing, which gathers single elements.
            inputs = task.scale(task.train_inputs.index_select(0, index[block]))
            labels = task.train_labels.index_select(0, index[block])
            if previous is not None and bool(old[block].any()):
                faded = index[block][old[block]] % len(previous.train_labels)
                inputs[old[block]] = previous.scale(previous.train_inputs[faded])
                labels[old[block]] = previous.train_labels[faded]
            yield inputs, labels


class MaskGuard:
    """Keeps pruned entries of a flat parameter vector where they are, bit for bit."""

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


def build_optimizer(
    vector: nn.Parameter, options: OptimizerOptions, state: dict[str, Tensor] | None
) -> torch.optim.Optimizer:
    stepper: torch.optim.Optimizer
    common: dict[str, Any] = {"lr": options.lr, "weight_decay": options.weight_decay, "fused": True}
    if options.optimizer == "adam":
        stepper = torch.optim.Adam([vector], **common)
    else:
        stepper = torch.optim.SGD([vector], momentum=options.momentum, **common)
    if state:
        stepper.state[vector] = {
            name: tensor.to(vector.device, copy=True) for name, tensor in state.items()
        }
    return stepper


def optimizer_tensors(stepper: torch.optim.Optimizer, vector: nn.Parameter) -> dict[str, Tensor]:
    return {k: v for k, v in stepper.state[vector].items() if isinstance(v, Tensor)}


def bare_step(stepper: torch.optim.Optimizer) -> Callable[[], None]:
    """Returns an optimizer's `step` without profiling and hooks.

    These take as long as the update of 100,000 parameters.
    """
    step = inspect.unwrap(type(stepper).step)

    @torch.no_grad()
    def take() -> None:
        step(stepper)

    return take


@contextlib.contextmanager
def own_random_state(device: torch.device, key: RandomKey) -> Iterator[None]:
    """Lets the key alone decide the network's own draws, and restores the random state after."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        # Without a GPU, torch.manual_seed spends most of its time on notes for a later one.
        seed = torch.manual_seed if devices else torch.default_generator.manual_seed
        seed(key.child("network").torch_seed())
        yield


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treats denormal numbers as 0 inside: they are slow, and frequent in Adam's state."""
    was_flushing = float(torch.tensor([1e-39]) * 1) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_flushing)
