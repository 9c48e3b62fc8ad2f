"""Names that the library, the sweeps and the analysis share; imports nothing."""

from __future__ import annotations

#: The ``layer`` of a value that is about the whole network.
WHOLE_NETWORK = "all"

#: Plasticity seen as performance on the snapshot's task: columns of ``snapshots``, and values of
#: ``metric`` in ``plasticity``.
PERFORMANCE = ("test_accuracy", "online_accuracy", "learning_speed", "trainability_gap")

#: With fewer seeds than this, the unit of replication, a figure is given together with a warning.
ENOUGH_SEEDS = 3

#: The shift that changes nothing: the control of all others.
STATIONARY = "stationary"

#: What is built in, by what it is; plugins add to it.
BUILT_IN: dict[str, tuple[str, ...]] = {
    "shift": (
        "permuted_pixels", "rotation", "permuted_labels", "random_labels", "class_split", "noise",
        STATIONARY,
    ),
    "network": ("mlp", "lenet", "vgg", "resnet"),
    "intervention": ("none", "l2", "l2_init", "shrink_and_perturb", "redo", "reset"),
    "metric": (
        "dead_fraction", "dormant_fraction", "unit_sign_entropy", "effective_rank", "stable_rank",
        "srank", "weight_norm", "weight_magnitude", "distance_from_init", "gradient_norm",
        "gradient_zero_fraction", "sharpness", "ntk_effective_rank", "ntk_condition_number",
        *PERFORMANCE,
    ),
}  # fmt: skip


def of_module(name: str, module: object) -> str:
    """Names a module in messages: ``module 0 (Linear)``; ``Linear`` the network itself.

    The name alone, which often is a number, would read as nonsense.
    """
    kind = type(module).__name__
    return f"module {name} ({kind})" if name else kind
