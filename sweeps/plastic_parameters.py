"""Are the most plastic weights of a network the weights of its winning tickets?

Searches the winning tickets of snapshots along streams of tasks, and compares the weights with
the largest mean gradient with the first ticket, the union and the intersection of all, beside
what chance would give. An overlap at or below chance means: not the same weights.

    python sweeps/plastic_parameters.py                         # handwritten digits, 1-2 minutes
    python sweeps/plastic_parameters.py --seeds 0-9 --sparsities 0.8,0.95 --dry-run

Its runs are those of sweeps/ticket_count_vs_plasticity.py: with that study's --storage, nothing
is computed twice. The same command again continues what was interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raylot.command.script import conduct
from raylot.sweep import study_spaces


def main(arguments: Sequence[str] | None = None) -> int:
    analyses = {"figures.py": "tickets", "plastic_parameters.py": "tickets"}
    return conduct(__file__, __doc__, study_spaces, analyses=analyses, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
