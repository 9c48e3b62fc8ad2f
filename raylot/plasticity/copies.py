"""Copies of networks, so that whatever is done to measure one leaves the user's as it is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from raylot.options import OptionError
from raylot.text import one_line


def copied(network: nn.Module) -> nn.Module:
    """A deep copy, also of a network that keeps tensors of its last forward pass.

    Hooks on modules are copied, hooks on tensors are not.

    Raises:
        OptionError: the network holds something that cannot be copied.
    """
    try:
        with _WithoutGraphs():
            return copy.deepcopy(network)
    except Exception as error:
        raise OptionError(
            "network: must be one that copy.deepcopy can copy, as it is measured on a copy; "
            f"{type(error).__name__}: {one_line(error)}"
        ) from None


class _WithoutGraphs(TorchFunctionMode):
    """Copies tensors that were computed from parameters by value; PyTorch itself refuses to."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))
