"""Passes compute a batch's outputs, their loss and its gradient; engines differ in them alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from raylot.networks.units import HiddenLayer, recorded_outputs
from raylot.training.flat import FlatParameters
from raylot.training.job import TrainingJob
from raylot.training.losses import loss_of
from raylot.training.precision import differentiator, lower_precision
from raylot.training.record import Record


class Passes(Protocol):
    """The passes of a job's network over batches.

    Attributes:
        engine: the engine whose passes they are.
    """

    engine: ClassVar[str]

    def observed(
        self, layers: Sequence[HiddenLayer]
    ) -> AbstractContextManager[Mapping[str, Tensor]]:
        """Opens what shows, by name, the outputs of hidden layers in the latest `forward`."""

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Returns the mean loss of a batch, without its graph."""

    def backward(self, term: Tensor | None) -> bool:
        """Sets ``flat.gradient`` to that of the batch's loss plus a term.

        Returns:
            Whether to take the step.
        """

    def add_to(self, record: Record) -> None:
        """Adds losses and hits of all batches since the last call."""


#: Makes the passes of a job whose parameters an optimizer moves as one flat vector.
MakePasses = Callable[[TrainingJob, FlatParameters, torch.optim.Optimizer], Passes]


class Autograd:
    """The passes of any network, by PyTorch's autograd."""

    engine: ClassVar[str] = "generic"

    def __init__(
        self, job: TrainingJob, flat: FlatParameters, stepper: torch.optim.Optimizer
    ) -> None:
        """Prepares the passes of a job whose parameters an optimizer moves as one vector."""
        self._job = job
        self._precision = lower_precision(job.optimizer, flat.vector.device)
        self._differentiate = differentiator(job.optimizer, flat, stepper)
        self._loss = torch.empty(0)
        self._outputs: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._recorded: dict[str, Tensor] = {}
        self._given: dict[str, Tensor] = {}

    @contextlib.contextmanager
    def observed(self, layers: Sequence[HiddenLayer]) -> Iterator[Mapping[str, Tensor]]:
        with recorded_outputs(self._job.network, layers) as self._recorded:
            yield self._given

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        options = self._job.optimizer
        with self._precision:
            outputs = self._job.network(inputs)
        self._given.update(self._recorded)
        if options.precision != "float32":
            outputs = outputs.float()
        self._outputs.append(outputs.detach())
        self._labels.append(labels)
        self._loss = loss_of(
            self._job.task, outputs, labels, label_smoothing=options.label_smoothing
        )
        return self._loss.detach()

    def backward(self, term: Tensor | None) -> bool:
        return self._differentiate(self._loss if term is None else self._loss + term)

    def add_to(self, record: Record) -> None:
        if self._outputs:
            record.add_outputs(self._job.task, torch.cat(self._outputs), torch.cat(self._labels))
        self._outputs, self._labels = [], []
