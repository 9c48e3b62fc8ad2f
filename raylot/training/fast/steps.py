"""Passes by compiled code over single batches, for whatever acts between two of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from raylot.networks.units import HiddenLayer
from raylot.training.fast import gradients
from raylot.training.fast.inputs import SPARSE_SHARE
from raylot.training.fast.layout import aligned
from raylot.training.fast.reasons import linear_layers
from raylot.training.fast.vectors import LANES
from raylot.training.flat import FlatParameters
from raylot.training.job import TrainingJob
from raylot.training.passes import Autograd, Passes
from raylot.training.record import Record

#: In smaller batches, dense products take less time than transposing the first layer's weights.
_LEAST_SPARSE_BATCH = 16


def passes(job: TrainingJob, flat: FlatParameters, stepper: torch.optim.Optimizer) -> Passes:
    """Returns compiled passes, or PyTorch's if a method has just changed the network's modules."""
    kind = Autograd if linear_layers(job.network) is None else Compiled
    return kind(job, flat, stepper)


class Compiled:
    """The passes of a ReLU MLP on the CPU, by compiled code."""

    engine: ClassVar[str] = "fast"

    def __init__(
        self, job: TrainingJob, flat: FlatParameters, stepper: torch.optim.Optimizer
    ) -> None:
        """Takes memory for batches of a job whose parameters an optimizer moves as one vector."""
        layers = linear_layers(job.network)
        assert layers is not None, "why_not says so"
        self._flat = flat
        self._vector, self._gradient = flat.vector.detach().numpy(), flat.gradient.numpy()
        self._widths = np.array([layer.out_features for layer in layers], np.int64)
        self._shown = layers[-1].out_features if job.task.shown is None else job.task.shown
        self._is_regression = job.task.is_regression
        self._smoothing = job.optimizer.label_smoothing
        batch, pixels = min(job.batch_size, job.examples_per_epoch), layers[0].in_features
        self._activations = aligned(batch * int(self._widths.sum()))
        self._deltas = aligned(len(self._activations))
        #: Up to so many inputs of a batch that are not 0, only these are walked.
        self._most = int(SPARSE_SHARE * batch * pixels) if batch >= _LEAST_SPARSE_BATCH else 0
        padded = places = 0
        if self._most:
            padded, places = -(-int(self._widths[0]) // LANES) * LANES, self._most + pixels
        self._room = (
            aligned(pixels * padded), aligned(batch * padded), np.zeros(batch + 1, np.int64),
            np.zeros(places, np.uint32), np.zeros(places, np.float32), np.zeros(pixels, np.int64),
        )  # fmt: skip
        self._grouped = np.zeros(places, np.uint32), np.zeros(places, np.float32), np.arange(batch)
        names = {id(module): name for name, module in job.network.named_modules()}
        begins = self._widths.cumsum() - self._widths
        #: By the layer's name: where its activations begin, in numbers per example, and how many.
        self._places = {
            names[id(layer)]: (int(begin), layer.out_features)
            for layer, begin in zip(layers, begins, strict=True)
        }
        self._observed: list[str] = []
        self._given: dict[str, Tensor] = {}
        self._inputs, self._is_sparse = np.empty((0, 0), np.float32), False
        self._loss, self._correct, self._examples = 0.0, 0, 0

    def observed(
        self, layers: Sequence[HiddenLayer]
    ) -> AbstractContextManager[Mapping[str, Tensor]]:
        self._observed = [layer.name for layer in layers]
        return contextlib.nullcontext(self._given)

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        batch = len(inputs)
        self._inputs = inputs.numpy().reshape(batch, -1)
        loss, trained, hits, self._is_sparse = gradients.forward(
            self._inputs, *classes_and_targets(labels.numpy()), self._shown, self._smoothing,
            self._widths, self._vector, self._activations, self._deltas, self._most, *self._room,
        )  # fmt: skip
        self._loss += loss
        self._correct += hits
        self._examples += batch
        for name in self._observed:
            begin, width = self._places[name]
            outputs = self._activations[batch * begin : batch * (begin + width)]
            # A copy, as a method may keep it beyond the step.
            self._given[name] = torch.from_numpy(outputs.reshape(batch, width).copy())
        return torch.from_numpy(np.array(trained / batch, np.float32))

    def backward(self, term: Tensor | None) -> bool:
        gradients.backward(
            self._inputs, self._is_sparse, self._widths, self._vector, self._gradient,
            self._activations, self._deltas, *self._room, *self._grouped,
        )  # fmt: skip
        if isinstance(term, Tensor) and term.requires_grad:
            self._flat.differentiate(term, add=True)
        return True

    def add_to(self, record: Record) -> None:
        if self._examples:
            correct = None if self._is_regression else self._correct
            record.add(self._loss, correct, self._examples)
        self._loss, self._correct, self._examples = 0.0, 0, 0


def classes_and_targets(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns a task's labels as kernels take them: one of both is empty."""
    if labels.ndim == 1:
        return labels, np.empty((0, 0), np.float32)
    return np.empty(0, np.int64), np.ascontiguousarray(labels)
