"""Trials compute runs: a class for each kind of run, and what Ray Tune runs."""
