"""Is a winning ticket more or less plastic than the network it was found in?

``main`` in raylot/analysis/ticket_plasticity.py shows the steps: bring tickets and others together
on ``paired_tasks``, ``compare`` them seed by seed, ``show`` the table, put the ``answer`` in words.
"""

from __future__ import annotations

import sys

from raylot.analysis.command import run
from raylot.analysis.ticket_plasticity import main

if __name__ == "__main__":
    sys.exit(run(main))
