"""Are the most plastic weights of a network the weights of its winning tickets?

    python sweeps/plastic_parameters.py                         # handwritten digits, about a minute
    python sweeps/plastic_parameters.py --seeds 0-9 --sparsities 0.8,0.95 --dry-run

The same as ``raylot sweep plastic-parameters``, to copy and to change: see
ticket_count_vs_plasticity.py for its search spaces, `raylot.command.studies` for the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raylot.command.studies import PLASTIC_PARAMETERS, run_study
from raylot.sweep import study_spaces


def main(arguments: Sequence[str] | None = None) -> int:
    return run_study(PLASTIC_PARAMETERS, study_spaces, arguments, script=__file__)


if __name__ == "__main__":
    sys.exit(main())
