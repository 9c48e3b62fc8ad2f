"""Studies from Python, as in a notebook: ask for one, run it, and look at its results."""
