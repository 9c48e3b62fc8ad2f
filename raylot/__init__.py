"""raylot: does a network that has lost plasticity also run out of winning lottery tickets?

Run a whole study on Ray, and look at what it found::

    study = raylot.Study(seeds=range(3), tasks=11)
    results = raylot.run(study, storage="results/mine")  # or raylot.open("results/mine")
    print(results.answer())

Or, without Ray, load a data set, shift it, and search the tickets of any ``nn.Module``::

    tickets = raylot.find_tickets(network, task, sparsity=0.8)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raylot import plugins as plugins
    from raylot.foundation.errors import OptionError as OptionError
    from raylot.networks import mlp as mlp
    from raylot.studies.results import Results as Results
    from raylot.studies.results import open as open
    from raylot.studies.running import run as run
    from raylot.studies.study import Study as Study
    from raylot.tasks import Task as Task
    from raylot.tasks import load_dataset as load_dataset
    from raylot.tasks import permute_labels as permute_labels
    from raylot.tasks import permute_pixels as permute_pixels
    from raylot.tickets import Tickets as Tickets
    from raylot.tickets import find_tickets as find_tickets

from raylot.foundation.version import VERSION

__version__ = VERSION

# Loaded on first use: ``import raylot`` is fast, ``raylot.open`` needs neither torch nor Ray.
_HOMES = {
    "OptionError": "raylot.foundation.errors",
    "Results": "raylot.studies.results",
    "Study": "raylot.studies.study",
    "Task": "raylot.tasks",
    "Tickets": "raylot.tickets",
    "find_tickets": "raylot.tickets",
    "load_dataset": "raylot.tasks",
    "mlp": "raylot.networks",
    "open": "raylot.studies.results",
    "permute_labels": "raylot.tasks",
    "permute_pixels": "raylot.tasks",
    "run": "raylot.studies.running",
}

__all__ = sorted([*_HOMES, "plugins"])


def __getattr__(name: str) -> Any:
    if name == "plugins":
        return importlib.import_module("raylot.plugins")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'raylot' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
