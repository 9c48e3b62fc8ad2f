"""Are the most plastic weights the weights of the tickets?

``main`` in raylot/analysis/plastic_parameters.py shows the steps: read what was ``measured``,
``compare`` it with chance, ``show`` the table, put the ``answer`` in words.
"""

from __future__ import annotations

import sys

from raylot.analysis.command import run
from raylot.analysis.plastic_parameters import main

if __name__ == "__main__":
    sys.exit(run(main))
