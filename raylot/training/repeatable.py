"""Contexts in which a network computes the same numbers each time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from raylot.foundation.randomness import RandomKey


@contextlib.contextmanager
def own_random_state(device: torch.device, key: RandomKey) -> Iterator[None]:
    """Lets the key alone decide the network's own draws, and restores the random state after."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        # Without a GPU, torch.manual_seed spends most of its time on notes for a later one.
        seed = torch.manual_seed if devices else torch.default_generator.manual_seed
        seed(key.child("network").torch_seed())
        yield


@contextlib.contextmanager
def exact_convolutions() -> Iterator[None]:
    """Lets a GPU's convolutions compute in float32, and alike each time, inside.

    Otherwise cuDNN rounds float32 to TF32, of 11 significant bits, and may choose algorithms that
    sum in another order each time: a stream that is trained again would not find its rows.
    """
    is_enabled = torch.backends.cudnn.enabled
    with torch.backends.cudnn.flags(enabled=is_enabled, deterministic=True, allow_tf32=False):
        yield
