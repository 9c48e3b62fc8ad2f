"""Sweeps on Ray: search spaces, the connection to a cluster, and the stages of runs."""

from raylot.sweep.space import Space, study_spaces
from raylot.sweep.sweep import INTERRUPTED, Outcome, Stage, Sweep

__all__ = ["INTERRUPTED", "Outcome", "Space", "Stage", "Sweep", "study_spaces"]
