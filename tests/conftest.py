"""What all tests share: the real MNIST, one thread, and hypothesis without time limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# A slow machine is no error, and a red run must be red again when it is repeated.
settings.register_profile("raylot", deadline=None, derandomize=True)
settings.load_profile("raylot")

# As in trials; with more, threads wait for each other.
torch.set_num_threads(1)

_MNIST = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder that holds MNIST in torchvision's layout."""
    root = Path(os.environ.get("RAYLOT_MNIST", _MNIST))
    if not (root / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        pytest.fail(
            f"there is no MNIST in {root}: set RAYLOT_MNIST to the folder that holds "
            "MNIST/raw/train-images-idx3-ubyte and its three siblings"
        )
    return root
