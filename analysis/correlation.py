"""Correlates the tickets of snapshots with their plasticity, and says what was found.

``main`` in raylot/analysis/correlation.py shows the steps: ``observe`` a storage, ``correlate_all``
its measures, ``find`` what one pair of them says, print it, write the table. A script or notebook
of yours can call the same functions.
"""

from __future__ import annotations

import sys

from raylot.analysis.command import run
from raylot.analysis.correlation import main

if __name__ == "__main__":
    sys.exit(run(main))
