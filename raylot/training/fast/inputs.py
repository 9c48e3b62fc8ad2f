"""A task's inputs as lists of nonzero pixels, made once per tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from raylot.tasks import Task
from raylot.training.fast.compilation import Kernel

#: Up to this share of nonzero inputs, walking them is faster than a dense matrix product.
SPARSE_SHARE = 0.35

#: Pixel indices have 16 bits.
MOST_PIXELS = 2**16


@dataclass(frozen=True)
class NonzeroInputs:
    """Compressed rows, one per example.

    Attributes:
        starts: ``examples + 1``; example e has the entries [starts[e], starts[e + 1]).
        pixels: per entry, which pixel.
        codes: per entry, its value as stored.
    """

    starts: np.ndarray
    pixels: np.ndarray
    codes: np.ndarray


def nonzero_inputs(inputs: Tensor) -> NonzeroInputs | None:
    """Lists the nonzero inputs of a uint8 tensor ``examples x ...``; None if they are too many.

    Looks through an unchanged tensor once.
    """
    if inputs.is_inference():  # PyTorch does not count its changes
        return _listed(inputs)
    # PyTorch counts changes of a tensor's numbers, but not that `data` has given it others.
    state = (inputs._version, inputs.data_ptr(), inputs.shape)
    known: tuple[object, NonzeroInputs | None] | None = _KNOWN.get(inputs)
    if known is None or known[0] != state:
        known = (state, _listed(inputs))
        _KNOWN[inputs] = known
    return known[1]


#: Tensor -> its state when it was examined, and the result.
_KNOWN = WeakTensorKeyDictionary()


def are_sparse(task: Task) -> bool:
    """Whether most of a task's inputs are zero, and scaling leaves them zero."""
    return (
        task.train_inputs.dtype == task.test_inputs.dtype == torch.uint8
        and task.offset == 0
        and not isinstance(task.divisor, tuple)
        and task.train_inputs[0].numel() <= MOST_PIXELS
        and nonzero_inputs(task.train_inputs) is not None
        and nonzero_inputs(task.test_inputs) is not None
    )


def scaled_codes(task: Task) -> np.ndarray:
    """Returns the 256 values of a uint8 input as the network sees them: float32."""
    return task.scale(torch.arange(256, dtype=torch.uint8)).numpy()


def _listed(inputs: Tensor) -> NonzeroInputs | None:
    flat = inputs.flatten(1).numpy()
    starts = np.zeros(len(flat) + 1, dtype=np.int64)
    np.cumsum(np.count_nonzero(flat, axis=1), out=starts[1:])
    if starts[-1] > SPARSE_SHARE * flat.size:
        return None
    pixels = np.empty(starts[-1], dtype=np.uint16)
    codes = np.empty(starts[-1], dtype=np.uint8)
    _list(flat, starts, pixels, codes)
    return NonzeroInputs(starts, pixels, codes)


def _fill(flat: Any, starts: Any, pixels: Any, codes: Any) -> None:
    for example in range(flat.shape[0]):
        at, end = starts[example], starts[example + 1]
        row = flat[example]
        for p in range(row.shape[0]):
            if at == end:
                break
            pixels[at] = p
            codes[at] = row[p]
            at += row[p] != 0


_list = Kernel(_fill, "void", ["uint8[:,::1]", "int64[::1]", "uint16[::1]", "uint8[::1]"])
