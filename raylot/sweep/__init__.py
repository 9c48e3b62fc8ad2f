"""Sweeps on Ray: search spaces, the connection to a cluster, and the stages of runs."""

from raylot.sweep import environment as environment  # before anything imports Ray
from raylot.sweep.outcome import CONTINUE, Outcome
from raylot.sweep.space import Space, study_spaces
from raylot.sweep.stage import Stage
from raylot.sweep.sweep import Sweep
from raylot.sweep.watch import INTERRUPTED_STATUS

__all__ = ["CONTINUE", "INTERRUPTED_STATUS", "Outcome", "Space", "Stage", "Sweep", "study_spaces"]
