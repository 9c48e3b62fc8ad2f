"""Trains ReLU MLPs on the CPU by compiled kernels."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController
from torch import Tensor

from raylot.training import generic
from raylot.training.evaluation import Evaluation, begin_training, evaluate
from raylot.training.fast import kernels
from raylot.training.fast.inputs import are_sparse, nonzero_inputs, scaled_codes
from raylot.training.fast.layout import aligned
from raylot.training.fast.reasons import acts_within_steps
from raylot.training.fast.state import State
from raylot.training.fast.steps import classes_and_targets, passes
from raylot.training.flat import FlatParameters
from raylot.training.generic import Examples, MaskGuard, flushed_denormals
from raylot.training.hooks import Training, overrides
from raylot.training.job import TrainingJob, TrainingResult, epoch_order
from raylot.training.optimizers import build_optimizer, optimizer_tensors
from raylot.training.record import Record
from raylot.training.repeatable import own_random_state

#: Larger batches are trained densely, as most pixels occur in them.
_SPARSE_BATCH = 1024


def train(job: TrainingJob) -> TrainingResult:
    """Trains a job that `raylot.training.fast.why_not` has no reason against."""
    with _one_blas_thread():
        if acts_within_steps(job):
            return generic.train(job, passes)
        return _train_by_epochs(job)


def _train_by_epochs(job: TrainingJob) -> TrainingResult:
    """Trains a job whose steps are the same all along."""
    record, seconds = Record(), 0.0
    begin_training(job.network)
    if job.whole_task and job.intervention:
        job.intervention.check(job.network)
    with own_random_state(job.task.train_labels.device, job.key), flushed_denormals():
        state = State(job)
        epochs = _SparseEpochs(job, state) if _is_sparse(job) else _DenseEpochs(job, state)
        follows_accuracy = job.learning_curve and not job.task.is_regression
        if follows_accuracy:
            record.add_to_curve(epochs.evaluated())
        latest: Evaluation | None = None
        for epoch in range(job.epochs):
            started = time.perf_counter()
            epochs.train(epoch, record)
            seconds += time.perf_counter() - started
            latest = None
            if not record.is_finite:
                break
            if follows_accuracy:
                latest = epochs.evaluated()
                record.add_to_curve(latest)
            if state.examples_left == 0:
                break
            if job.after_epoch is not None:
                state.store()
                if job.after_epoch(job.network):
                    break
        final = latest or epochs.evaluated()
        state.store()
        optimizer_state = state.optimizer_state()
        if job.whole_task and job.intervention and overrides(job.intervention, "on_task_end"):
            optimizer_state = _acted(job, "on_task_end", state)
        return record.result(
            final,
            steps=state.steps,
            seconds=seconds,
            optimizer_state=optimizer_state,
            gradient_magnitudes=state.gradient_magnitudes(),
            engine="fast",
        )


def _acted(job: TrainingJob, place: str, state: State) -> dict[str, Tensor]:
    """Lets the job's method act on the network; returns what the optimizer's state is then."""
    state.store()
    with FlatParameters(job.network) as flat:
        guard = MaskGuard(flat, job.masks, job.masked)
        optimizer = build_optimizer(flat.vector, job.optimizer, state.optimizer_state())
        key = job.key.child("intervention")
        training = Training(
            job.network, job.task, flat, optimizer, key, job.initial, state.steps, live=guard.live
        )
        getattr(job.intervention, place)(training)
        guard.restore()
        return optimizer_tensors(optimizer, flat.vector)


def _is_sparse(job: TrainingJob) -> bool:
    return job.fading is None and job.batch_size <= _SPARSE_BATCH and are_sparse(job.task)


def _known(job: TrainingJob, correct: int) -> int | None:
    """Returns the number of hits; None in regression, which has none."""
    return None if job.task.is_regression else correct


def _end_part(
    job: TrainingJob, state: State, record: Record, loss: float, correct: int, examples: int
) -> None:
    """Notes what training on some examples has given, and lets the method act if it is time."""
    state.count(examples)
    record.add(loss, _known(job, correct), examples)
    if state.is_time_to_act:
        state.load(_acted(job, "after_step", state))


class _SparseEpochs:
    """Epochs over the nonzero inputs."""

    def __init__(self, job: TrainingJob, state: State) -> None:
        self._job, self._state = job, state
        train, test = nonzero_inputs(job.task.train_inputs), nonzero_inputs(job.task.test_inputs)
        assert train is not None, "are_sparse says so"
        assert test is not None, "are_sparse says so"
        self._train, self._test = train, test
        self._scale = scaled_codes(job.task)
        self._labels = job.task.train_labels.numpy()
        state.list_survivors()
        room = job.batch_size * int(state.widths.sum())
        self._room = aligned(room), aligned(room), aligned(int(state.widths[0]))

    def train(self, epoch: int, record: Record) -> None:
        """Trains for one epoch, or for the steps that are left."""
        state, inputs = self._state, self._train
        order = epoch_order(self._job, epoch)
        for part in state.parts(len(order)):
            chosen = order[part]
            loss, correct = kernels.train_sparse(
                inputs.starts, inputs.pixels, inputs.codes, self._scale,
                *classes_and_targets(self._labels[chosen]), chosen,
                self._job.batch_size, state.rule, state.options, state.step, state.widths,
                *state.arguments_of_first(), state.mask_kind, state.keep,
                state.list_starts, state.columns,
                state.listed, state.listed_mean, state.listed_square, state.listed_centre,
                *state.arguments_of_rest(), *self._room,
            )  # fmt: skip
            _end_part(self._job, state, record, loss, correct, len(chosen))

    def evaluated(self) -> Evaluation:
        """Evaluates the network on the test split."""
        state, inputs, labels = self._state, self._test, self._job.task.test_labels.numpy()
        loss, correct = kernels.evaluate_sparse(
            inputs.starts, inputs.pixels, inputs.codes, self._scale, *classes_and_targets(labels),
            state.widths, state.first, state.rest,
        )  # fmt: skip
        return Evaluation.of(loss, _known(self._job, correct), len(labels))


class _DenseEpochs:
    """Epochs over all inputs."""

    def __init__(self, job: TrainingJob, state: State) -> None:
        self._job, self._state = job, state
        self._examples = Examples(job)

    def train(self, epoch: int, record: Record) -> None:
        """Trains for one epoch, or for the steps that are left."""
        state = self._state
        for block_inputs, block_labels in self._examples.blocks(epoch):
            inputs, labels = block_inputs.flatten(1).numpy(), block_labels.numpy()
            for part in state.parts(len(labels)):
                loss, correct = kernels.train_dense(
                    inputs[part], *classes_and_targets(labels[part]), self._job.batch_size,
                    state.rule, state.options, state.step, state.widths,
                    *state.arguments_of_first(), state.mask_kind, state.keep,
                    *state.arguments_of_rest(),
                )  # fmt: skip
                _end_part(self._job, state, record, loss, correct, len(labels[part]))
            if state.examples_left == 0:
                break

    def evaluated(self) -> Evaluation:
        """Evaluates the network on the test split."""
        self._state.store()
        return evaluate(self._job.network, self._job.task)


@contextlib.contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Uses one thread, as threads mostly wait for each other with matrices this small."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _controller() -> ThreadpoolController:
    import scipy.linalg.cython_blas  # noqa: F401  loads numba's BLAS, so that it is found

    return ThreadpoolController()
