"""Search spaces in Ray Tune's terms, as runs; and runs as what Tune is given to try."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from ray import tune
from ray.tune.search.variant_generator import generate_variants

from raylot.config import StreamRun, Study

Space = Mapping[str, Any]
AnyRun = TypeVar("AnyRun", bound=StreamRun)


def study_spaces(study: Study) -> tuple[Space, Space, Space]:
    """What a study compares: the search spaces of its streams, tickets and ticket streams."""
    streams = {
        "seed": tune.grid_search(list(study.seeds)),
        "shift": tune.grid_search(list(study.shifts)),
        "intervention": tune.grid_search(list(study.interventions)),
    }
    tickets = {
        "task": tune.grid_search(list(study.snapshots)),
        "sparsity": tune.grid_search(list(study.sparsities)),
    }
    ticket_streams = {"subnetwork": tune.grid_search(list(study.subnetworks))}
    return streams, tickets, ticket_streams


def resolve(space: Space, samples: int = 1, seed: int = 0) -> list[dict[str, Any]]:
    """The points of a search space, the same at every call.

    Args:
        space: option name -> value, ``tune.grid_search(...)``, ``tune.choice(...)``, ...
        samples: draws of everything random, each with the whole grid.
        seed: of these draws.
    """
    random_state = np.random.RandomState(seed)
    return [
        dict(spec["config"])
        for _ in range(samples)
        for _, spec in generate_variants({"config": dict(space)}, random_state=random_state)
    ]


def distinct(runs: Iterable[AnyRun]) -> list[AnyRun]:
    """Each run once: random draws of a search space may repeat."""
    return list({run.run_id: run for run in runs}.values())


def split(
    runs: Sequence[StreamRun], searched: set[str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The options that all runs share, and per run the others: those searched, those that vary."""
    everything = [run.model_dump(mode="json") for run in runs]
    first = everything[0]
    varied = {
        name for name in first
        if name in searched or any(options[name] != first[name] for options in everything)
    }  # fmt: skip
    shared = {name: value for name, value in first.items() if name not in varied}
    return shared, [{name: options[name] for name in varied} for options in everything]
