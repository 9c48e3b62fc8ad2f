"""Sweeps on Ray: search spaces, the connection to a cluster, and the stages of runs.

Search spaces alone stand here: a script that only answers --help needs no more.
"""

from raylot.sweep.space import Space, study_spaces

__all__ = ["Space", "study_spaces"]
