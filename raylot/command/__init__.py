"""The command line, and what the scripts in sweeps/ and analysis/ call."""
