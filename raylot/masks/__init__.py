"""Masks: what is pruned, how alike masks are, and which weights are plastic."""
