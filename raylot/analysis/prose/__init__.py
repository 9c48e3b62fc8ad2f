"""Puts findings into words."""
