"""Reads command lines."""

from __future__ import annotations

import re
from collections.abc import Sequence


def joined_negatives(words: Sequence[str]) -> list[str]:
    """``--lr -1e-3`` as ``--lr=-1e-3``: argparse takes the value for an option of its own."""
    joined: list[str] = []
    for word in words:
        if joined and re.fullmatch(r"--[a-z0-9-]+", joined[-1]) and re.match(r"-[\d.]|-inf", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined
