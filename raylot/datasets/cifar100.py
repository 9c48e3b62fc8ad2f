"""CIFAR-100 (Krizhevsky 2009): colour images of 100 classes of things."""

from __future__ import annotations

from raylot.datasets._base import Facts
from raylot.datasets._torchvision import TorchvisionFiles

DATASET = TorchvisionFiles(
    title="CIFAR-100",
    file="cifar-100-python/train",
    kind="CIFAR100",
    known=Facts(shape=(3, 32, 32), train_sizes=(500,) * 100, test_sizes=(100,) * 100),
)
