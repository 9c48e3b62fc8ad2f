"""Do tickets follow plasticity when methods keep it at different doses?

``main`` in raylot/analysis/dose_response.py shows the steps: bring all doses of a protocol together
as ``Trajectories``, ``compare`` them, ``show`` the tables, put the ``answer`` in words.
"""

from __future__ import annotations

import sys

from raylot.analysis.command import run
from raylot.analysis.dose_response import main

if __name__ == "__main__":
    sys.exit(run(main))
