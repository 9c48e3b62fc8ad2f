"""The search for winning tickets by iterative magnitude pruning, and its controls."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from raylot import networks
from raylot.config import TicketSearchOptions
from raylot.config.ticket_options import PruningOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.names import DENSE, RANDOM, REINIT, REWIRED, SUPERMASK, TICKET, UNTRAINED
from raylot.foundation.randomness import RandomKey
from raylot.masks import criteria, pruning
from raylot.masks.context import MeanGradients, PruningContext
from raylot.masks.rewiring import rewired_masks
from raylot.networks.chain import chained_weights
from raylot.networks.initialisation import reinitialised, why_not_reinitialised
from raylot.networks.prunable import Prunable
from raylot.tasks import Task
from raylot.tickets.early_bird import EarlyBird
from raylot.training import (
    Intervention,
    Masks,
    TrainingJob,
    TrainingResult,
    evaluate,
    train_all,
    trains_together,
)
from raylot.training.evaluation import begin_training

_NOT_FINITE = "the network's loss on the task's test split is not finite before any training"

#: What a training gives: a row of the ``tickets`` table without identity, and its measures.
Trained = tuple[dict[str, Any], TrainingResult]


@dataclass(frozen=True, eq=False)
class _Plan:
    """One training of a search: of which ticket or control, its draws, and where it starts."""

    index: int
    key: RandomKey
    start: Mapping[str, Tensor]
    masks: Masks
    initial: Mapping[str, Tensor] | None = None


class TicketSearch:
    """The search for all tickets of one snapshot, one round at a time.

    Round 0 trains the dense network, each later round the network under the masks so far. Every
    training starts from the snapshot (or its state some steps later). All rounds but the last end
    by pruning. With a criterion that scores before training, all pruning follows the dense
    training, and the last round alone trains tickets. The controls follow. ``masks``, ``tickets``,
    ``round`` and ``gradient_magnitudes`` are the whole state.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        options: TicketSearchOptions,
        key: RandomKey,
        *,
        prunable: Prunable = None,
        make_intervention: Callable[[], Intervention | None] = lambda: None,
        initial: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Prepares a search.

        Args:
            network: in the snapshot's state, on the task's device; left unchanged. Every training
                gets a copy; a rewound or re-initialised copy differs only in its ``state_dict``.
            task: the task on which tickets are searched.
            options: how they are searched.
            key: decides all data orders and random masks.
            prunable: which weights are pruned; None: those of linear and convolution layers.
            make_intervention: makes what acts within a training, but not at its start and end;
                called for every training, as the method may keep a state.
            initial: the network's state at the start of its life, for interventions.

        Raises:
            OptionError: a chosen weight cannot be pruned, or the network cannot be initialised anew
                for ``reinit_tickets``.
        """
        self.options = options
        self.round = 0
        #: The tickets that rounds train: all, or those that are added to others found before.
        self.tickets = range(options.tickets)
        self.masks: list[Masks] = [pruning.full_masks(network, prunable)] * options.tickets
        if options.reinit_tickets and (reason := why_not_reinitialised(network)):
            raise OptionError(
                f"reinit_tickets={options.reinit_tickets}: must be 0 with this network, as {reason}"
            )
        #: Trainable weights that cannot be pruned: name -> how many.
        self.left_out = pruning.left_out(network, self.masks[0])
        #: The names of its weights in the order in which they act, if the network is a chain.
        self.chain = chained_weights(network, list(self.masks[0]))
        #: Mean |gradient| of each prunable weight in the first ticket's dense training.
        self.gradient_magnitudes: dict[str, Tensor] | None = None
        self.network = network
        self._prunable = prunable
        self._task = task
        self._key = key
        self._make_intervention = make_intervention
        self.initial = initial
        self._snapshot = network.state_dict()
        self._starts: dict[int, dict[str, Tensor]] = {}
        #: Steps taken towards the states to which weights are rewound.
        self.rewinding_steps = 0
        #: Steps of criteria that train scores.
        self.scoring_steps = 0

    @property
    def rounds_left(self) -> int:
        """How often `train_round` has still to be called."""
        return len(self._rounds_to_train)

    @property
    def _rounds_to_train(self) -> list[int]:
        return [r for r in self.options.trained_rounds if r >= self.round]

    @property
    def controls(self) -> dict[str, int]:
        """How many networks each control trains, without controls that train none."""
        counts = {
            UNTRAINED: self.options.untrained_masks,
            RANDOM: self.options.random_mask_count,
            REWIRED: self.options.rewired_masks,
            REINIT: self.options.reinit_tickets,
            SUPERMASK: self.options.supermasks,
        }
        return {control: count for control, count in counts.items() if count}

    def remarks(self) -> list[str]:
        """Returns what a reader of the results must know, so far.

        That is: the network has no finite loss to begin with; some weights are not pruned, though
        the caller has not chosen so; some are pruned away entirely.
        """
        remarks = [] if self._begins_finite else [_NOT_FINITE]
        if self.left_out and self._prunable is None:
            remarks.append(pruning.remark_on_left_out(self.left_out, self.masks[0]))
        return [*remarks, *pruning.remarks_on_emptied(self.masks)]

    @functools.cached_property
    def _begins_finite(self) -> bool:
        network = self.network_in(self._snapshot)
        with torch.random.fork_rng(devices=[]):
            return math.isfinite(evaluate(network, self._task).loss)

    def start_state(self, ticket: int) -> dict[str, Tensor]:
        """Returns what a ticket is rewound to: the snapshot, or its state some steps later.

        Each ticket takes these steps itself: dense, in a data order of its own.
        """
        if not self.options.rewind_steps:
            return self._snapshot
        if ticket not in self._starts:
            network = self.network_in(self._snapshot)
            key = self._key.child("ticket", ticket, "rewind")
            job = self._job(network, key, max_steps=self.options.rewind_steps)
            result = train_all([job], self.options.engine)[0]
            self.rewinding_steps += result.steps
            self._starts[ticket] = network.state_dict()
        return self._starts[ticket]

    def network_in(self, state: Mapping[str, Tensor]) -> nn.Module:
        """Returns a copy of the snapshot's network with another state dict."""
        return networks.with_state(self.network, state)

    def train_round(self) -> list[Trained]:
        """Trains each of ``tickets`` once and prunes it, except after the last round."""
        plans = [
            _Plan(
                ticket,
                self._key.child("ticket", ticket, "round", self.round),
                self.start_state(ticket),
                self.masks[ticket],
            )
            for ticket in self.tickets
        ]
        trained = []
        dense, prunes = self.round == 0, self.round < self.options.round_count
        traits = self.options.criterion_traits
        gradients = prunes and traits.gradients
        watches = self._watches(plans) if prunes else {}
        for plan, network, result in self._train(
            plans, dense=dense, gradients=gradients, watches=watches
        ):
            if dense and plan.index == 0:
                self.gradient_magnitudes = self._of_prunable(result.gradient_magnitudes)
            control = TICKET if self.round else DENSE
            trained.append(self._row(control, plan.index, plan.masks, result))
            if prunes and traits.before_training:
                self.masks[plan.index] = self._pruned_before_training(plan)
            elif prunes:
                settled = watches[plan.index].masks if watches else None
                self.masks[plan.index] = settled or self._pruned(
                    network, plan, self.round + 1, result
                )
        later = self._rounds_to_train[1:]
        self.round = later[0] if later else self.options.round_count + 1
        return trained

    def train_again(self, ticket: int) -> tuple[nn.Module, TrainingResult]:
        """Trains a ticket as after its last round; returns its network too.

        On a GPU, where the search trains all tickets together, results differ by rounding.
        """
        key = self._key.child("ticket", ticket, "round", self.options.round_count)
        plan = _Plan(ticket, key, self.start_state(ticket), self.masks[ticket])
        ((_, network, result),) = self._train([plan])
        return network, result

    def _watches(self, plans: Sequence[_Plan]) -> dict[int, EarlyBird]:
        """Returns what finds the early end of each ticket's training, if it is asked for.

        The dense training goes on, as tickets are compared with it.
        """
        if self.options.early_bird is None:
            return {}

        def drawn(plan: _Plan, network: nn.Module) -> Masks:
            return self._pruned(self.network_in(network.state_dict()), plan, self.round + 1)

        return {
            plan.index: EarlyBird(
                functools.partial(drawn, plan), self.options.early_bird,
                self.options.early_bird_epochs, stops=self.round > 0,
            )
            for plan in plans
        }  # fmt: skip

    def _pruned_before_training(self, plan: _Plan) -> Masks:
        """Prunes a ticket in all rounds; each scores the survivors of the one before anew."""
        for r in range(self.options.round_count):
            network = self.network_in(plan.start)
            begin_training(network)
            if self.options.masked == "zero":
                pruning.zero_pruned(network, plan.masks)
            key = self._key.child("ticket", plan.index, "round", r)
            plan = replace(plan, key=key)
            plan = replace(plan, masks=self._pruned(network, plan, r + 1))
            if self.options.criterion_traits.trains_scores:
                self.scoring_steps += self._job(network, key).steps
        return plan.masks

    def train_control(self, control: str, indices: Iterable[int] | None = None) -> list[Trained]:
        """Trains networks of one control; network k follows ticket k, and so on in turn.

        Args:
            control: ``"untrained"``: the largest magnitudes that the ticket starts from, as many
                per layer as it keeps; ``"random"``: random masks with as many survivors per layer
                (or each weight kept with the probability ``random_density``); ``"rewired"``: random
                masks in which each unit keeps its degrees; ``"reinit"``: its masks on a fresh
                initialisation; ``"supermask"``: its masks and weights without any training.
            indices: which of its networks; None: all.
        """
        plans = []
        for index in range(self.controls[control]) if indices is None else indices:
            key, masks = self._key.child(control, index), self.control_masks(control, index)
            if control == REINIT:
                fresh = reinitialised(self.network, self._key.child("reinit weights", index))
                state = fresh.state_dict()
                plans.append(_Plan(index, key, state, masks, state))
            else:
                plans.append(_Plan(index, key, self.start_state(self._followed(index)), masks))
        return [
            self._row(control, plan.index, plan.masks, result)
            for plan, _, result in self._train(plans, max_steps=0 if control == SUPERMASK else None)
        ]

    def control_masks(self, control: str, index: int) -> Masks:
        """Returns the masks of one network of a control."""
        like = self.masks[self._followed(index)]
        if control in (REINIT, SUPERMASK):
            return like
        if control == UNTRAINED:
            return self.untrained_masks(self._followed(index))
        key = self._key.child(f"{control} mask", index)
        if control == REWIRED:
            return rewired_masks(like, key)
        if self.options.random_density is not None:
            return pruning.independent_masks(like, self.options.random_density, key)
        return pruning.random_masks_like(like, key)

    def untrained_masks(self, ticket: int) -> Masks:
        """Returns the masks that a ticket's start state chooses without any training.

        They keep the largest magnitudes, as many in each layer as the ticket does.
        """
        return pruning.magnitude_masks(self.start_state(ticket), self.masks[ticket])

    def _followed(self, index: int) -> int:
        """Returns the ticket that a network of a control follows."""
        return index % self.tickets.stop

    def measure_gradients(self, task: Task) -> TrainingResult:
        """Trains the dense network on another task for its ``gradient_magnitudes``."""
        network = self.network_in(self.start_state(0))
        key = self._key.child("plastic")
        job = self._job(network, key, task=task, gradient_magnitudes=True)
        result = train_all([job], self.options.engine)[0]
        self.gradient_magnitudes = self._of_prunable(result.gradient_magnitudes)
        return result

    def _train(
        self,
        plans: Sequence[_Plan],
        *,
        dense: bool = False,
        gradients: bool = False,
        max_steps: int | None = None,
        watches: Mapping[int, EarlyBird] = MappingProxyType({}),
    ) -> Iterator[tuple[_Plan, nn.Module, TrainingResult]]:
        """Trains a network for each plan, all together where that is faster.

        The first dense one is also measured for its gradients; with ``gradients``, all are.
        """
        together = trains_together(self._task.train_labels.device, self.options.engine)
        for part in [plans] if together else [[plan] for plan in plans]:
            jobs = [
                self._job(
                    self.network_in(plan.start),
                    plan.key,
                    masks=None if dense else plan.masks,
                    initial=plan.initial or self.initial,
                    gradient_magnitudes=gradients or (dense and plan.index == 0),
                    gradient_products=gradients,
                    max_steps=max_steps,
                    after_epoch=watches.get(plan.index),
                )
                for plan in part
            ]
            results = train_all(jobs, self.options.engine)
            yield from zip(part, (job.network for job in jobs), results, strict=True)

    def _job(self, network: nn.Module, key: RandomKey, **changes: Any) -> TrainingJob:
        """Returns the training of a network, dense unless ``changes`` hold masks."""
        options: dict[str, Any] = {
            "task": self._task, "epochs": self.options.epochs,
            "batch_size": self.options.batch_size, "drop_last": self.options.drop_last,
            "optimizer": self.options, "masked": self.options.masked,
            "intervention": self._make_intervention(), "initial": self.initial,
        }  # fmt: skip
        return TrainingJob(network=network, key=key, **{**options, **changes})

    def _of_prunable(self, measured: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        assert measured is not None, "the job has asked for it"
        return {name: measured[name] for name in self.masks[0]}

    @functools.cached_property
    def _pruning_options(self) -> PruningOptions:
        """The options that a criterion may depend on: all are part of what the search is."""
        names = PruningOptions.model_fields
        return PruningOptions.model_construct(**{n: getattr(self.options, n) for n in names})

    def _pruned(
        self,
        network: nn.Module,
        plan: _Plan,
        round_index: int,
        result: TrainingResult | None = None,
    ) -> Masks:
        """Prunes a network's masks in a round, from 1.

        Args:
            result: of the network's training; None: it has not begun or goes on.
        """
        measured = None
        if result is not None and result.gradient_products is not None:
            measured = MeanGradients(
                self._of_prunable(result.gradient_magnitudes),
                self._of_prunable(result.gradient_products),
            )
        context = PruningContext(
            network, plan.start, plan.masks, self._task, plan.key.child("criterion"),
            self.options.batch_size, self.options.drop_last,
            result is not None and result.diverged, measured, self._pruning_options,
            self.options.epochs, self.options.sparsity, round_index, self.options.round_count,
        )  # fmt: skip
        return context.keep(criteria.score(self.options.criterion, context))

    def _row(self, control: str, ticket: int, masks: Masks, result: TrainingResult) -> Trained:
        row = {
            "control": control,
            "ticket": ticket,
            "round": self.round if control in (TICKET, DENSE) else self.options.round_count,
            "density": pruning.density(masks),
            "train_loss": result.train_loss,
            "online_accuracy": result.online_accuracy,
            "test_loss": result.test_loss,
            "test_accuracy": result.test_accuracy,
            "test_examples": len(self._task.test_labels),
        }
        return row, result
