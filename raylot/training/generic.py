"""The generic engine: trains any `nn.Module` step by step, by autograd; the reference for others.

Its loop is also that of the fast engine, with other passes, where something acts within steps.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from raylot.training.augmentation import Augmentation
from raylot.training.evaluation import Evaluation, begin_training, evaluate
from raylot.training.flat import FlatParameters, Masks
from raylot.training.gradient_means import GradientMeans
from raylot.training.hooks import Intervention, Training, action_interval
from raylot.training.job import TrainingJob, TrainingResult, epoch_order
from raylot.training.memory_format import channels_last, takes_channels_last
from raylot.training.optimizers import bare_step, build_optimizer, optimizer_tensors
from raylot.training.passes import Autograd, MakePasses
from raylot.training.record import Record
from raylot.training.repeatable import exact_convolutions, own_random_state
from raylot.training.schedules import rate_factor

#: Batches and examples gathered and scaled at once, at least: many enough to spread the cost of
#: small tensor operations, few enough to stay in the processor's cache until they are used.
BATCHES_PER_BLOCK, EXAMPLES_PER_BLOCK = 16, 512


def train(job: TrainingJob, passes: MakePasses = Autograd) -> TrainingResult:
    """Trains a job for which passes can be made; any job by `Autograd`."""
    network, task, key, options = job.network, job.task, job.key, job.optimizer
    device = task.train_labels.device
    record = Record()
    steps, seconds = 0, 0.0
    stop = math.inf if job.max_steps is None else job.max_steps
    latest: Evaluation | None = None
    begin_training(network)
    # Asked before an intervention of raylot's own puts hooks into the network.
    has_channels_last = takes_channels_last(network, job.intervention)
    with contextlib.ExitStack() as stack:
        stack.enter_context(own_random_state(device, key))
        stack.enter_context(flushed_denormals())
        stack.enter_context(exact_convolutions())
        flat = stack.enter_context(FlatParameters(network))
        guard = MaskGuard(flat, job.masks, job.masked)
        act = job.intervention or Intervention()
        every = action_interval(act)
        stepper = build_optimizer(
            flat.vector, options, job.optimizer_state, counts_per_weight=act.counts_per_weight
        )
        descend = bare_step(stepper)
        factor = rate_factor(options, job.steps)
        training = Training(
            network, task, flat, stepper, key.child("intervention"), job.initial, live=guard.live
        )
        stack.enter_context(act.watch(training))
        if job.whole_task:
            act.check(network)
            act.on_task_start(training)
            guard.restore()
        computed = passes(job, flat, stepper)
        observed = act.observed_layers(network)
        training.given = stack.enter_context(computed.observed(observed))

        def evaluated() -> Evaluation:
            with act.evaluation(training):
                return evaluate(network, task)

        follows_accuracy = job.learning_curve and not task.is_regression
        if follows_accuracy:
            record.add_to_curve(evaluated())
        # With zero gradients, only old moments, decay or an intervention can move weights.
        always_restore = (
            bool(options.weight_decay)
            or job.optimizer_state is not None
            or job.intervention is not None
        )
        means = GradientMeans(
            flat, magnitudes=job.gradient_magnitudes, products=job.gradient_products
        )
        examples = Examples(job)
        lay_out = channels_last if has_channels_last else Tensor.contiguous
        for epoch in range(job.epochs):
            started = time.perf_counter()
            for block_inputs, block_labels in examples.blocks(epoch):
                if steps >= stop:
                    break
                inputs = lay_out(block_inputs).split(job.batch_size)
                labels = block_labels.split(job.batch_size)
                for batch_inputs, batch_labels in zip(inputs, labels, strict=True):
                    if steps >= stop:
                        break
                    training.inputs = batch_inputs
                    training.loss = computed.forward(batch_inputs, batch_labels)
                    if computed.backward(act.loss_term(training)):
                        means.add()
                        act.after_gradient(training)
                        guard.mask_gradient()
                        if options.clip_norm is not None:
                            nn.utils.clip_grad_norm_([flat.vector], options.clip_norm)
                        if factor is not None:
                            stepper.param_groups[0]["lr"] = options.lr * factor(steps)
                        descend()
                    steps += 1
                    training.step = steps
                    if steps % every == 0:
                        act.after_step(training)
                    if always_restore:
                        guard.restore()
            computed.add_to(record)
            seconds += time.perf_counter() - started
            latest = None
            if not record.is_finite:
                break
            if follows_accuracy:
                latest = evaluated()
                record.add_to_curve(latest)
            if steps >= stop or (job.after_epoch is not None and job.after_epoch(network)):
                break
        guard.restore()  # a NaN gradient times 0 is NaN
        final = latest or evaluated()
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
            gradient_magnitudes=means.magnitudes,
            gradient_products=means.products,
            engine=computed.engine,
        )


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
        changes = None
        if self._job.optimizer.augment != "none":
            drawn = key.child("augmentation", epoch)
            changes = Augmentation.drawn(self._job.optimizer, drawn, examples, device)
        size = self._job.batch_size
        size *= max(BATCHES_PER_BLOCK, EXAMPLES_PER_BLOCK // size)
        for start in range(0, examples, size):
            block = slice(start, start + size)
            # Much faster than indexing, which gathers single elements.
            stored = task.train_inputs.index_select(0, index[block])
            own = None if changes is None else changes[block]
            inputs = task.scale(stored if own is None else own.of(stored))
            labels = task.train_labels.index_select(0, index[block])
            if previous is not None and bool(old[block].any()):
                faded = index[block][old[block]] % len(previous.train_labels)
                stored = previous.train_inputs[faded]
                if own is not None:
                    stored = own[old[block]].of(stored)
                inputs[old[block]] = previous.scale(stored)
                labels[old[block]] = previous.train_labels[faded]
            yield inputs, labels


class MaskGuard:
    """Keeps pruned entries of a flat parameter vector where they are, bit for bit.

    Attributes:
        live: which entries are not pruned; None: none is.
    """

    def __init__(self, flat: FlatParameters, masks: Masks | None, masked: str) -> None:
        self._flat = flat
        self.live = None if masks is None else flat.flatten_masks(masks)
        if self.live is None:
            return
        vector = flat.vector.detach()
        if masked == "zero":
            vector.masked_fill_(~self.live, 0)
        self._factor = self.live.to(vector.dtype)
        # Bits are combined ten times faster than torch.where chooses numbers.
        self._bits = vector.view(torch.int32)
        self._live_bits = torch.where(self.live, -1, 0).to(torch.int32)
        self._pruned_bits = self._bits.masked_fill(self.live, 0)

    def mask_gradient(self) -> None:
        if self.live is not None:
            self._flat.gradient.mul_(self._factor)

    def restore(self) -> None:
        if self.live is not None:
            self._bits.bitwise_and_(self._live_bits).bitwise_or_(self._pruned_bits)


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treats denormal numbers as 0 inside: they are slow, and frequent in Adam's state."""
    was_flushing = float(torch.tensor([1e-39]) * 1) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_flushing)
