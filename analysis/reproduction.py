"""Lays a storage's numbers of the original study's protocol beside those that it published.

``main`` in raylot/analysis/reproduction.py shows the steps: pick the ``original_rows``,
``reproduce`` each published number from them, ``show`` both side by side.
"""

from __future__ import annotations

import sys

from raylot.analysis.command import run
from raylot.analysis.reproduction import main

if __name__ == "__main__":
    sys.exit(run(main))
