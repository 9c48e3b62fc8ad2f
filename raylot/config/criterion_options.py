"""The traits of pruning criteria that a search reads before it scores, and their options."""

from __future__ import annotations

from raylot.config.options import Options, option
from raylot.foundation import registry
from raylot.foundation.registry import CriterionTraits


class ScoringExamples(Options):
    """Options of ``snip`` and ``grasp``."""

    examples_per_class: int = option(
        10, "training examples of each class in the batch on which weights are scored; at most "
        "those that there are",
        ge=1, le=1_000_000, off=10, role="search",
    )  # fmt: skip


class EdgePopup(Options):
    """Options of ``edge_popup``."""

    edge_popup_lr: float = option(
        0.1, "learning rate of the scores", gt=0, le=1000, off=0.1, role="search"
    )
    edge_popup_momentum: float = option(
        0.9, "momentum of the scores", ge=0, lt=1, off=0.9, role="search"
    )


#: Criterion -> the models of its options.
DECLARED: dict[str, tuple[type[Options], ...]] = {
    "edge_popup": (EdgePopup,),
    "grasp": (ScoringExamples,),
    "snip": (ScoringExamples,),
}

#: Built-in criteria that need more than a training, or less.
_TRAITS = {
    "edge_popup": CriterionTraits(before_training=True, rounds=1, trains_scores=True),
    "grasp": CriterionTraits(before_training=True, rounds=1),
    "large_init": CriterionTraits(before_training=True, rounds=1),
    "small_init": CriterionTraits(before_training=True, rounds=1),
    "snip": CriterionTraits(before_training=True, rounds=1),
    "synflow": CriterionTraits(before_training=True, rounds=100),
    "taylor": CriterionTraits(gradients=True),
}


class CriterionParameters(ScoringExamples, EdgePopup):
    """On what criteria score weights, and how they train scores."""


def traits_of(criterion: str) -> CriterionTraits:
    """Returns what a search must know of a criterion, built in or of a plugin.

    A plugin's that this process has not loaded counts as one that scores after each training.
    """
    added = registry.find("criterion", criterion)
    return _TRAITS.get(criterion, CriterionTraits()) if added is None else added.traits
