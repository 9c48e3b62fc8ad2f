"""The state that an intervention keeps from task to task, as tensors that a file can hold."""

from __future__ import annotations

from collections.abc import Mapping

import safetensors.torch
import torch
from torch import Tensor

from raylot.foundation.errors import OptionError, shown
from raylot.training import Intervention

#: Beginnings of the names of tensors, and of numbers as tensors without dimensions.
_TENSOR, _NUMBER = "tensor/", "number/"


def state_tensors(name: str, method: Intervention) -> dict[str, Tensor]:
    """Returns a method's ``state_dict`` as copies on the CPU that a safetensors file can hold.

    Args:
        name: of the intervention, for messages.
        method: after a training.

    Raises:
        OptionError: the state holds anything but named tensors and numbers.
    """
    at = f"intervention {name}: state_dict"
    state: object = method.state_dict()
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise OptionError(f"{at} must return a dict from names to tensors, ints and floats")
    tensors: dict[str, Tensor] = {}
    for key, value in state.items():
        if not isinstance(value, Tensor | int | float):
            raise OptionError(
                f"{at} must return tensors, ints and floats; {shown(key)} is a "
                f"{type(value).__name__}"
            )
        try:
            if isinstance(value, Tensor):
                copied = {_TENSOR + key: value.detach().to("cpu", copy=True).contiguous()}
            else:
                dtype = torch.float64 if isinstance(value, float) else None
                copied = {_NUMBER + key: torch.tensor(value, dtype=dtype)}
            safetensors.torch.save(copied)
        except Exception as error:  # of many types: sparse, quantised, meta; ints beyond 64 bits
            raise OptionError(f"{at}: {shown(key)} cannot be saved ({error})") from None
        tensors |= copied
    return tensors


def load_state(
    name: str, method: Intervention, tensors: Mapping[str, Tensor], device: torch.device
) -> None:
    """Gives a new method the state that `state_tensors` has taken from another.

    It gets copies of the tensors on the device, and numbers as they were.

    Raises:
        OptionError: the method's own ``state_dict`` then has other names or shapes.
    """
    state = {
        _plain(key): (tensor.item() if key.startswith(_NUMBER) else tensor.to(device, copy=True))
        for key, tensor in tensors.items()
    }
    method.load_state_dict(state)
    before, after = _kinds(tensors), _kinds(state_tensors(name, method))
    for key in {**before, **after}:
        was, now = before.get(key, "missing"), after.get(key, "missing")
        if was != now:
            raise OptionError(
                f"intervention {name}: after load_state_dict, state_dict must return the names and "
                f"shapes that were loaded; {shown(key)} is {now}, not {was}"
            )


def _kinds(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    return {
        _plain(key): "a number" if key.startswith(_NUMBER) else f"of shape {tuple(tensor.shape)}"
        for key, tensor in tensors.items()
    }


def _plain(key: str) -> str:
    return key.partition("/")[2]
