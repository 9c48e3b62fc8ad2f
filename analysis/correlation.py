"""Correlates the tickets of snapshots with their plasticity, and says what was found.

Reads the tables of a raylot storage; writes STORAGE/analysis/correlation.csv and .parquet (with
--pairing previous: correlation_pairing_previous) with every pair of a ticket measure and a
plasticity measure, for each protocol, shift and sparsity; prints one pair, and last the answer in
words. Seeds are the unit of replication, never rows: intervals resample seeds, and p is of a t test
over seeds, corrected for all tests in the file.
"""

from __future__ import annotations

import sys

from raylot.analysis.command import run
from raylot.analysis.correlation import main

if __name__ == "__main__":
    sys.exit(run(main))
