"""Is a winning ticket more or less plastic than the network it was found in?

Searches the tickets of snapshots along streams of tasks, then trains the first of each, whether it
wins or not, on the tasks that follow, one after another, beside the dense network, a random mask
and the ticket from a fresh initialisation. The answer says how many of them win.

    python sweeps/ticket_plasticity.py                          # handwritten digits, some minutes
    python sweeps/ticket_plasticity.py --ticket-tasks 30 --stream-snapshots 0,20 --dry-run

The same command again skips what is finished and continues what was interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raylot.command.script import conduct
from raylot.sweep import study_spaces

#: Where this study differs from the default one.
DEFAULTS = {
    "ticket_tasks": 10,
    "snapshots": "0,20",
    "sparsities": "0.8",
}


def main(arguments: Sequence[str] | None = None) -> int:
    analyses = {
        "figures.py": "tickets",
        "report.py": "streams",
        "ticket_plasticity.py": "ticket streams",
    }
    return conduct(
        __file__, __doc__, study_spaces, analyses=analyses, arguments=arguments, defaults=DEFAULTS
    )


if __name__ == "__main__":
    sys.exit(main())
