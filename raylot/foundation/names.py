"""Names that the library, the sweeps and the analysis share."""

from __future__ import annotations

from pathlib import Path

#: The ``layer`` of a value that is about the whole network.
WHOLE_NETWORK = "all"

#: Measures of how well the stream's network learns a snapshot's task: columns of the table
#: ``snapshots``, and values of ``metric`` in ``plasticity``.
PERFORMANCE = ("test_accuracy", "online_accuracy", "learning_speed")

#: The column of ``tasks`` by whose mean over a stream settings are compared: accuracy on each
#: batch before the network trains on it, as in the L2 Init study, so that no test example chooses.
CHOOSING = "online_accuracy"

#: Values of the column ``control`` of the table ``tickets``.
TICKET, DENSE, UNTRAINED, RANDOM = "ticket", "dense", "untrained", "random"
REWIRED, REINIT, SUPERMASK = "rewired", "reinit", "supermask"

#: A figure from fewer seeds than this comes with a warning.
ENOUGH_SEEDS = 3

#: Intervals over fewer seeds than this never stop the adding of seeds: they are narrow by luck.
FEWEST_SEEDS_TO_STOP = 5

#: With fewer random masks as dense as the tickets, it is not judged which tickets win.
FEWEST_RANDOM_MASKS = 3

#: The shift that changes nothing: the control of all others.
STATIONARY = "stationary"


def _files(folder: str) -> tuple[str, ...]:
    """Returns the names of the files in a folder of the library; helpers begin with ``_``."""
    files = (Path(__file__).parents[1] / folder).glob("[!_]*.py")
    return tuple(sorted(file.stem for file in files))


#: Names of what is built in, by kind; plugins add to them. Each data set, shift, network,
#: intervention and criterion is named like its file, so that a new file needs no entry here;
#: nothing is imported.
BUILT_IN: dict[str, tuple[str, ...]] = {
    "dataset": _files("datasets"),
    "shift": _files("tasks/shifts"),
    "network": _files("networks/architectures"),
    "intervention": ("none", *_files("interventions")),
    "criterion": _files("masks/criteria"),
    "metric": (
        "dead_fraction", "dormant_fraction", "unit_sign_entropy", "effective_rank", "stable_rank",
        "srank", "weight_norm", "weight_magnitude", "distance_from_init", "gradient_norm",
        "gradient_zero_fraction", "sharpness", "ntk_effective_rank", "ntk_condition_number",
        "duplicate_fraction", "saturated_fraction", "weight_rank_fraction",
        "weight_effective_rank_fraction", "churn", "sample_plasticity", "hessian_rank_fraction",
        "hessian_mass_fraction", "hessian_largest", "hessian_smallest", "trace_ntk_effective_rank",
        "trace_ntk_condition_number",
        *PERFORMANCE,
    ),
}  # fmt: skip


def module_label(name: str, module: object) -> str:
    """Returns how messages name a module: ``module 0 (Linear)``; the network itself: ``Linear``."""
    kind = type(module).__name__
    return f"module {name} ({kind})" if name else kind
