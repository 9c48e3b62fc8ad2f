"""Every measure's name in words, and which way is up.

A metric that is not listed here is correlated too, under its own name, and no answer claims which
way is up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd


@dataclass(frozen=True)
class Measure:
    """A column that is correlated.

    Attributes:
        name: its column.
        label: its name in words, as in a sentence.
        unit: what an axis says about its unit; empty for a pure number.
        orientation: 1 if high means plastic (or plenty of tickets), -1 if high means that
            plasticity is lost (or tickets are), 0 if neither is settled.
        stands_for: of a ticket measure: what there is less of when it gets worse.
    """

    name: str
    label: str
    unit: str = ""
    orientation: Literal[-1, 0, 1] = 0
    stands_for: str = ""

    @property
    def axis_label(self) -> str:
        text = self.label[0].upper() + self.label[1:]
        return f"{text} ({self.unit})" if self.unit else text


_VARIETY = "variety of tickets"

TICKET_MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        # Counts grow with the number of tickets: the analysis compares them at equal numbers.
        Measure("ticket_count", "ticket count", "effective number", 1, _VARIETY),
        Measure("winning_ticket_count", "winning ticket count", "effective number", 1,
                "variety of winning tickets"),
        Measure("overlap_mean", "mean pairwise overlap", "Jaccard index", -1, _VARIETY),
        Measure("overlap_corrected", "chance-corrected overlap", "1 = same mask", -1, _VARIETY),
        # Two tickets that differ in the order of hidden units are one subnetwork. It has no chance
        # level: compare it at equal densities of one network only.
        Measure("overlap_matched", "overlap with hidden units matched", "Jaccard index", -1,
                _VARIETY),
        # Late in a stream the snapshot's own magnitudes decide most of a ticket's mask, and so how
        # alike tickets are: the first says how far, the second what remains without that.
        Measure("overlap_untrained", "overlap with the untrained mask", "Jaccard index", -1,
                "share of the masks that training chooses"),
        Measure("overlap_beyond_untrained", "overlap beyond the untrained mask's", "1 = same mask",
                -1, _VARIETY),
        Measure("winning_tickets", "winning tickets", "number", 1, "number of winning tickets"),
        Measure("ticket_accuracy", "ticket accuracy", "fraction", 1, "accuracy of tickets"),
        Measure("ticket_advantage", "ticket minus dense accuracy", "difference of accuracies", 1,
                "advantage of tickets over the dense network"),
        Measure("advantage_over_random", "ticket minus random accuracy", "difference of accuracies",
                1, "advantage of tickets over random masks"),
    )
}  # fmt: skip

#: The unit of a loss.
_OF_LOSS = "nats, or squared error in regression"

# Structural measures are oriented as the literature reads them:
# dead units, weights that grow: Dohare et al. 2024; dormant units: Sokar et al. 2023; ranks that
# fall: Kumar et al. 2021 (srank), Dohare et al. 2024; distance from the initialisation: Kumar et
# al. 2023 (regenerative regularisation); gradients that vanish: Abbas et al. 2023; an NTK that
# loses rank and becomes ill-conditioned: Lyle et al. 2024 (disentangling the causes); duplicate
# and saturated units: Joudaki et al. 2025; ranks of weights that fall, and sample plasticity:
# Elsayed & Mahmood 2024; churn: Tang et al. 2025; a Hessian that loses rank: Lewandowski et al.
# 2023.
# Not settled: barriers (two trainings may end in one basin as the network is stable, or as it
# hardly learns); the gradient's norm; sharpness (Lyle et al. 2023 see it rise as plasticity is
# lost, Lewandowski et al. 2023 see curvature vanish); unit sign entropy, which is low in dead units
# but also in linear ones, and linear networks stay plastic (Lewandowski et al. 2024).
_PLASTICITY_MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("probe_online_gap", "probe gap", "difference of online accuracies", -1),
        Measure("probe_speed_gap", "probe gap of learning speed", "normalised area", -1),
        Measure("probe_test_gap", "probe gap of test accuracy", "difference of accuracies", -1),
        Measure("probe_loss_gap", "probe gap of final training loss", _OF_LOSS, -1),
        Measure("test_error_barrier", "barrier between two trainings", "difference of test errors"),
        Measure("test_loss_barrier", "loss barrier between two trainings", _OF_LOSS),
        Measure("test_accuracy", "test accuracy", "fraction", 1),
        Measure("online_accuracy", "online accuracy", "fraction", 1),
        Measure("learning_speed", "learning speed", "normalised area", 1),
        Measure("dead_fraction", "dead units", "fraction", -1),
        Measure("dormant_fraction", "dormant units", "fraction", -1),
        Measure("effective_rank", "effective rank", "", 1),
        Measure("stable_rank", "stable rank", "", 1),
        Measure("srank", "srank", "", 1),
        Measure("weight_norm", "weight norm", "", -1),
        Measure("weight_magnitude", "mean weight magnitude", "", -1),
        Measure("distance_from_init", "distance from initialisation", "", -1),
        Measure("gradient_norm", "gradient norm", "", 0),
        Measure("gradient_zero_fraction", "zero gradients", "fraction", -1),
        Measure("unit_sign_entropy", "unit sign entropy", "", 0),
        Measure("ntk_effective_rank", "effective rank of the pseudo-NTK", "", 1),
        Measure("ntk_condition_number", "condition number of the pseudo-NTK", "", -1),
        Measure("trace_ntk_effective_rank", "effective rank of the trace NTK", "", 1),
        Measure("trace_ntk_condition_number", "condition number of the trace NTK", "", -1),
        Measure("sharpness", "sharpness", "largest Hessian eigenvalue", 0),
        Measure("hessian_rank_fraction", "rank of the Hessian", "fraction", 1),
        Measure("hessian_mass_fraction", "mass of large Hessian eigenvalues", "fraction", 0),
        Measure("hessian_largest", "largest Hessian eigenvalue", "", 0),
        Measure("hessian_smallest", "smallest Hessian eigenvalue", "", 0),
        Measure("duplicate_fraction", "duplicate units", "fraction", -1),
        Measure("saturated_fraction", "saturated units", "fraction", -1),
        Measure("weight_rank_fraction", "rank of weights", "fraction", 1),
        Measure("weight_effective_rank_fraction", "effective rank of weights", "fraction", 1),
        Measure("churn", "churn", "mean |change of a logit|", -1),
        Measure("sample_plasticity", "sample plasticity", "fraction", 1),
    )
}

#: The declared pair, from which the answer follows. Plasticity: how far a snapshot is behind a
#: fresh network on unseen tasks.
PRIMARY_PLASTICITY = "probe_online_gap"

#: What compares plasticity where tasks have no accuracy.
LOSS_GAP = "probe_loss_gap"

#: Tickets: how much better they are than random masks of their layer densities, which is what makes
#: a winning ticket. It depends neither on how many tickets were searched, as counts do, nor, before
#: plasticity is lost, on the method that networks train with, as overlaps do.
PRIMARY_TICKETS = "advantage_over_random"

#: The main measures: matrices of correlations show these unless the user asks for all. None repeats
#: another with the other sign, as overlaps repeat the ticket count.
MAIN_MEASURES = (
    "ticket_count", "winning_tickets", "ticket_advantage", "advantage_over_random",
    "probe_online_gap", "test_accuracy", "online_accuracy", "learning_speed", "dead_fraction",
    "effective_rank", "weight_norm",
)  # fmt: skip

ALL_SHIFTS = "all"


def without_setting(name: str) -> str:
    """Returns ``sharpness`` of the column ``sharpness(sharpness_iterations=50)``."""
    return name.partition("(")[0]


def measure(name: str) -> Measure:
    """The measure of a column; an unlisted one gets its own name as label.

    ``sharpness(sharpness_iterations=50)`` is the sharpness measured with that setting.
    """
    base, bracket, setting = name.partition("(")
    known = TICKET_MEASURES.get(base) or _PLASTICITY_MEASURES.get(base)
    known = known or Measure(base, base.replace("_", " "))
    return replace(known, name=name, label=f"{known.label} ({setting}") if bracket else known


def differing(settings: Iterable[str | None]) -> dict[str, str]:
    """Maps each setting of a measure to the part that not all settings share."""
    parts = {text: text.split(", ") for text in settings if not pd.isna(text)}
    counts = Counter(part for own in parts.values() for part in own)
    return {
        text: ", ".join(part for part in own if counts[part] < len(parts))
        for text, own in parts.items()
    }


def is_regression(frame: pd.DataFrame) -> bool:
    """Whether snapshots have gaps on probe tasks of losses alone: regression has no accuracy."""

    def has(measure: str) -> bool:
        own = [name for name in map(str, frame) if without_setting(name) == measure]
        return bool(frame[own].notna().any(axis=None))

    return has(LOSS_GAP) and not has(PRIMARY_PLASTICITY)


def main_measures(names: Iterable[str]) -> list[str]:
    """Picks the main measures and the user's own; all measures, if that leaves none."""
    names = list(names)
    listed = {*TICKET_MEASURES, *_PLASTICITY_MEASURES}
    bases = {name: without_setting(name) for name in names}
    return [n for n, base in bases.items() if base in MAIN_MEASURES or base not in listed] or names


def in_order(names: set[str]) -> list[str]:
    """Plasticity measures in the order in which they are listed here, then the others by name.

    Those of a measure with several settings stand together.
    """
    listed = list(_PLASTICITY_MEASURES)

    def place(name: str) -> tuple[int, str]:
        base = without_setting(name)
        return (listed.index(base) if base in listed else len(listed), name)

    return sorted(names, key=place)
