"""How well does each intervention do at its best setting, on seeds that did not choose it?

``main`` in raylot/analysis/best_settings.py shows the steps: read the settings that were ``tried``,
``report`` the best of each intervention, print the table, write it with all settings and a figure.
"""

from __future__ import annotations

import sys

from raylot.analysis.best_settings import main
from raylot.analysis.command import run

if __name__ == "__main__":
    sys.exit(run(main))
