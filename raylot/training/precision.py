"""Mixed precision: steps that compute in 16 bits, on weights in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.training.flat import FlatParameters

_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def check_precision(options: OptimizerOptions, device: torch.device) -> None:
    """Makes sure that a device computes in a precision.

    Raises:
        OptionError: it does not.
    """
    if options.precision == "float16" and device.type == "cpu":
        raise OptionError("precision=float16: must be float32 or bfloat16 on the CPU")


def lower_precision(
    options: OptimizerOptions, device: torch.device
) -> AbstractContextManager[object]:
    """Returns a context, to enter as often as one likes, in which networks compute in 16 bits.

    As `torch.autocast` decides, some operations stay in float32. With float32 it changes nothing.
    """
    if options.precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, _TYPES[options.precision])


def differentiator(
    options: OptimizerOptions, flat: FlatParameters, stepper: torch.optim.Optimizer
) -> Callable[[Tensor], bool]:
    """Returns what sets ``flat.gradient`` to a loss's gradient, and says whether to take the step.

    Args:
        options: the precision.
        flat: the parameters.
        stepper: the optimizer of ``flat.vector``.
    """
    if options.precision == "float16":
        return LossScale(flat, stepper).differentiate

    def differentiate(loss: Tensor) -> bool:
        flat.differentiate(loss)
        return True

    return differentiate


class LossScale:
    """Scales a loss, so that its gradients in float16 do not become 0 (Micikevicius et al. 2018).

    The scale begins anew with each training. It halves after a step whose gradient overflows, and
    doubles after 2000 others in a row.
    """

    def __init__(self, flat: FlatParameters, stepper: torch.optim.Optimizer) -> None:
        """Prepares scaling; see `differentiator`."""
        self._flat, self._stepper = flat, stepper
        self._scaler = torch.amp.GradScaler(flat.vector.device.type)

    def differentiate(self, loss: Tensor) -> bool:
        """Sets ``flat.gradient`` to the loss's own gradient; says whether it is finite."""
        self._flat.differentiate(self._scaler.scale(loss))
        self._scaler.unscale_(self._stepper)
        self._scaler.update()
        return bool(self._flat.gradient.isfinite().all())
