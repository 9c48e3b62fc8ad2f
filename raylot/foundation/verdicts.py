"""The verdict on the tickets of a snapshot, from accuracies and overlaps alone.

It says which tickets win and how many are distinct. Searches make it when they end; the analysis
makes it again for fewer tickets, or at another tolerance.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from raylot.foundation.names import (
    DENSE,
    FEWEST_RANDOM_MASKS,
    RANDOM,
    REINIT,
    REWIRED,
    SUPERMASK,
    TICKET,
    UNTRAINED,
)


@dataclass(frozen=True)
class Accuracies:
    """Test accuracies of everything that a search has trained, in [0, 1].

    Of a regression task, which has no accuracies, these are test losses: ``are_losses``.

    Attributes:
        tickets: per ticket, trained from the snapshot.
        dense: of the dense network, per ticket's data order.
        untrained: per mask of the snapshot's own largest magnitudes.
        random: per random mask.
        comparable: per random mask with a ticket's layer densities.
        rewired: per random mask that keeps each unit's degrees.
        reinit: per ticket trained from a fresh initialisation.
        supermask: per ticket without any training.
        test_examples: on how many examples each was measured.
        are_losses: whether these are losses, of which less is better.
    """

    tickets: Sequence[float]
    dense: Sequence[float]
    untrained: Sequence[float] = ()
    random: Sequence[float] = ()
    comparable: Sequence[float] = ()
    rewired: Sequence[float] = ()
    reinit: Sequence[float] = ()
    supermask: Sequence[float] = ()
    test_examples: int = field(kw_only=True)
    are_losses: bool = False

    @classmethod
    def of(
        cls,
        found: Mapping[str, Sequence[float]],
        random_density: float | None,
        test_examples: int,
        *,
        are_losses: bool = False,
    ) -> Accuracies:
        """Sorts accuracies by what was trained.

        Args:
            found: value of ``control`` in the table ``tickets`` -> accuracies, or losses.
            random_density: of random masks, None if they have the tickets' layer densities.
            test_examples: on how many examples each was measured.
            are_losses: whether they are losses.
        """
        random = found.get(RANDOM, ())
        return cls(
            tickets=found[TICKET],
            dense=found[DENSE],
            untrained=found.get(UNTRAINED, ()),
            random=random,
            comparable=random if random_density is None else (),
            rewired=found.get(REWIRED, ()),
            reinit=found.get(REINIT, ()),
            supermask=found.get(SUPERMASK, ()),
            test_examples=test_examples,
            are_losses=are_losses,
        )


_CONFIDENCE = 0.95


def wins(accuracies: Accuracies, tolerance: float) -> list[bool] | None:
    """Returns for each ticket whether it wins; None if that cannot be judged.

    A ticket wins if it is

    - not worse than the dense networks' mean by more than the tolerance, or by one binomial
      standard error of that accuracy on the test split if this is larger; and
    - better than random masks with a ticket's layer densities: its accuracy is above each of theirs
      and above their mean by more than one binomial standard error of it, and above
      `prediction_limit`.

    It cannot be judged with fewer than `FEWEST_RANDOM_MASKS` such masks, not counting those that
    diverged.

    A ticket no better than a random mask wins in at most 5% of cases if accuracies of random masks
    are normal, binomial or have their longer tail below, as near a ceiling; whatever their
    distribution, in at most 1 / (n + 1) beside n masks. With a longer tail *above* (exponential)
    it may be 11% beside up to 6 masks; such accuracies were not seen.

    By losses, the tolerance is a share of the dense networks' mean loss, and there is no binomial
    error: a ticket's loss must be at most (1 + tolerance) times that mean, below each mask's loss,
    and below the lower prediction limit of theirs. No ticket wins beside a dense network that
    diverged.
    """
    masks = [accuracy for accuracy in accuracies.comparable if math.isfinite(accuracy)]
    examples = accuracies.test_examples
    if len(masks) < FEWEST_RANDOM_MASKS:
        return None
    if accuracies.are_losses:
        most = statistics.fmean(accuracies.dense) * (1 + tolerance)
        to_beat = min(-prediction_limit([-loss for loss in masks]), *masks)
        return [loss <= most < math.inf and loss < to_beat for loss in accuracies.tickets]
    dense, chance = statistics.fmean(accuracies.dense), statistics.fmean(masks)
    required = dense - max(tolerance, _standard_error(dense, examples))
    to_beat = max(prediction_limit(masks), chance + _standard_error(chance, examples), *masks)
    return [accuracy >= required and accuracy > to_beat for accuracy in accuracies.tickets]


def prediction_limit(values: Sequence[float]) -> float:
    """Returns the upper one-sided 95% prediction limit for one more value, if they are normal.

    That is mean + t s sqrt(1 + 1 / n) of n values with standard deviation s, with the 0.95 quantile
    t of Student's distribution with n - 1 degrees of freedom: one more value and the mean differ
    with the variance s^2 (1 + 1 / n).
    """
    n = len(values)
    spread = statistics.stdev(values) * math.sqrt(1 + 1 / n)
    from scipy.special import stdtrit  # takes a while

    return statistics.fmean(values) + float(stdtrit(n - 1, _CONFIDENCE)) * spread


def _standard_error(accuracy: float, examples: int) -> float:
    """Returns the binomial standard error of an accuracy on so many examples."""
    return math.sqrt(max(0.0, accuracy * (1 - accuracy)) / examples)


def overlap_matrix(overlaps: pd.DataFrame, count: int) -> np.ndarray:
    """Returns the ``count x count`` matrix of Jaccard overlaps; its diagonal is 1.

    Args:
        overlaps: of whole networks: ticket_a, ticket_b, jaccard, a row for each pair.
        count: of tickets.
    """
    matrix = np.eye(count)
    pairs = zip(overlaps["ticket_a"], overlaps["ticket_b"], overlaps["jaccard"], strict=True)
    for a, b, value in pairs:
        matrix[a, b] = matrix[b, a] = value
    return matrix


def effective_count(matrix: np.ndarray) -> float:
    """Returns the effective number of distinct items, the Vendi score (Friedman & Dieng 2023).

    Args:
        matrix: ``K x K`` similarities in [0, 1] with ones on the diagonal.

    Returns:
        exp(-sum(x log x)) over the eigenvalues x of matrix / K: 1 if all items are the same, K if
        no two items have anything in common, 0 for no items.
    """
    if not len(matrix):
        return 0.0
    eigenvalues = np.linalg.eigvalsh(matrix / len(matrix))
    positive = eigenvalues[eigenvalues > 0]
    return float(np.exp(-np.sum(positive * np.log(positive))))


#: So many subsets of tickets stand for all where there are more.
_MOST_SUBSETS = 200


def rarefied_count(matrix: np.ndarray, size: int, chosen: Collection[int] | None = None) -> float:
    """Returns the effective number of distinct items to be expected among fewer of them.

    The effective number grows with the number of items, so that it is compared at equal numbers
    only, as ecologists compare numbers of species at equal numbers of individuals (Hurlbert 1971).

    Args:
        matrix: ``K x K`` similarities, see `effective_count`.
        size: of the subsets, in [0, K].
        chosen: count these items alone, as far as they are in a subset; None: all.

    Returns:
        The mean of `effective_count` over all subsets of that size; where they are more than 200,
        over 200 that are drawn in the same way each time.
    """
    count = len(matrix)
    counted = range(count) if chosen is None else chosen
    if math.comb(count, size) <= _MOST_SUBSETS:
        subsets: Iterable[Sequence[int]] = itertools.combinations(range(count), size)
    else:
        generator = np.random.default_rng(0)
        subsets = (generator.permutation(count)[:size].tolist() for _ in range(_MOST_SUBSETS))
    kept = ([item for item in subset if item in counted] for subset in subsets)
    return statistics.fmean(effective_count(matrix[items][:, items]) for items in kept)


def summary(
    accuracies: Accuracies, overlaps: pd.DataFrame, tolerance: float, tickets: int | None = None
) -> dict[str, Any]:
    """Returns columns of the table ``snapshots``.

    Args:
        accuracies: of the search.
        overlaps: of whole networks: compared_with, ticket_a, ticket_b, jaccard, chance, corrected,
            jaccard_matched and beyond_untrained (may be missing); a row for each pair of tickets,
            and for each ticket and its untrained mask.
        tolerance: see `wins`.
        tickets: counts are those to be expected among so many of the tickets; None: all. Means are
            over all tickets.
    """
    is_untrained = overlaps["compared_with"] == UNTRAINED
    untrained, overlaps = overlaps[is_untrained], overlaps[~is_untrained]
    count, winning = len(accuracies.tickets), wins(accuracies, tolerance)
    size, matrix = tickets or count, overlap_matrix(overlaps, count)
    winners = {ticket for ticket, wins_too in enumerate(winning or ()) if wins_too}
    is_judged = winning is not None
    measured = "loss" if accuracies.are_losses else "accuracy"
    return {
        "tickets": size,
        "tolerance": tolerance,
        "test_examples": accuracies.test_examples,
        "winning_tickets": _share(len(winners), size, count) if is_judged else None,
        "ticket_count": rarefied_count(matrix, size),
        "winning_ticket_count": rarefied_count(matrix, size, winners) if is_judged else None,
        "overlap_mean": overlaps["jaccard"].mean(),
        "overlap_std": overlaps["jaccard"].std(),
        "overlap_chance": overlaps["chance"].mean(),
        "overlap_corrected": overlaps["corrected"].mean(),
        "overlap_matched": overlaps.get("jaccard_matched", _NONE).mean(),
        "overlap_untrained": untrained["jaccard"].mean(),
        "overlap_beyond_untrained": overlaps.get("beyond_untrained", _NONE).mean(),
        f"dense_{measured}": statistics.fmean(accuracies.dense),
        f"ticket_{measured}": statistics.fmean(accuracies.tickets),
        f"untrained_{measured}": _mean_or_nan(accuracies.untrained),
        f"random_{measured}": _mean_or_nan(accuracies.random),
        f"rewired_{measured}": _mean_or_nan(accuracies.rewired),
        f"reinit_{measured}": _mean_or_nan(accuracies.reinit),
        f"supermask_{measured}": _mean_or_nan(accuracies.supermask),
    }


def _share(part: int, size: int, count: int) -> float:
    """Returns how many of a part to expect among ``size`` of ``count``; whole if these are all."""
    return part if size == count else part * size / count


_NONE = pd.Series(dtype=float)


def _mean_or_nan(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else float("nan")
