"""Copies of networks: a user's own is never trained, measured or changed."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from raylot.foundation import registry
from raylot.foundation.errors import OptionError


def copied(network: nn.Module) -> nn.Module:
    """Returns a deep copy, also of a network that keeps tensors of its last forward pass.

    The copy has the hooks of modules, but not those of tensors.

    Raises:
        OptionError: the network holds an object that cannot be copied.
    """
    return copied_with_constants(network)[0]


def copied_with_constants(network: nn.Module) -> tuple[nn.Module, list[Tensor]]:
    """Returns a copy, and those of its tensors that were computed from parameters.

    They are constants in the copy, so a copy that computes with them trains differently from the
    network itself.
    """
    try:
        with _WithoutGraphs() as mode:
            return copy.deepcopy(network, _copies_of_nothing(network)), mode.constants
    except Exception as error:
        raise OptionError(
            "network: must be one that copy.deepcopy can copy, as only copies of it are trained "
            f"and measured; {registry.describe_error(error)}"
        ) from None


def _copies_of_nothing(network: nn.Module) -> dict[int, Any]:
    """Returns copies of what modules keep their hooks in, as long as they have none.

    Each module has a dozen of these; `copy.deepcopy` would take most of its time for them.
    """
    held = (value for module in network.modules() for value in vars(module).values())
    return {
        id(value): OrderedDict()
        for value in held
        if type(value) is OrderedDict and not value and not vars(value)
    }


def with_state(network: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Copies a network, and gives the copy the parameters and buffers of another state.

    Whatever a state dict does not hold (plain attributes, buffers that are not persistent, the
    modes of modules) is as in the given network.
    """
    changed = copied(network)
    changed.load_state_dict(state)
    return changed


class _WithoutGraphs(TorchFunctionMode):
    """Copies the values of tensors that were computed from parameters; PyTorch refuses to."""

    def __init__(self) -> None:
        super().__init__()
        self.constants: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            self.constants.append(args[0].detach().clone())
            return self.constants[-1]
        return func(*args, **(kwargs or {}))
