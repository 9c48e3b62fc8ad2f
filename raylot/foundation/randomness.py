"""Reproducible random numbers: one independent generator for every (seed, purpose, index)."""

from __future__ import annotations

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
        # SeedSequence splits large integers into 32-bit words. Each part adds its kind and length,
        # so that no two paths give the same words.
        entropy: list[int] = []
        for part in self.path:
            if isinstance(part, str):
                encoded = part.encode()
                entropy += [1, len(encoded), int.from_bytes(encoded, "little")]
            elif part < 0:
                raise ValueError(f"seed={part}: must be 0 or greater")
            elif part < 2**32:
                entropy += [2, part]
            else:
                entropy += [3, (part.bit_length() + 31) // 32, part]
        return np.random.SeedSequence(entropy)

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(self.seed_sequence())

    def torch_seed(self) -> int:
        """Returns a seed of 63 bits for ``torch.manual_seed``."""
        return int(self.seed_sequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
