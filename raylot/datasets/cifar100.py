"""CIFAR-100 (Krizhevsky 2009): colour images of 100 classes of things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raylot.datasets._base import Facts
from raylot.datasets._torchvision import TorchvisionFiles


def _open(root: Path, train: bool, download: bool) -> Any:
    from torchvision.datasets import CIFAR100

    return CIFAR100(str(root), train=train, download=download)


DATASET = TorchvisionFiles(
    title="CIFAR-100",
    file="cifar-100-python/train",
    open=_open,
    known=Facts(shape=(3, 32, 32), train_sizes=(500,) * 100, test_sizes=(100,) * 100),
)
