"""CIFAR-10 (Krizhevsky 2009): colour images of 10 classes of things."""

from __future__ import annotations

from raylot.datasets._base import Facts
from raylot.datasets._torchvision import TorchvisionFiles

DATASET = TorchvisionFiles(
    title="CIFAR-10",
    file="cifar-10-batches-py/data_batch_1",
    kind="CIFAR10",
    known=Facts(shape=(3, 32, 32), train_sizes=(5000,) * 10, test_sizes=(1000,) * 10),
)
