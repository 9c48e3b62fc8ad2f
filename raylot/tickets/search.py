"""The search for winning tickets by iterative magnitude pruning, round by round, and controls."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from raylot import networks
from raylot.config import TicketSearchOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.masks.criteria import CRITERIA
from raylot.masks.pruning import (
    density,
    full_masks,
    independent_masks,
    left_out,
    prune,
    random_masks_like,
    remark_on_left_out,
    remarks_on_emptied,
    shuffled_masks,
)
from raylot.networks.initialisation import reinitialised, why_not_reinitialised
from raylot.networks.prunable import Prunable
from raylot.tasks import Task
from raylot.training import (
    Intervention,
    Masks,
    TrainingJob,
    TrainingResult,
    evaluate,
    train_all,
    trains_together,
)

#: Values of the ``control`` column of the ``tickets`` table.
TICKET, DENSE, RANDOM, SHUFFLED, REINIT = "ticket", "dense", "random", "shuffled", "reinit"

_NOT_FINITE = "the network's loss on the task's test split is not finite before any training"

#: What a training returns: a row of the ``tickets`` table without identity, and its measures.
Trained = tuple[dict[str, Any], TrainingResult]


@dataclass(frozen=True, eq=False)
class _Plan:
    """One training of a search: which ticket's or control's, its draws, and where it starts."""

    index: int
    key: RandomKey
    start: Mapping[str, Tensor]
    masks: Masks
    initial: Mapping[str, Tensor] | None = None


class TicketSearch:
    """The search for all tickets of one snapshot, one round at a time.

    Round 0 trains the dense network, each later round the network under the masks so far, each
    time from the snapshot (or its state some steps later); all rounds but the last end by
    pruning. The controls follow. ``masks``, ``round`` and ``gradient_magnitudes`` are the whole
    state.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        options: TicketSearchOptions,
        key: RandomKey,
        *,
        prunable: Prunable = None,
        intervention: Intervention | None = None,
        initial: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Starts a search.

        Args:
            network: in the snapshot's state, on the task's device; left unchanged. Every training
                gets a copy of it, in which only what stands in ``state_dict`` is set to another
                state (a rewound or a re-initialised one).
            task: what the tickets are searched on.
            options: how they are searched.
            key: decides all data orders and random masks.
            prunable: which weights; None: those of linear and convolution layers.
            intervention: acts within every training, but not at its start and end.
            initial: the network's state at the start of its life, for interventions.

        Raises:
            OptionError: a weight to be pruned cannot be, or the network cannot be initialised anew
                for ``reinit_tickets``.
        """
        self.options = options
        self.round = 0
        self.masks: list[Masks] = [full_masks(network, prunable) for _ in range(options.tickets)]
        if options.reinit_tickets and (reason := why_not_reinitialised(network)):
            raise OptionError(
                f"reinit_tickets={options.reinit_tickets}: must be 0 with this network, as {reason}"
            )
        #: Trainable weights that cannot be pruned: name -> how many.
        self.left_out = left_out(network, self.masks[0])
        #: Mean |gradient| of each prunable weight in the first ticket's dense training.
        self.gradient_magnitudes: dict[str, Tensor] | None = None
        self.network = network
        self._prunable = prunable
        self._task = task
        self._key = key
        self._intervention = intervention
        self.initial = initial
        self._snapshot = network.state_dict()
        self._starts: dict[int, dict[str, Tensor]] = {}
        #: Steps taken towards the states to which weights are rewound.
        self.rewinding_steps = 0

    @property
    def rounds_left(self) -> int:
        """Calls of `train_round` still to come."""
        return self.options.round_count + 1 - self.round

    @property
    def controls(self) -> dict[str, int]:
        """How many networks each control trains; those with none are left out."""
        counts = {
            RANDOM: self.options.random_mask_count,
            SHUFFLED: self.options.shuffled_masks,
            REINIT: self.options.reinit_tickets,
        }
        return {control: count for control, count in counts.items() if count}

    def remarks(self) -> list[str]:
        """What a reader of the results must know, so far.

        Says whether the network given computes numbers, which weights are not pruned, unless the
        caller chose them, and which are pruned away.
        """
        given = "" if self._begins_finite else _NOT_FINITE
        left = remark_on_left_out(self.left_out, self.masks[0]) if self._prunable is None else ""
        return [*(remark for remark in (given, left) if remark), *remarks_on_emptied(self.masks)]

    @functools.cached_property
    def _begins_finite(self) -> bool:
        network = self.network_in(self._snapshot)
        with torch.random.fork_rng(devices=[]):
            return math.isfinite(evaluate(network, self._task).loss)

    def start_state(self, ticket: int) -> dict[str, Tensor]:
        """What a ticket's weights are rewound to: the snapshot, or its state some steps later.

        These first steps are the ticket's own: dense, in a data order that no other has.
        """
        if not self.options.rewind_steps:
            return self._snapshot
        if ticket not in self._starts:
            network = self.network_in(self._snapshot)
            key = self._key.child("ticket", ticket, "rewind")
            result = self._trained(network, key, max_steps=self.options.rewind_steps)
            self.rewinding_steps += result.steps
            self._starts[ticket] = network.state_dict()
        return self._starts[ticket]

    def network_in(self, state: Mapping[str, Tensor]) -> nn.Module:
        """A copy of the snapshot's network with another state dict; see `raylot.networks`."""
        return networks.with_state(self.network, state)

    def train_round(self) -> list[Trained]:
        """Trains every ticket once and prunes it, except after the last round."""
        plans = [
            _Plan(
                ticket,
                self._key.child("ticket", ticket, "round", self.round),
                self.start_state(ticket),
                masks,
            )
            for ticket, masks in enumerate(self.masks)
        ]
        trained = []
        for plan, network, result in self._trained_each(plans, dense=self.round == 0):
            if result.gradient_magnitudes is not None:
                self.gradient_magnitudes = self._of_prunable(result)
            control = TICKET if self.round else DENSE
            trained.append(self._row(control, plan.index, plan.masks, result))
            if self.round < self.options.round_count:
                self.masks[plan.index] = self._pruned(network, plan)
        self.round += 1
        return trained

    def train_control(self, control: str) -> list[Trained]:
        """Trains all networks of one control, each built like one of the tickets in turn.

        Args:
            control: ``"random"``: random masks with as many survivors per layer (or each weight
                kept with the probability ``random_density``); ``"shuffled"``: the ticket's masks
                shuffled within each layer; ``"reinit"``: its masks on a fresh initialisation.
        """
        plans = []
        for index in range(self.controls[control]):
            key, masks = self._key.child(control, index), self.control_masks(control, index)
            if control == REINIT:
                fresh = reinitialised(self.network, self._key.child("reinit weights", index))
                state = fresh.state_dict()
                plans.append(_Plan(index, key, state, masks, state))
            else:
                plans.append(_Plan(index, key, self.start_state(index % len(self.masks)), masks))
        return [
            self._row(control, plan.index, plan.masks, result)
            for plan, _, result in self._trained_each(plans)
        ]

    def control_masks(self, control: str, index: int) -> Masks:
        """The masks of one network of a control."""
        like = self.masks[index % len(self.masks)]
        if control == REINIT:
            return like
        key = self._key.child(f"{control} mask", index)
        if control == SHUFFLED:
            return shuffled_masks(like, key)
        if self.options.random_density is not None:
            return independent_masks(like, self.options.random_density, key)
        return random_masks_like(like, key)

    def measure_gradients(self, task: Task) -> TrainingResult:
        """Trains the dense network on another task for its ``gradient_magnitudes``."""
        network = self.network_in(self.start_state(0))
        key = self._key.child("plastic")
        result = self._trained(network, key, task, gradient_magnitudes=True)
        self.gradient_magnitudes = self._of_prunable(result)
        return result

    def _trained_each(
        self, plans: Sequence[_Plan], *, dense: bool = False
    ) -> Iterator[tuple[_Plan, nn.Module, TrainingResult]]:
        """Trains a network for each plan, all together where that is faster.

        The first dense one is also measured for its gradients.
        """
        measured = [dense and plan.index == 0 for plan in plans]
        if not trains_together(self._task.train_labels.device, self.options.engine):
            for plan, measure in zip(plans, measured, strict=True):
                job = self._job(plan, dense, measure)
                yield plan, job.network, train_all([job], self.options.engine)[0]
            return
        jobs = [
            self._job(plan, dense, measure) for plan, measure in zip(plans, measured, strict=True)
        ]
        trained = train_all(jobs, self.options.engine)
        yield from zip(plans, (job.network for job in jobs), trained, strict=True)

    def _job(self, plan: _Plan, dense: bool, measured: bool) -> TrainingJob:
        network, masks = self.network_in(plan.start), None if dense else plan.masks
        return self._training(
            network, plan.key, masks, initial=plan.initial, gradient_magnitudes=measured
        )

    def _training(
        self,
        network: nn.Module,
        key: RandomKey,
        masks: Masks | None,
        *,
        task: Task | None = None,
        initial: Mapping[str, Tensor] | None = None,
        max_steps: int | None = None,
        gradient_magnitudes: bool = False,
    ) -> TrainingJob:
        return TrainingJob(
            network=network,
            task=task or self._task,
            epochs=self.options.epochs,
            batch_size=self.options.batch_size,
            drop_last=self.options.drop_last,
            optimizer=self.options,
            key=key,
            masks=masks,
            masked=self.options.masked,
            max_steps=max_steps,
            gradient_magnitudes=gradient_magnitudes,
            intervention=self._intervention,
            initial=initial or self.initial,
        )

    def _trained(
        self, network: nn.Module, key: RandomKey, task: Task | None = None, **options: Any
    ) -> TrainingResult:
        """Trains a dense network."""
        job = self._training(network, key, None, task=task, **options)
        return train_all([job], self.options.engine)[0]

    def _of_prunable(self, result: TrainingResult) -> dict[str, Tensor]:
        assert result.gradient_magnitudes is not None
        return {name: result.gradient_magnitudes[name] for name in self.masks[0]}

    def _pruned(self, network: nn.Module, plan: _Plan) -> Masks:
        criterion = CRITERIA[self.options.criterion]
        scores = {
            name: criterion(
                network.get_parameter(name).detach(),
                plan.start[name],
                plan.key.child("criterion", name),
            )
            for name in plan.masks
        }
        return prune(
            scores,
            plan.masks,
            self.options.sparsity,
            self.round + 1,
            self.options.round_count,
            self.options.scope,
            self.options.output_rate,
        )

    def _row(self, control: str, ticket: int, masks: Masks, result: TrainingResult) -> Trained:
        row = {
            "control": control,
            "ticket": ticket,
            "round": self.round if control in (TICKET, DENSE) else self.options.round_count,
            "density": density(masks),
            "train_loss": result.train_loss,
            "online_accuracy": result.online_accuracy,
            "test_loss": result.test_loss,
            "test_accuracy": result.test_accuracy,
        }
        return row, result
