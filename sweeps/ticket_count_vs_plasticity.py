"""Does a network that loses plasticity also run out of winning lottery tickets?

    python sweeps/ticket_count_vs_plasticity.py           # handwritten digits, about 2 minutes
    python sweeps/ticket_count_vs_plasticity.py --preset original --data-root FOLDER
    python sweeps/ticket_count_vs_plasticity.py --seeds 0-9 --dry-run

The same as ``raylot sweep ticket-count-vs-plasticity``, to copy and to change: `spaces` has the
search spaces, and `raylot.command.studies` says what else makes up the study.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raylot.command.studies import TICKET_COUNT_VS_PLASTICITY, run_study
from raylot.config import Study
from raylot.sweep import Space, study_spaces


def spaces(study: Study) -> tuple[Space, Space, Space]:
    """The search spaces, in Ray Tune's terms.

    ``--search`` adds values and draws of any option that decides what is trained. To add what it
    cannot say, write ``from ray import tune`` here (not at the top, where ``--help`` would wait for
    it), and add to a copy: ``{**streams, "lr": tune.grid_search([0.001, 0.01])}``. Options that go
    together stand there as ``"zip(lr,epochs)": tune.grid_search([(0.001, 4), (0.01, 2)])``.
    """
    streams, tickets, ticket_streams = study_spaces(study)
    return streams, tickets, ticket_streams


def main(arguments: Sequence[str] | None = None) -> int:
    return run_study(TICKET_COUNT_VS_PLASTICITY, spaces, arguments, script=__file__)


if __name__ == "__main__":
    sys.exit(main())
