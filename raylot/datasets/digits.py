"""The handwritten digits of scikit-learn, which come with raylot."""

from __future__ import annotations

from pathlib import Path

from raylot.datasets._base import DataSet, Facts, Source, Splits

#: scikit-learn's `load_digits`, split by its `train_test_split` (360 test images, stratified,
#: random_state 0). They are the test set of "Optical Recognition of Handwritten Digits" (Alpaydin &
#: Kaynak, UCI Machine Learning Repository, 1998, CC BY 4.0).
_FILE = Path(__file__).with_name("digits.npz")


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
        import numpy as np  # takes a while

        with np.load(_FILE) as arrays:
            train_labels, test_labels = arrays["train_labels"], arrays["test_labels"]
            return (
                arrays["train_images"],
                train_labels.astype("int64"),
                arrays["test_images"],
                test_labels.astype("int64"),
            )


DATASET = Digits()
