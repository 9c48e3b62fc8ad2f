"""The slowly changing regression problem of Dohare et al. (2024), without its changes."""

from __future__ import annotations

from raylot.datasets._base import DataSet, Facts, Source, Splits

#: Bits of an input; training examples, as many as the authors show before bits flip; test examples.
_BITS, _TRAIN, _TEST = 20, 10_000, 2_000


class SlowlyChangingRegression(DataSet):
    """Random bits, and the output of a fixed random network that `_threshold_network` describes.

    It is generated, always alike. The shift ``bit_flipping`` makes the authors' problem of it, with
    examples and a network that the run's seed decides.
    """

    def facts(self, source: Source) -> Facts:
        return Facts(
            shape=(_BITS,), train_sizes=(_TRAIN,), test_sizes=(_TEST,), largest=1, targets=1
        )

    def load(self, source: Source) -> Splits:
        import numpy as np

        from raylot.datasets._threshold_network import threshold_targets

        generator = np.random.default_rng(0)
        bits = generator.integers(2, size=(_TRAIN + _TEST, _BITS), dtype=np.uint8)
        targets = threshold_targets(bits, generator)
        return bits[:_TRAIN], targets[:_TRAIN], bits[_TRAIN:], targets[_TRAIN:]


DATASET = SlowlyChangingRegression()
