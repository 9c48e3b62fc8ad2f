"""At which learning rate and strength does each intervention work best?

    python sweeps/best_settings.py   # handwritten digits, minutes
    python sweeps/best_settings.py --budget 2h --interventions none,redo
    python sweeps/best_settings.py --search 'lr=loguniform(1e-4,1e-1)'

The same as ``raylot sweep best-settings``, to copy and to change: see `raylot.command.studies`, and
`raylot.config.settings_search` for what is searched unless you say otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raylot.command.studies import BEST_SETTINGS, run_study
from raylot.sweep import study_spaces


def main(arguments: Sequence[str] | None = None) -> int:
    return run_study(BEST_SETTINGS, study_spaces, arguments, script=__file__)


if __name__ == "__main__":
    sys.exit(main())
