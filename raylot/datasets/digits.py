"""scikit-learn's handwritten digits."""

from __future__ import annotations

from typing import Any

from raylot.datasets._base import DataSet, Facts, Source, Splits


class Digits(DataSet):
    """1,437 training and 360 test images, split at random but always alike, as uint8 0-16."""

    def facts(self, source: Source) -> Facts:
        return Facts(
            shape=(1, 8, 8),
            train_sizes=(142, 146, 142, 146, 145, 145, 145, 143, 139, 144),
            test_sizes=(36, 36, 35, 37, 36, 37, 36, 36, 35, 36),
            largest=16,
        )

    def load(self, source: Source) -> Splits:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        loaded: Any = load_digits()
        images = loaded.images.astype("uint8")[:, None]
        labels = loaded.target.astype("int64")
        train, test = train_test_split(
            range(len(labels)), test_size=360, random_state=0, stratify=labels
        )
        return images[train], labels[train], images[test], labels[test]


DATASET = Digits()
