"""Optimizers of torch.optim over one flat vector of parameters."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from raylot.config import OptimizerOptions
from raylot.training.per_weight_adam import PerWeightAdam

#: Where PyTorch remembers the method that it makes of another to keep torch.compile out.
_REMEMBERED = "__dynamo_disable"


@contextlib.contextmanager
def _without_dynamo() -> Iterator[None]:
    """Spares each process the import of torch._dynamo, which takes a second or two, and 100 MB.

    PyTorch imports it for the first optimizer, to keep torch.compile out of ``add_param_group``.
    Inside, the method stays as it is, unless PyTorch has made another of it before.
    """
    plain = getattr(torch.optim.Optimizer.add_param_group, "__wrapped__", None)
    if plain is None or hasattr(plain, _REMEMBERED):
        yield
        return
    setattr(plain, _REMEMBERED, plain)
    try:
        yield
    finally:
        vars(plain).pop(_REMEMBERED, None)  # another thread may have been faster


@_without_dynamo()
def build_optimizer(
    vector: nn.Parameter,
    options: OptimizerOptions,
    state: dict[str, Tensor] | None,
    *,
    counts_per_weight: bool = False,
) -> torch.optim.Optimizer:
    """Builds the optimizer that options name.

    Args:
        vector: all parameters that it moves.
        options: which optimizer, and its parameters.
        state: as `optimizer_tensors` returned it, to go on from; None: from the start.
        counts_per_weight: whether adam and adamw count the steps of each weight by itself.
    """
    common: dict[str, Any] = {"lr": options.lr, "weight_decay": options.weight_decay}
    stepper: torch.optim.Optimizer
    match options.optimizer:
        case "adam" | "adamw" if counts_per_weight:
            stepper = PerWeightAdam([vector], decoupled=options.optimizer == "adamw", **common)
        case "adam":
            stepper = torch.optim.Adam([vector], fused=True, **common)
        case "adamw":
            stepper = torch.optim.AdamW([vector], fused=True, **common)
        case "rmsprop":  # PyTorch has no fused one
            stepper = torch.optim.RMSprop([vector], momentum=options.momentum, **common)
        case "sgd":
            stepper = torch.optim.SGD(
                [vector], momentum=options.momentum, nesterov=options.nesterov, fused=True, **common
            )
    if state:
        stepper.state[vector] = {
            name: tensor.to(vector.device, copy=True) for name, tensor in state.items()
        }
    return stepper


def optimizer_tensors(stepper: torch.optim.Optimizer, vector: nn.Parameter) -> dict[str, Tensor]:
    """Returns an optimizer's state: its moments, and its step count."""
    return {k: v for k, v in stepper.state[vector].items() if isinstance(v, Tensor)}


def bare_step(stepper: torch.optim.Optimizer) -> Callable[[], None]:
    """Returns an optimizer's `step` without profiling, hooks and lists of parameters.

    These take longer than the update of 100,000 parameters.
    """
    step = torch.no_grad()(functools.partial(inspect.unwrap(type(stepper).step), stepper))
    compute = _FUSED.get(type(stepper))
    if compute is None:
        return step
    (vector,) = stepper.param_groups[0]["params"]
    values = vector.detach()

    def take() -> None:
        group, *others = stepper.param_groups  # methods may change these
        state = stepper.state[vector]
        if not state or others or group["amsgrad"]:  # the first step makes the state
            step()
            return
        state["step"] += 1
        first, second = group["betas"]
        compute(
            [values], [vector.grad], [state["exp_avg"]], [state["exp_avg_sq"]], [], [state["step"]],
            lr=group["lr"], beta1=first, beta2=second, weight_decay=group["weight_decay"],
            eps=group["eps"], amsgrad=False, maximize=group["maximize"],
        )  # fmt: skip

    return take


#: What a step of the fused optimizers comes down to.
_FUSED: dict[type[torch.optim.Optimizer], Callable[..., None]] = {
    torch.optim.Adam: torch._fused_adam_, torch.optim.AdamW: torch._fused_adamw_,
}  # fmt: skip
