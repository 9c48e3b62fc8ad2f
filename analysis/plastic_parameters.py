"""Are the most plastic weights the weights of the tickets?

Compares, from the table plastic_parameters, the weights with the largest mean |gradient| with the
first ticket, the union and the intersection of all tickets, each beside the overlap that chance
alone would give. Writes STORAGE/analysis/plastic_parameters.csv and .parquet with every snapshot
and layer; prints the whole network and the answer in words.
"""

from __future__ import annotations

import sys

from raylot.analysis.command import run
from raylot.analysis.plastic_parameters import main

if __name__ == "__main__":
    sys.exit(run(main))
