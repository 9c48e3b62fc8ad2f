"""Winning tickets: iterative magnitude pruning from a snapshot, and its controls."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from raylot.config import SeedOptions, TicketSearchOptions
from raylot.data import Task
from raylot.names import WHOLE_NETWORK
from raylot.options import OptionError
from raylot.overlap import effective_count, overlap_matrix, pairwise_overlaps
from raylot.pruning import (
    density,
    full_masks,
    prunable_weights,
    prune,
    random_masks_like,
)
from raylot.randomness import RandomKey
from raylot.training import Masks, TrainingResult, train

#: Values of the ``control`` column of the ``tickets`` table.
TICKET, DENSE, RANDOM = "none", "dense", "random"


class TicketSearch:
    """The search for all tickets of one snapshot, one round at a time.

    Round 0 trains the dense network, each later round the network under the masks so far, each
    time from the snapshot; all rounds but the last end by pruning. Between rounds, ``masks`` and
    ``round`` are the whole state. `train_random_masks` follows.
    """

    def __init__(
        self, network: nn.Module, task: Task, options: TicketSearchOptions, key: RandomKey
    ) -> None:
        """Starts a search.

        Args:
            network: in the snapshot's state, on the task's device; it is used up.
            task: what the tickets are searched on.
            options: how they are searched.
            key: decides all data orders and random masks.
        """
        self.options = options
        self.round = 0
        self.masks: list[Masks] = [full_masks(network) for _ in range(options.tickets)]
        self._network = network
        self._task = task
        self._key = key
        self._snapshot = copy.deepcopy(network.state_dict())

    @property
    def rounds_left(self) -> int:
        """Calls of `train_round` still to come."""
        return self.options.round_count + 1 - self.round

    def train_round(self) -> tuple[list[dict[str, Any]], list[TrainingResult]]:
        """Trains every ticket once and prunes it, except after the last round.

        Returns:
            Per ticket, a row of the ``tickets`` table without identity, and the training.
        """
        rows, trainings = [], []
        for ticket, masks in enumerate(self.masks):
            result = self._train(masks, self._key.child("ticket", ticket, "round", self.round))
            rows.append(self._row(TICKET if self.round else DENSE, ticket, masks, result))
            trainings.append(result)
            if self.round < self.options.round_count:
                self.masks[ticket] = self._pruned(masks)
        self.round += 1
        return rows, trainings

    def train_random_masks(self) -> tuple[list[dict[str, Any]], list[TrainingResult]]:
        """Trains the control: random masks with as many survivors per layer as the tickets.

        Returns:
            Per mask, a row of the ``tickets`` table without identity, and the training.
        """
        rows, trainings = [], []
        for index in range(self.options.random_mask_count):
            like = self.masks[index % len(self.masks)]
            masks = random_masks_like(like, self._key.child("random mask", index))
            result = self._train(masks, self._key.child("random", index))
            rows.append(self._row(RANDOM, index, masks, result))
            trainings.append(result)
        return rows, trainings

    def _train(self, masks: Masks, key: RandomKey) -> TrainingResult:
        self._network.load_state_dict(self._snapshot)
        return train(
            self._network,
            self._task,
            epochs=self.options.epochs,
            batch_size=self.options.batch_size,
            optimizer=self.options,
            key=key,
            masks=masks if self.round else None,
            masked=self.options.masked,
        )

    def _pruned(self, masks: Masks) -> Masks:
        scores = {name: w.detach().abs() for name, w in prunable_weights(self._network).items()}
        return prune(
            scores,
            masks,
            self.options.sparsity,
            self.round + 1,
            self.options.round_count,
            self.options.scope,
        )

    def _row(
        self, control: str, ticket: int, masks: Masks, result: TrainingResult
    ) -> dict[str, Any]:
        return {
            "control": control,
            "ticket": ticket,
            "round": self.round if control != RANDOM else self.options.round_count,
            "density": density(masks),
            "train_loss": result.train_loss,
            "online_accuracy": result.online_accuracy,
            "test_loss": result.test_loss,
            "test_accuracy": result.test_accuracy,
        }


@dataclass(frozen=True)
class Tickets:
    """The tickets found from one snapshot.

    Attributes:
        masks: per ticket, ``{parameter name: boolean tensor}``, True for survivors, on the CPU.
        accuracies: per ticket, its own test accuracy, trained from the snapshot, in [0, 1].
        dense_accuracies: test accuracy of the dense network, per ticket's data order.
        random_accuracies: test accuracy per random mask.
        tolerance: how far below the dense network's mean accuracy a ticket may be and still win.
        rows: every training, as rows of the ``tickets`` table without identity.
    """

    masks: list[Masks]
    accuracies: list[float]
    dense_accuracies: list[float]
    random_accuracies: list[float]
    tolerance: float
    rows: list[dict[str, Any]]

    @classmethod
    def from_rows(
        cls, masks: Sequence[Masks], rows: Sequence[Mapping[str, Any]], tolerance: float
    ) -> Tickets:
        """Puts together what a finished `TicketSearch` returned, round by round."""
        last = max(row["round"] for row in rows)

        def accuracies(control: str, round_index: int) -> list[float]:
            return [
                row["test_accuracy"]
                for row in rows
                if row["control"] == control and row["round"] == round_index
            ]

        return cls(
            masks=[{name: mask.cpu() for name, mask in m.items()} for m in masks],
            accuracies=accuracies(TICKET, last),
            dense_accuracies=accuracies(DENSE, 0),
            random_accuracies=accuracies(RANDOM, last),
            tolerance=tolerance,
            rows=[dict(row) for row in rows],
        )

    @property
    def wins(self) -> list[bool]:
        """Per ticket, whether it wins.

        It does if its test accuracy is at most ``tolerance`` below the dense network's mean, and
        above that of every random mask.
        """
        required = statistics.fmean(self.dense_accuracies) - self.tolerance
        finite = [accuracy for accuracy in self.random_accuracies if math.isfinite(accuracy)]
        best_random = max(finite, default=float("-inf"))
        return [accuracy >= required and accuracy > best_random for accuracy in self.accuracies]

    @property
    def density(self) -> float:
        """Mean fraction of prunable weights that survive."""
        return statistics.fmean(density(masks) for masks in self.masks)

    @property
    def ticket_count(self) -> float:
        """Effective number of distinct tickets, from 1 (all the same) to their number."""
        return effective_count(self._matrix())

    @property
    def winning_ticket_count(self) -> float:
        """Effective number of distinct tickets among those that win; 0 if none does."""
        winners = [ticket for ticket, wins in enumerate(self.wins) if wins]
        return effective_count(self._matrix()[winners][:, winners])

    def overlaps(self, *, per_layer: bool = False) -> pd.DataFrame:
        """Pairwise overlap of the masks beside its chance level.

        Returns:
            Columns ticket_a, ticket_b, jaccard, chance, corrected, a row per pair; with per_layer
            also layer (``"all"`` for the whole network), a row per pair and layer.
        """
        every = self._pairs
        if per_layer:
            return every
        whole = every[every["layer"] == WHOLE_NETWORK]
        return whole.drop(columns="layer").reset_index(drop=True)

    def summary(self) -> dict[str, Any]:
        """Columns of the ``snapshots`` table that these tickets decide."""
        overlaps = self.overlaps()
        return {
            "density": self.density,
            "tickets": len(self.masks),
            "winning_tickets": sum(self.wins),
            "ticket_count": self.ticket_count,
            "winning_ticket_count": self.winning_ticket_count,
            "overlap_mean": overlaps["jaccard"].mean(),
            "overlap_std": overlaps["jaccard"].std(),
            "overlap_chance": overlaps["chance"].mean(),
            "overlap_corrected": overlaps["corrected"].mean(),
            "dense_accuracy": statistics.fmean(self.dense_accuracies),
            "ticket_accuracy": statistics.fmean(self.accuracies),
            "random_accuracy": _mean_or_nan(self.random_accuracies),
        }

    @functools.cached_property
    def _pairs(self) -> pd.DataFrame:
        return pairwise_overlaps(self.masks)

    def _matrix(self) -> np.ndarray:
        return overlap_matrix(self._pairs, len(self.masks))


def find_tickets(
    network: nn.Module,
    task: Task,
    *,
    sparsity: float,
    rounds: int | None = None,
    count: int = 10,
    masked: str = "zero",
    scope: str = "layer",
    epochs: int = 10,
    batch_size: int = 32,
    optimizer: str = "adam",
    lr: float = 1e-3,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    random_masks: int | None = None,
    tolerance: float = 0.01,
    seed: int = 0,
    device: str = "auto",
) -> Tickets:
    """Searches winning tickets of a network on a task by iterative magnitude pruning.

    Args:
        network: any module from inputs to logits, in the state to start from; left unchanged.
        task: training and test split.
        sparsity: fraction of the prunable weights removed in the end, in [0, 1).
        rounds: pruning rounds, at least 1; None: 20% of the survivors per round.
        count: tickets, at least 1; they differ only in data order.
        masked: ``"zero"``: pruned weights are 0 (Frankle & Carbin 2019); ``"freeze"``: they stay
            at their value in the network given (Zhou et al. 2019).
        scope: prune the same fraction of each ``"layer"``, or the smallest weights of all
            (``"global"``).
        epochs: passes over the training split in every training.
        batch_size: examples per step.
        optimizer: ``"adam"`` or ``"sgd"``, fresh for every training.
        lr: learning rate.
        momentum: of sgd.
        weight_decay: added to the gradient.
        random_masks: random masks of the same layer densities trained for comparison; None: as
            many as tickets.
        tolerance: see `Tickets.wins`.
        seed: decides all data orders and random masks.
        device: ``"auto"`` (a GPU if there is one), ``"cpu"`` (one thread) or ``"cuda"``.

    Raises:
        OptionError: an option is out of its range, in one line.
        ValueError: the network has nothing to prune.
    """
    options = TicketSearchOptions.checked(
        sparsity=sparsity, rounds=rounds, tickets=count, masked=masked, scope=scope,
        epochs=epochs, batch_size=batch_size, optimizer=optimizer, lr=lr, momentum=momentum,
        weight_decay=weight_decay, random_masks=random_masks, tolerance=tolerance, device=device,
    )  # fmt: skip
    target = choose_device(device)
    SeedOptions.checked(seed=seed)
    search = TicketSearch(
        copy.deepcopy(network).to(target), task.to(target), options, RandomKey((seed, "tickets"))
    )
    rows: list[dict[str, Any]] = []
    with _one_thread():
        while search.rounds_left:
            rows += search.train_round()[0]
        rows += search.train_random_masks()[0]
    return Tickets.from_rows(search.masks, rows, tolerance)


def _mean_or_nan(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else float("nan")


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """On matrices this small, threads mostly wait for each other; trials too use one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_device(device: str) -> torch.device:
    """``"auto"`` is the GPU if there is one, else the CPU.

    Raises:
        OptionError: there is no GPU to use.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise OptionError("device=cuda: must be auto or cpu, as PyTorch finds no GPU here")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def masks_to_tensors(masks: Sequence[Masks]) -> dict[str, Tensor]:
    """Masks under one flat naming, ``3/hidden1.weight``, as files need it."""
    return {f"{k}/{name}": mask for k, m in enumerate(masks) for name, mask in m.items()}


def masks_from_tensors(tensors: Mapping[str, Tensor]) -> list[Masks]:
    """Undoes `masks_to_tensors`."""
    masks: dict[int, Masks] = {}
    for name, tensor in tensors.items():
        ticket, _, parameter = name.partition("/")
        masks.setdefault(int(ticket), {})[parameter] = tensor.to(torch.bool)
    return [masks[ticket] for ticket in sorted(masks)]
