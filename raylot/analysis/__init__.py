"""Turns tables into statistics, figures, prose and the report; imports neither Ray nor torch."""
