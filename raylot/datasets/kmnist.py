"""KMNIST (Clanuwat et al. 2018): cursive Japanese characters."""

from __future__ import annotations

from raylot.datasets._base import Facts
from raylot.datasets._idx import IdxFiles, fetch_with

DATASET = IdxFiles(
    title="KMNIST",
    folder="KMNIST/raw",
    fetch=fetch_with("KMNIST"),
    known=Facts(shape=(1, 28, 28), train_sizes=(6000,) * 10, test_sizes=(1000,) * 10),
)
