"""Masks: which weights are pruned, how alike masks are, and which weights are plastic."""
