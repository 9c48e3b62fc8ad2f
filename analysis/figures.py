"""Draws a study's figures, as PNG and SVG, into STORAGE/analysis/figures/.

``FIGURES`` in raylot/analysis/figures/figures.py names what draws each of them; a file of that name
beside it holds it. A script or notebook of yours can ``draw`` a single one.
"""

from __future__ import annotations

import sys

from raylot.analysis.command import run
from raylot.analysis.figures.figures import main

if __name__ == "__main__":
    sys.exit(run(main))
