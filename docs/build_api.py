"""Builds the pages of the public names: ``python -W error docs/build_api.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import pdoc

import raylot

MODULES = (
    "raylot",
    "raylot.results",
    "raylot.tasks",
    "raylot.networks",
    "raylot.training",
    "raylot.masks.context",
    "raylot.plasticity",
)

if __name__ == "__main__":
    for name in raylot.__all__:
        # pdoc does not see what a module loads on first use.
        setattr(raylot, name, getattr(raylot, name))
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*MODULES, output_directory=Path(sys.argv[1]))
