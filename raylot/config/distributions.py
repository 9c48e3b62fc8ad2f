"""The distributions from which a search draws, in Ray Tune's words: ``loguniform(1e-4,1e-2)``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raylot.foundation.errors import OptionError, shown

#: Distribution -> its arguments; ``choice`` has any number of values.
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "choice": (),
    "uniform": ("low", "high"),
    "loguniform": ("low", "high"),
    "quniform": ("low", "high", "q"),
    "randint": ("low", "high"),
    "lograndint": ("low", "high"),
}

#: Significant digits of a drawn number, so that messages, titles and tables can name it.
_DIGITS = 4


@dataclass(frozen=True)
class Distribution:
    """One distribution of values.

    ``choice`` draws one of its values; ``uniform`` and ``loguniform`` a number from low to high,
    rounded to 4 significant digits; ``quniform`` a multiple of q from low to high; ``randint`` and
    ``lograndint`` a whole number from low to high - 1.

    Attributes:
        name: one of `ARGUMENTS`.
        arguments: its numbers; of ``choice`` its values.
    """

    name: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.name}{as_text(self.arguments)}"

    def __repr__(self) -> str:
        """The text from which the same distribution is read."""
        return repr(str(self))

    @classmethod
    def checked(cls, name: str, arguments: Sequence[Any]) -> Distribution:
        """Makes a distribution of what a user wrote.

        Raises:
            OptionError: there is no such distribution, or its range is wrong; without the option's
                name.
        """
        if name not in ARGUMENTS:
            raise OptionError(f"must be values, grid(...) or one of {', '.join(ARGUMENTS)}")
        if name == "choice":
            if not arguments:
                raise OptionError("must have one or more values, as choice(16,32)")
            return cls(name, tuple(arguments))
        wanted = f"{name}({','.join(ARGUMENTS[name])})"
        if len(arguments) != len(ARGUMENTS[name]):
            raise OptionError(f"must be {wanted}")
        numbers = tuple(_number(value, wanted) for value in arguments)
        low, high = numbers[:2]
        if low >= high:
            raise OptionError(f"must have low < high in {wanted}")
        if "log" in name and low <= 0:
            raise OptionError(f"must have low > 0 in {wanted}")
        if name in ("uniform", "loguniform") and f"{low:.{_DIGITS}g}" == f"{high:.{_DIGITS}g}":
            raise OptionError(f"must have low and high that differ in {_DIGITS} digits in {wanted}")
        if "int" in name and not all(isinstance(number, int) for number in numbers):
            raise OptionError(f"must have whole numbers in {wanted}")
        if name == "quniform":
            q = numbers[2]
            if q <= 0 or not (_is_multiple(low, q) and _is_multiple(high, q)):
                raise OptionError(f"must have q > 0, and multiples of q in {wanted}")
        return cls(name, numbers)

    @property
    def extremes(self) -> tuple[Any, ...]:
        """The least and the largest value that can be drawn; of ``choice`` all values."""
        if self.name == "choice":
            return self.arguments
        low, high = self.arguments[:2]
        return low, high - 1 if "int" in self.name else high

    def draw(self, share: float) -> Any:
        """Returns the value below which this share of all draws lie; of ``choice`` and whole
        numbers the one that this share falls to.

        Args:
            share: a uniform random number in [0, 1).
        """
        if self.name == "choice":
            return self.arguments[int(share * len(self.arguments))]
        low, high = self.arguments[:2]
        if "log" in self.name:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        return self.rounded(math.floor(value) if "int" in self.name else value)

    def rounded(self, value: Any) -> Any:
        """Returns the value that stands for a drawn number, see the class."""
        if self.name == "choice":
            return value
        if self.name == "quniform":
            q = self.arguments[2]
            value = float(f"{round(value / q) * q:.12g}")  # without 0.30000000000000004
        elif "int" not in self.name:
            value = float(f"{value:.{_DIGITS}g}")
        least, largest = self.extremes
        return min(max(value, least), largest)

    def holds(self, value: Any) -> bool:
        """Returns whether a value can be drawn, apart from its rounding."""
        if self.name == "choice":
            return value in self.arguments
        return isinstance(value, int | float) and self.extremes[0] <= value <= self.extremes[1]

    @property
    def size(self) -> float:
        """How many values there are: endless with ``uniform`` and its like."""
        if self.name == "choice":
            return len(self.arguments)
        return self.arguments[1] - self.arguments[0] if "int" in self.name else math.inf


def as_text(value: Any) -> str:
    """``(1e-3,(100,100),none)``: a value as a search is written; lists in parentheses."""
    if isinstance(value, list | tuple):
        return f"({','.join(map(as_text, value))})"
    return shown(value).lower() if value is None or isinstance(value, bool) else shown(value)


def _number(value: Any, wanted: str) -> int | float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise OptionError(f"must have finite numbers in {wanted}")
    return int(value) if re.fullmatch("[+-]?[0-9]+", str(value)) else number


def _is_multiple(number: float, q: float) -> bool:
    return math.isclose(math.remainder(number, q), 0, abs_tol=q * 1e-6)
