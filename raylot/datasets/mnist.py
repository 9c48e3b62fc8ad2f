"""MNIST (LeCun, Cortes, Burges): handwritten digits."""

from __future__ import annotations

from raylot.datasets._base import Facts
from raylot.datasets._idx import IdxFiles, fetch_with

DATASET = IdxFiles(
    title="MNIST",
    folder="MNIST/raw",
    fetch=fetch_with("MNIST"),
    known=Facts(
        shape=(1, 28, 28),
        train_sizes=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        test_sizes=(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    ),
)
