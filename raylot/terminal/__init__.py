"""Shows a running sweep in the terminal."""
