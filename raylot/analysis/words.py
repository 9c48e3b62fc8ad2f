"""Pieces of sentences and tables: lists, counts, figures with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raylot.analysis.statistics.intervals import Mean


def listed(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def counted(count: int, noun: str) -> str:
    """``1 seed``, ``5 seeds``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def capitalised(text: str) -> str:
    """The text with its first letter in upper case, the others as they are."""
    return text[:1].upper() + text[1:]


def correlation(value: float) -> str:
    """Formats a correlation in four characters: ``+.77``, ``-1.0``; ``n/a`` for NaN."""
    if math.isnan(value):
        return "n/a"
    text = f"{round(value, 2) + 0.0:+.2f}"  # no minus before a zero
    return text[:4] if text[1] == "1" else text.replace("0.", ".", 1)


def p_value(p: float) -> str:
    """``p <.001``, ``p .012``."""
    return "p <.001" if p < 0.001 else f"p {p:.3f}".replace("0.", ".", 1)


def figure(mean: Mean | None, form: str = "+z.3f", *, separator: str = " ") -> str:
    """``+0.012 [+0.003, +0.021]``, without the interval if there is none; ``none`` for None.

    A bound near 0 is not rounded to 0: whether an interval holds 0 is what readers look for.
    """
    if mean is None:
        return "none"
    text = f"{mean.mean:{form}}"
    if mean.low is None or mean.high is None:
        return text
    low, high = (
        f"{bound:{form}}" if bound == 0 or float(f"{bound:{form}}") else f"{bound:+.1g}"
        for bound in (mean.low, mean.high)
    )
    return f"{text}{separator}[{low}, {high}]"


def with_half(mean: Mean | None) -> str:
    """``0.187 ±0.012``: the mean and half its interval; ``none`` for None."""
    if mean is None:
        return "none"
    half = "" if mean.half is None else f" ±{mean.half:.3f}"
    return f"{mean.mean:z.3f}{half}"


def without_zeros(text: str) -> str:
    """``+0.012 [+0.003, -0.2]`` -> ``+.012 [+.003, -.2]``."""
    return text.replace("+0.", "+.").replace("-0.", "-.")
