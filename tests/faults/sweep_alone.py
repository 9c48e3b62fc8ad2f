"""The main study's sweep without the analysis after it: what the tests of faults disturb."""

from __future__ import annotations

import sys

from raylot.command.studies import StudyKind, run_study
from raylot.sweep import study_spaces

if __name__ == "__main__":
    sys.exit(run_study(StudyKind("alone", __doc__ or "", {}), study_spaces, script=__file__))
