"""Fashion-MNIST (Xiao et al. 2017): clothes."""

from __future__ import annotations

from raylot.datasets._base import Facts
from raylot.datasets._idx import IdxFiles, fetch_with

DATASET = IdxFiles(
    title="Fashion-MNIST",
    folder="FashionMNIST/raw",
    fetch=fetch_with("FashionMNIST"),
    known=Facts(shape=(1, 28, 28), train_sizes=(6000,) * 10, test_sizes=(1000,) * 10),
)
