"""The version of raylot; pyproject.toml reads it from here."""

VERSION = "0.2.0"
