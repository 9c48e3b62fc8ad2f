"""Reproducible random numbers: one independent generator for every (seed, purpose, index)."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RandomKey:
    """Names one draw by a path such as ``(seed, "ticket", 3, "epoch", 0)``.

    The same path gives the same numbers on every machine and in every process, whatever was drawn
    before. Different paths give independent numbers (``numpy.random.SeedSequence``).
    """

    path: tuple[int | str, ...]

    def child(self, *parts: int | str) -> RandomKey:
        return RandomKey(self.path + parts)

    def seed_sequence(self) -> np.random.SeedSequence:
        # Each part adds its kind and length, so that no two paths give the same words.
        words: list[int] = []
        for part in self.path:
            if isinstance(part, str):
                encoded = part.encode()
                words += [1, len(encoded), *_words(int.from_bytes(encoded, "little"))]
            elif (part := operator.index(part)) < 0:
                raise ValueError(f"seed={part}: must be 0 or greater")
            elif part < 2**32:
                words += [2, part]
            else:
                words += [3, (part.bit_length() + 31) // 32, *_words(part)]
        # A list of integers gives the same numbers, but takes several times as long.
        return np.random.SeedSequence(np.array(words, np.uint32))

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(self.seed_sequence())

    def torch_seed(self) -> int:
        """Returns a seed of 63 bits for ``torch.manual_seed``."""
        return int(self.seed_sequence().generate_state(1, np.uint64)[0] >> np.uint64(1))


def _words(number: int) -> list[int]:
    """Splits an integer into words of 32 bits, the lowest first, as SeedSequence does."""
    return [number >> at & 0xFFFFFFFF for at in range(0, max(1, number.bit_length()), 32)]
