"""The Ray Tune trainables: one class per kind of run."""
