"""Is a winning ticket more or less plastic than the network it was found in?

Compares tickets that go on learning new tasks (ticket streams) with the dense network of the same
snapshot, with random masks and with re-initialised tickets, on the same tasks and paired by seed.
Writes STORAGE/analysis/ticket_plasticity.csv and .parquet with every snapshot and measure; prints
the differences and the answer in words.
"""

from __future__ import annotations

import sys

from raylot.analysis.command import run
from raylot.analysis.ticket_plasticity import main

if __name__ == "__main__":
    sys.exit(run(main))
