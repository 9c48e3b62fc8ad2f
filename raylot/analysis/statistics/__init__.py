"""Intervals, coefficients, tests and trends: numbers in, numbers out."""
