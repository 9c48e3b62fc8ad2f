"""Writes STORAGE/analysis/report.html: one page that explores a study, to keep or to send.

The page holds all that it needs, opens without a network, and has the answer with its intervals,
every figure with filters, the runs with their cost, and the commands and versions behind them. It
shows what there is so far, also while a sweep runs.
"""

from __future__ import annotations

import sys

from raylot.analysis.command import run
from raylot.analysis.report.report import main

if __name__ == "__main__":
    sys.exit(run(main))
