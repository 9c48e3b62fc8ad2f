"""Is a winning ticket more or less plastic than the network it was found in?

    python sweeps/ticket_plasticity.py                          # handwritten digits, some minutes
    python sweeps/ticket_plasticity.py --ticket-tasks 30 --stream-snapshots 0,20 --dry-run

The same as ``raylot sweep ticket-plasticity``, to copy and to change: see
ticket_count_vs_plasticity.py for its search spaces, `raylot.command.studies` for the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raylot.command.studies import TICKET_PLASTICITY, run_study
from raylot.sweep import study_spaces


def main(arguments: Sequence[str] | None = None) -> int:
    return run_study(TICKET_PLASTICITY, study_spaces, arguments, script=__file__)


if __name__ == "__main__":
    sys.exit(main())
