"""Lays what a storage holds of the original study's protocol beside its published numbers.

Works with any part of the preset original, one seed or many. Writes
STORAGE/analysis/reproduction.csv and .parquet; prints which published numbers lie in the range in
which one more run would be expected.
"""

from __future__ import annotations

import sys

from raylot.analysis.command import run
from raylot.analysis.reproduction import main

if __name__ == "__main__":
    sys.exit(run(main))
