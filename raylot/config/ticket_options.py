"""Options of the search for tickets, its controls, and streams of tickets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from raylot.config.criterion_options import CriterionParameters, traits_of
from raylot.config.naming import NamingOptions
from raylot.config.options import Integers, OneOf, Options, option
from raylot.config.training_options import TrainingOptions
from raylot.foundation.registry import CriterionTraits

Sparsity = Annotated[float, Field(ge=0, lt=1)]


#: Among which weights the lowest scores are looked for.
Scope = Literal["layer", "global"]


class ScopeOptions(NamingOptions):
    """Among which weights the lowest scores are looked for."""

    scope: Scope = option(
        "layer", "rank weights within each layer, or over all layers", role="search"
    )


class PruningOptions(CriterionParameters, ScopeOptions):
    """How a ticket is searched (iterative magnitude pruning)."""

    masked: Literal["zero", "freeze"] = option(
        "zero",
        "pruned weights are 0 for good, or stay at the value to which they are rewound",
        role="search",
    )
    criterion: Annotated[str, OneOf("criterion")] = option(
        "magnitude", "what a weight's survival is ranked by, see docs/criteria.md: |w| after "
        "training, or another score of Zhou et al. (2019), or one before training (snip, grasp, "
        "synflow)", off="magnitude", role="search",
    )  # fmt: skip
    rewind_steps: int = option(
        0, "training steps after the snapshot to whose state weights are rewound; 0: the snapshot",
        ge=0, le=1_000_000_000, off=0, role="search",
    )  # fmt: skip
    output_rate: float = option(
        1.0, "rate at which the output layer is pruned per round, as a share of the others' rate "
        "(with scope layer)", ge=0, le=1, off=1.0, role="search",
    )  # fmt: skip

    early_bird: float | None = option(
        None, "share of all weights: a training that ends by pruning stops once the masks of its "
        "latest epochs differ in less (the dense one goes on), as 0.1 (You et al. 2020)",
        accepts="a number in (0, 1], or none for no such stop", gt=0, le=1, off=None, role="search",
    )  # fmt: skip
    early_bird_epochs: int = option(
        5, "epochs in a row whose masks early_bird compares", ge=2, le=1000, off=5, role="search"
    )

    @model_validator(mode="after")
    def _early_bird_looks_at_trainings(self) -> Self:
        """Refuses a stop of trainings that do not decide the masks, or not by their last state."""
        if self.early_bird is None:
            self.__dict__["early_bird_epochs"] = (
                type(self).model_fields["early_bird_epochs"].default
            )
            return self
        for is_wrong, why in (
            (self.criterion_traits.before_training, "scores before training"),
            (self.criterion_traits.gradients, "scores by means over a whole training"),
        ):
            if is_wrong:
                raise ValueError(
                    f"early_bird={self.early_bird:g}: must be none with criterion "
                    f"{self.criterion}, which {why}"
                )
        return self

    @model_validator(mode="after")
    def _trained_scores_mask_by_zeros(self) -> Self:
        if self.criterion == "edge_popup" and self.masked != "zero":
            raise ValueError(
                "criterion=edge_popup: must go with masked=zero, as weights that stay at their "
                "values work in the network whatever their scores"
            )
        return self

    @model_validator(mode="after")
    def _output_rate_needs_layers(self) -> Self:
        if self.output_rate != 1 and self.scope != "layer":
            raise ValueError(f"output_rate={self.output_rate:g}: must be 1 unless scope is layer")
        return self

    @property
    def criterion_traits(self) -> CriterionTraits:
        return traits_of(self.criterion)


class TicketOptions(PruningOptions, title="tickets"):
    """How many tickets and controls are searched per snapshot and sparsity."""

    tickets: int = option(
        4, "tickets per snapshot and sparsity; they differ in data order", common=True,
        ge=1, le=1000, role="extent",
    )  # fmt: skip
    untrained_masks: int = option(
        1, "masks of the snapshot's own largest magnitudes at a ticket's layer densities, chosen "
        "without training, as control", ge=0, le=1000, role="extent",
    )  # fmt: skip
    random_masks: int | None = option(
        None, "random masks of the same layer densities, as control; none given: as many as "
        "tickets", ge=0, le=1000, role="extent",
    )  # fmt: skip
    random_density: float | None = option(
        None, "random masks keep each weight independently with this probability instead",
        accepts="a number in (0, 1], or none for the tickets' layer densities",
        gt=0, le=1, off=None, role="search",
    )  # fmt: skip
    rewired_masks: int = option(
        0, "random masks in which each unit keeps its ticket's number of incoming and outgoing "
        "weights, as control", ge=0, le=1000, role="extent",
    )  # fmt: skip
    reinit_tickets: int = option(
        0, "tickets trained from a fresh initialisation, as control", ge=0, le=1000, off=0,
        role="extent",
    )  # fmt: skip
    supermasks: int = option(
        0, "tickets that are not trained at all, as control: what their masks alone achieve "
        "(with masked zero)", ge=0, le=1000, off=0, role="extent",
    )  # fmt: skip
    tolerance: float = option(
        0.01, "a ticket wins if its test accuracy is at most this much (as a fraction of 1), or "
        "one standard error, below the dense network's, and clearly above that of random masks of "
        "its layer densities, of which at least 3 are needed", ge=0, le=1, role="verdict",
    )  # fmt: skip

    @model_validator(mode="after")
    def _supermasks_mask_by_zeros(self) -> Self:
        if self.supermasks and self.masked != "zero":
            raise ValueError(
                f"supermasks={self.supermasks}: must be 0 with masked={self.masked}, as that "
                "network is the snapshot itself"
            )
        return self


class TicketSearchOptions(TicketOptions, TrainingOptions):
    """The whole search for the tickets of one snapshot at one sparsity."""

    sparsity: Sparsity = option(
        0.8, "target fraction of the weights removed", compared=True, role="search"
    )
    rounds: int | None = option(
        None, "pruning rounds; none given: 20% of the survivors per round, or what the criterion's "
        "authors take where it scores before training", compared=True,
        ge=1, le=1000, role="search",
    )  # fmt: skip

    @field_validator("rounds")
    @classmethod
    def _customary_rounds(cls, value: int | None, info: Any) -> int | None:
        if value is None and "sparsity" in info.data:
            return customary_rounds(info.data["sparsity"], info.data.get("criterion", "magnitude"))
        return value

    @field_validator("random_masks")
    @classmethod
    def _as_many_as_tickets(cls, value: int | None, info: Any) -> int | None:
        return info.data.get("tickets") if value is None else value

    @model_validator(mode="after")
    def _early_bird_can_stop(self) -> Self:
        if self.early_bird is None:
            return self
        if self.early_bird_epochs >= self.epochs:
            raise ValueError(
                f"early_bird_epochs={self.early_bird_epochs}: must be less than "
                f"epochs={self.epochs}, as no training could stop before its end"
            )
        if self.engine == "stacked":
            raise ValueError(
                "engine=stacked: must be auto, generic or fast with early_bird, as it trains all "
                "tickets to one end"
            )
        return self

    @property
    def round_count(self) -> int:
        assert self.rounds is not None, "filled in when the options were validated"
        return self.rounds

    @property
    def random_mask_count(self) -> int:
        assert self.random_masks is not None, "filled in when the options were validated"
        return self.random_masks

    @property
    def control_count(self) -> int:
        """Networks trained as controls, beside the dense ones."""
        others = self.untrained_masks + self.rewired_masks + self.reinit_tickets
        return self.random_mask_count + others

    @property
    def trained_rounds(self) -> Sequence[int]:
        """Rounds after which each ticket is trained; 0 trains the dense network."""
        last = self.round_count
        return (0, last) if self.criterion_traits.before_training else range(last + 1)

    @property
    def trainings(self) -> int:
        """Networks trained: each ticket densely and after rounds, and the controls.

        The training of scores counts as one.
        """
        of_scores = self.round_count * self.criterion_traits.trains_scores
        return self.tickets * (len(self.trained_rounds) + of_scores) + self.control_count


class TicketSnapshotOptions(Options):
    """When the plasticity of ticket streams is measured."""

    ticket_snapshots: Annotated[tuple[int, ...] | None, Integers] = option(
        None, "new tasks, counted from 0, before which the plasticity of subnetworks is measured; "
        "none given: before the first, the 10th, the 100th ...",
        accepts="numbers of new tasks from 0 to ticket_tasks - 1, each once, as 0,9,99 or 0-90:10, "
        "or none", role="extent",
    )  # fmt: skip

    @field_validator("ticket_snapshots")
    @classmethod
    def _each_snapshot_once(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is None:
            return None
        if not value or len(set(value)) < len(value) or min(value) < 0:
            raise ValueError("none, one given twice, or a negative one")
        return tuple(sorted(value))

    @model_validator(mode="after")
    def _ticket_streams_are_long_enough(self) -> Self:
        last, tasks = max(self.ticket_snapshots or (0,)), getattr(self, "ticket_tasks", 0)
        if self.ticket_snapshots and last >= tasks:
            raise ValueError(f"ticket_snapshots={last}: must be less than ticket_tasks={tasks}")
        return self


def customary_rounds(sparsity: float, criterion: str = "magnitude") -> int:
    """Returns the rounds that a criterion's authors take.

    For most that is as many as remove about 20% of the survivors each (Frankle & Carbin 2019), at
    least 1.
    """
    by_fifths = max(1, round(math.log(1 - sparsity) / math.log(0.8)))
    return traits_of(criterion).rounds or by_fifths
