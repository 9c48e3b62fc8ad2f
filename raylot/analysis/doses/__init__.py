"""Compares doses of methods that keep plasticity, over networks with equally many steps."""
