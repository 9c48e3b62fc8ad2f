"""The figures, and what they have in common."""
