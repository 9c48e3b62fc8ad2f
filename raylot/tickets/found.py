"""The tickets found from one snapshot: which win, how alike they are, how many are distinct."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from raylot.config import TicketSearchOptions
from raylot.foundation import verdicts
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.names import DENSE, TICKET, UNTRAINED, WHOLE_NETWORK
from raylot.foundation.verdicts import Accuracies
from raylot.masks.matching import matched_overlaps
from raylot.masks.overlap import overlaps_with_untrained, pairwise_overlaps
from raylot.masks.pruning import density, prunable_share
from raylot.training import Masks


@dataclass(frozen=True, repr=False)
class Tickets:
    """The tickets found from one snapshot.

    Of a regression task, everything called accuracy here is a test loss (`raylot.training.losses`).

    Attributes:
        masks: per ticket, ``{parameter name: boolean tensor}``, True for survivors, on the CPU.
        trained: test accuracies of the tickets, the dense network and the controls.
        tolerance: how far below the dense network's mean accuracy a ticket may be and still win.
        rows: every training, as rows of the ``tickets`` table without identity.
        untrained: per ticket, the masks of the largest magnitudes of the state that it starts from,
            at its layer densities; none: these are not known.
        chain: names of the weights in the order in which they act, if the network is a chain (see
            `raylot.networks.chain`); only then hidden units are matched.
        left_out: counts of trainable weights that are not pruned, by the parameter's name.
    """

    masks: list[Masks]
    trained: Accuracies
    tolerance: float
    rows: list[dict[str, Any]]
    untrained: list[Masks] = field(default_factory=list)
    chain: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_rows(
        cls,
        masks: Sequence[Masks],
        rows: Sequence[Mapping[str, Any]],
        options: TicketSearchOptions,
        *,
        untrained: Sequence[Masks] = (),
        chain: Sequence[str] = (),
        left_out: Mapping[str, int] | None = None,
    ) -> Tickets:
        """Makes tickets from the rows that a finished `TicketSearch` returned."""
        last = max(row["round"] for row in rows)
        are_losses = any(row["test_accuracy"] is None for row in rows)
        found: dict[str, list[float]] = {}
        for row in rows:
            if row["round"] == (0 if row["control"] == DENSE else last):
                measured = row["test_loss" if are_losses else "test_accuracy"]
                found.setdefault(row["control"], []).append(measured)

        return cls(
            masks=_on_cpu(masks),
            trained=Accuracies.of(
                found, options.random_density, rows[0]["test_examples"], are_losses=are_losses
            ),
            tolerance=options.tolerance,
            rows=[dict(row) for row in rows],
            untrained=_on_cpu(untrained),
            chain=list(chain),
            left_out=dict(left_out or {}),
        )

    def __repr__(self) -> str:
        own, dense = statistics.fmean(self.accuracies), statistics.fmean(self.dense_accuracies)
        won = "not judged" if self.wins is None else f"of which {sum(self.wins)} win"
        return (
            f"Tickets({len(self.masks)}, {won}; density {self.density:.3g}; "
            f"{'loss' if self.trained.are_losses else 'accuracy'} {own:.3f}, dense {dense:.3f})"
        )

    @property
    def accuracies(self) -> list[float]:
        """Test accuracy per ticket, trained from the snapshot, in [0, 1]."""
        return list(self.trained.tickets)

    @property
    def dense_accuracies(self) -> list[float]:
        """Test accuracy of the dense network, per ticket's data order."""
        return list(self.trained.dense)

    @property
    def untrained_accuracies(self) -> list[float]:
        """Test accuracy per mask of the snapshot's own largest magnitudes."""
        return list(self.trained.untrained)

    @property
    def random_accuracies(self) -> list[float]:
        """Test accuracy per random mask."""
        return list(self.trained.random)

    @property
    def rewired_accuracies(self) -> list[float]:
        """Test accuracy per random mask that keeps each unit's degrees."""
        return list(self.trained.rewired)

    @property
    def reinit_accuracies(self) -> list[float]:
        """Test accuracy per ticket trained from a fresh initialisation."""
        return list(self.trained.reinit)

    @property
    def supermask_accuracies(self) -> list[float]:
        """Test accuracy per ticket without any training: of its mask alone."""
        return list(self.trained.supermask)

    @property
    def wins(self) -> list[bool] | None:
        """Per ticket, whether it wins; None if that cannot be judged.

        A ticket wins if it is as accurate as the dense network and better than random masks, of
        which at least 3 are needed: see `raylot.foundation.verdicts.wins`.
        """
        return verdicts.wins(self.trained, self.tolerance)

    @property
    def density(self) -> float:
        """Mean fraction of prunable weights that survive."""
        return statistics.fmean(density(masks) for masks in self.masks)

    @property
    def prunable_share(self) -> float:
        """Fraction of all trainable weights that are prunable, in (0, 1]; see ``left_out``."""
        return prunable_share(self.left_out, self.masks[0])

    @property
    def ticket_count(self) -> float:
        """Effective number of distinct tickets, from 1 (all the same) to their number."""
        return float(self.summary()["ticket_count"])

    @property
    def winning_ticket_count(self) -> float | None:
        """Effective number of distinct tickets among those that win; None if that is not judged."""
        count: float | None = self.summary()["winning_ticket_count"]
        return count

    def overlaps(self, *, per_layer: bool = False, compared_with: str = TICKET) -> pd.DataFrame:
        """Returns the overlap of each pair of masks, and its chance levels.

        Args:
            per_layer: whether to compare single layers too.
            compared_with: ``"ticket"``: pairs of tickets; ``"untrained"``: each ticket with its
                untrained mask.

        Returns:
            Columns ticket_a, ticket_b, jaccard, chance, corrected, chance_untrained,
            beyond_untrained (see `raylot.masks.overlap`), jaccard_matched (see
            `raylot.masks.matching`; NaN if the network is no chain), a row per pair; with per_layer
            also layer (``"all"`` for the whole network), a row per pair and layer.

        Raises:
            OptionError: compared_with is neither.
        """
        if compared_with not in (TICKET, UNTRAINED):
            told = shown(compared_with)
            raise OptionError(f"compared_with={told}: must be one of {TICKET}, {UNTRAINED}")
        every = self.overlap_rows
        chosen = every["compared_with"] == compared_with
        if not per_layer:
            chosen &= every["layer"] == WHOLE_NETWORK
        left = ["compared_with"] if per_layer else ["layer", "compared_with"]
        return every[chosen].drop(columns=left).reset_index(drop=True)

    def summary(self) -> dict[str, Any]:
        """Returns the columns of the ``snapshots`` table that come from these tickets."""
        whole = self.overlap_rows[self.overlap_rows["layer"] == WHOLE_NETWORK]
        verdict = verdicts.summary(self.trained, whole, self.tolerance)
        return {"density": self.density} | verdict

    @functools.cached_property
    def overlap_rows(self) -> pd.DataFrame:
        """All rows of the ``overlaps`` table without identity."""
        pairs = pairwise_overlaps(self.masks, self.untrained)
        pairs = pairs.assign(compared_with=TICKET, jaccard_matched=float("nan"))
        if self.chain:
            matched = matched_overlaps(self.masks, self.chain)
            pairs.loc[pairs["layer"] == WHOLE_NETWORK, "jaccard_matched"] = matched
        if not self.untrained:
            return pairs
        untrained = overlaps_with_untrained(self.masks, self.untrained)
        return pd.concat([pairs, untrained.assign(compared_with=UNTRAINED)], ignore_index=True)


def _on_cpu(masks: Sequence[Masks]) -> list[Masks]:
    return [{name: mask.cpu() for name, mask in each.items()} for each in masks]


def masks_to_tensors(masks: Mapping[int, Masks]) -> dict[str, Tensor]:
    """Returns tickets' masks under one name each, such as ``3/hidden1.weight``, for a file."""
    return {f"{k}/{name}": mask for k, m in masks.items() for name, mask in m.items()}


def masks_from_tensors(tensors: Mapping[str, Tensor], like: Masks) -> dict[int, Masks]:
    """Undoes `masks_to_tensors`; returns masks by their ticket, in order.

    Args:
        tensors: tensors from a file, in any order.
        like: any masks of the same network, for the order of layers: pruning takes the last layer
            for the output layer.
    """
    tickets = sorted({int(name.partition("/")[0]) for name in tensors})
    return {k: {name: tensors[f"{k}/{name}"].to(torch.bool) for name in like} for k in tickets}
