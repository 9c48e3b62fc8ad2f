"""Do tickets follow plasticity when methods keep it at different doses?

    python sweeps/dose_response.py                              # handwritten digits, some minutes
    python sweeps/dose_response.py --snapshots 0-30:3           # enough for cross-lagged terms
    python sweeps/dose_response.py --interventions none,redo --search redo_interval=10,100

The same as ``raylot sweep dose-response``, to copy and to change: see
ticket_count_vs_plasticity.py for its search spaces, `raylot.command.studies` for the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raylot.command.studies import DOSE_RESPONSE, run_study
from raylot.sweep import study_spaces


def main(arguments: Sequence[str] | None = None) -> int:
    return run_study(DOSE_RESPONSE, study_spaces, arguments, script=__file__)


if __name__ == "__main__":
    sys.exit(main())
