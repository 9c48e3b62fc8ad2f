"""Writes STORAGE/analysis/report.html: one page that explores a study, to keep or to send.

``report`` in raylot/analysis/report/report.py puts the page together.
"""

from __future__ import annotations

import sys

from raylot.analysis.command import run
from raylot.analysis.report.report import main

if __name__ == "__main__":
    sys.exit(run(main))
