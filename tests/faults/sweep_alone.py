"""The main study's sweep without the analysis after it: what the tests of faults disturb."""

from __future__ import annotations

import sys

from raylot.command.script import conduct
from raylot.sweep import study_spaces

if __name__ == "__main__":
    sys.exit(conduct(__file__, __doc__, study_spaces, analyses={}))
