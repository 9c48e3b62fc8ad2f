"""SVHN (Netzer et al. 2011): house numbers in Google Street View, cut into digits."""

from __future__ import annotations

from raylot.datasets._base import Facts
from raylot.datasets._torchvision import TorchvisionFiles

DATASET = TorchvisionFiles(
    title="SVHN",
    file="train_32x32.mat",
    kind="SVHN",
    by_split=True,
    known=Facts(
        shape=(3, 32, 32),
        train_sizes=(4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659),
        test_sizes=(1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595),
    ),
)
