"""Intervals, coefficients and tests: numbers in, numbers out."""
