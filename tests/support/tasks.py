"""Tiny tasks and networks that tests train in milliseconds."""

from __future__ import annotations

import torch
from torch import nn

from raylot.tasks import Task


def random_task(examples: int = 60, pixels: int = 6, classes: int = 3, seed: int = 0) -> Task:
    """Random uint8 inputs with labels that a linear rule decides, 2/3 of them for training."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, 17, (examples, pixels), generator=generator).to(torch.uint8)
    rule = torch.randn(pixels, classes, generator=generator)
    labels = (inputs.float() @ rule).argmax(1)
    split = examples * 2 // 3
    return Task(inputs[:split], labels[:split], inputs[split:], labels[split:], classes)


def small_network(pixels: int = 6, hidden: int = 8, classes: int = 3, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, classes))
