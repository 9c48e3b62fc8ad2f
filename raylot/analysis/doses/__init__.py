"""Dose and response: networks with equally many training steps, methods that keep plasticity."""
