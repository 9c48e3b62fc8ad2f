"""Parts that the permuting shifts use."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def permutation_index(values: Tensor | np.ndarray, size: int, device: torch.device) -> Tensor:
    """Returns a permutation as int64 indices on a device.

    Raises:
        ValueError: the values are not 0 ... size - 1, each once.
    """
    index = torch.as_tensor(values, dtype=torch.int64).to(device)
    if not torch.equal(index.sort().values, torch.arange(size, device=device)):
        raise ValueError(f"permutation: must hold each of 0 to {size - 1} once")
    return index
