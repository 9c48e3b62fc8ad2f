"""Normal noise that a training's key alone decides."""

from __future__ import annotations

import torch
from torch import Tensor

from raylot.training import Training


def normal_noise(training: Training, purpose: str) -> Tensor:
    """Returns independent draws from N(0, 1), one for each entry of ``flat.vector``.

    They are drawn on the CPU, so that they are the same on any device.
    """
    seed = training.key.child(purpose, training.step).torch_seed()
    generator = torch.Generator().manual_seed(seed)
    vector = training.flat.vector
    return torch.randn(vector.shape, generator=generator).to(vector.device)
