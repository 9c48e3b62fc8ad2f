"""A command's share of a study: which streams it computes, with all that stands on them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from raylot.config.runs import StreamRun

#: Shares of one study: as many jobs as the largest clusters let one array have.
MOST_SHARES = 100_000


@dataclass(frozen=True)
class Share:
    """One of several shares, written ``3/16``.

    Attributes:
        number: counted from 1.
        of: how many shares there are.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``3/16``; raises ValueError if the text is no share."""
        number, of = map(int, text.split("/"))
        if not 1 <= number <= of <= MOST_SHARES:
            raise ValueError("no share")
        return cls(number, of)

    def dealt(self, streams: Sequence[StreamRun]) -> list[StreamRun]:
        """Returns the streams of this share, in their order.

        Streams are dealt out one by one, seed after seed, so that shares differ by one stream at
        most where every seed has as many streams as the others. (By run_id, of 15 streams some of
        16 shares would get three.) Seeds that are added later, beyond the largest, are dealt after
        the others, which stay where they are. Once a round over seeds and shares comes to where it
        began, the next one begins a share further: otherwise 6 shares of 6 interventions would have
        one intervention each, and the slowest would keep all waiting.
        """
        by_seed = sorted(streams, key=lambda run: run.seed)  # stable
        seeds = [list(runs) for _, runs in itertools.groupby(by_seed, lambda run: run.seed)]
        width = max(map(len, seeds), default=1)
        seeds_per_round = self.of // math.gcd(width, self.of)
        own = {
            run.run_id
            for place, runs in enumerate(seeds)
            for index, run in enumerate(runs, place * width + place // seeds_per_round)
            if index % self.of == self.number - 1
        }
        return [run for run in streams if run.run_id in own]
