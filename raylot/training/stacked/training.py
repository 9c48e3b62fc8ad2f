"""The training loop of a stack, and its evaluation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from raylot.training.evaluation import (
    EVALUATION_BATCH,
    Evaluation,
    begin_training,
    evaluate,
    evaluation_mode,
)
from raylot.training.generic import flushed_denormals
from raylot.training.job import TrainingJob, TrainingResult, epoch_order
from raylot.training.record import Record
from raylot.training.repeatable import exact_convolutions
from raylot.training.stacked.graph import captured
from raylot.training.stacked.members import Members
from raylot.training.stacked.splits import Split

#: Examples of all members per forward pass of an evaluation, to bound memory. They are more than
#: for one network, to fill a GPU.
STACKED_EVALUATION_BATCH = 8 * EVALUATION_BATCH


def train_stacked(jobs: Sequence[TrainingJob]) -> list[TrainingResult]:
    """Trains several jobs at once, each as it would be trained alone, up to rounding.

    Args:
        jobs: as many as fit into the device's memory together; `why_not` has no reason against
            them.

    Returns:
        A result per job, in their order. A member's ``seconds`` are its equal share of the stack's.

    Raises:
        ValueError: masks do not fit.
    """
    with flushed_denormals(), exact_convolutions():
        return _Stack(jobs).train() if jobs else []


class _Stack:
    """A stack under training."""

    def __init__(self, jobs: Sequence[TrainingJob]) -> None:
        self._jobs = jobs
        for job in jobs:
            begin_training(job.network)
        self._members = Members(jobs)
        self._examples = Split([job.task for job in jobs])
        self._tests = Split([job.task for job in jobs], test=True)
        self._tally = Tally(len(jobs), self._examples.device)
        #: Per size of batches: where a step finds the index of its examples, and the step.
        self._steps: dict[int, tuple[Tensor, Callable[[], None]]] = {}
        self._records = [Record() for _ in jobs]
        self._results: dict[int, TrainingResult] = {}
        self._seconds = 0.0
        self._steps_taken = 0

    def train(self) -> list[TrainingResult]:
        job = self._jobs[0]
        stop = math.inf if job.max_steps is None else job.max_steps
        latest = self._evaluated() if job.learning_curve else None
        self._extend_curves(latest)
        orders = self._orders(0)
        for epoch in range(job.epochs):
            started = time.perf_counter()
            order = torch.from_numpy(orders).to(self._examples.device)
            examples = 0
            for batch in order.split(job.batch_size, dim=1):
                if self._steps_taken >= stop:
                    break
                self._step(batch)
                self._steps_taken += 1
                examples += batch.shape[1]
            is_last = epoch + 1 == job.epochs or self._steps_taken >= stop
            if not is_last:  # prepared while a GPU still works on the steps
                orders = self._orders(epoch + 1)
            for record, (loss, correct) in zip(self._records, self._tally.taken(), strict=True):
                record.add(loss, correct, examples)
            self._seconds += time.perf_counter() - started
            self._finish_diverged()
            if len(self._results) == len(self._jobs):
                break
            latest = self._evaluated() if job.learning_curve else None
            self._extend_curves(latest)
            if is_last:
                break
        self._members.restore()
        if len(self._results) < len(self._jobs):
            for member, final in enumerate(latest or self._evaluated()):
                if member not in self._results:
                    self._finish(member, final)
        return [self._results[member] for member in range(len(self._jobs))]

    def _orders(self, epoch: int) -> np.ndarray:
        """Returns the order of each member's examples in an epoch, ``members x examples``."""
        return np.stack([epoch_order(job, epoch) for job in self._jobs])

    def _step(self, index: Tensor) -> None:
        """Steps on the examples of an index; the last batch of an epoch may be smaller."""
        size = index.shape[1]
        if size not in self._steps:
            chosen = index.clone()
            run = captured(
                lambda: self._descend(chosen),
                [*self._members.state, self._tally.loss, self._tally.correct],
                self._members.optimizer,
                index.device,
            )
            self._steps[size] = chosen, run
        chosen, run = self._steps[size]
        chosen.copy_(index)
        run()

    def _descend(self, index: Tensor) -> None:
        inputs, labels = self._examples.batch(index)
        losses = self._tally.add(self._members.logits(inputs), labels)
        self._members.descend(losses.mean(1).sum())

    def _finish_diverged(self) -> None:
        """Finishes members whose loss is not finite; their rows of the matrix are ignored then."""
        for member, record in enumerate(self._records):
            if member not in self._results and not record.is_finite:
                self._members.restore()
                self._members.write_back(member)
                job = self._jobs[member]
                self._finish(member, evaluate(job.network, job.task))

    def _finish(self, member: int, final: Evaluation) -> None:
        self._members.write_back(member)
        magnitudes = products = None
        if self._jobs[member].gradient_magnitudes:
            magnitudes = self._members.gradient_magnitudes(member, self._steps_taken)
        if self._jobs[member].gradient_products:
            products = self._members.gradient_products(member, self._steps_taken)
        self._results[member] = self._records[member].result(
            final,
            steps=self._steps_taken,
            seconds=self._seconds / len(self._jobs),
            optimizer_state=self._members.optimizer_state(member),
            gradient_magnitudes=magnitudes,
            gradient_products=products,
            engine="stacked",
        )

    def _extend_curves(self, evaluations: Sequence[Evaluation] | None) -> None:
        for record, evaluation in zip(self._records, evaluations or [], strict=False):
            record.add_to_curve(evaluation)

    @torch.no_grad()
    def _evaluated(self) -> list[Evaluation]:
        """Evaluates each member on its own test split; see `raylot.training.evaluate`."""
        members, tests = len(self._jobs), self._tests
        sums = Tally(members, tests.device)
        size = max(1, STACKED_EVALUATION_BATCH // members)
        with evaluation_mode(self._jobs[0].network):
            for index in torch.arange(tests.examples, device=tests.device).split(size):
                inputs, labels = tests.batch(index.expand(members, -1))
                sums.add(self._members.logits(inputs), labels)
        return [Evaluation.of(loss, correct, tests.examples) for loss, correct in sums.taken()]


class Tally:
    """Sums over the examples of each member, kept on the device."""

    def __init__(self, members: int, device: torch.device) -> None:
        self.loss = torch.zeros(members, dtype=torch.float64, device=device)
        self.correct = torch.zeros(members, dtype=torch.int64, device=device)

    def add(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Adds examples and returns their cross-entropies, ``members x examples``."""
        flat = logits.flatten(0, 1), labels.flatten()
        losses = F.cross_entropy(*flat, reduction="none").view(labels.shape)
        self.loss.add_(losses.detach().sum(1, dtype=torch.float64))
        self.correct.add_((logits.argmax(2) == labels).sum(1))
        return losses

    def taken(self) -> list[tuple[float, int]]:
        """Returns each member's summed loss and number of hits, and sets them to 0."""
        sums = list(zip(self.loss.tolist(), self.correct.tolist(), strict=True))
        self.loss.zero_()
        self.correct.zero_()
        return sums
