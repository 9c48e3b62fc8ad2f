"""Sweeps on Ray: search spaces, the connection to a cluster, and the stages of runs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raylot.sweep.space import Space as Space
    from raylot.sweep.space import study_spaces as study_spaces
    from raylot.sweep.stage import Stage as Stage
    from raylot.sweep.sweep import Sweep as Sweep

# Loaded on first use: a script that only answers --help needs none of them.
_HOMES = {
    "Space": "raylot.sweep.space",
    "Stage": "raylot.sweep.stage",
    "Sweep": "raylot.sweep.sweep",
    "study_spaces": "raylot.sweep.space",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'raylot.sweep' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
