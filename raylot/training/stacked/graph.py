"""Capture of a training step as a CUDA graph: the only place here that knows of CUDA."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

#: The type of device on which steps are captured; elsewhere they are simply run.
CAPTURED_ON = "cuda"

#: Uncaptured runs first, so that libraries choose their kernels and allocate their workspaces.
WARM_UP_RUNS = 3


def captured(
    step: Callable[[], None],
    state: Sequence[Tensor],
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> Callable[[], None]:
    """What does the same as a step, with as little work for the host as the device allows.

    Args:
        step: reads and writes tensors on the device that exist already, always in the same way,
            waits for nothing and decides nothing by their values.
        state: all tensors that it changes.
        optimizer: steps within it.
        device: where.
    """
    return CapturedStep(step, state, optimizer) if device.type == CAPTURED_ON else step


class CapturedStep:
    """A step recorded once, as whole-network capture is described in PyTorch's notes on CUDA."""

    def __init__(
        self,
        step: Callable[[], None],
        state: Sequence[Tensor],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Records a step; see `captured`. Its state is afterwards as it was before."""
        before = [tensor.clone() for tensor in state]
        _tell(optimizer, captured=False)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP_RUNS):
                step()
        torch.cuda.current_stream().wait_stream(aside)
        _tell(optimizer, captured=True)
        self._graph = torch.cuda.CUDAGraph()
        # On the same stream, as libraries keep their workspaces by stream; and on one of its own,
        # as they go with whichever graph was captured there (pytorch issue 193402).
        with torch.cuda.graph(self._graph, stream=aside):
            step()
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)

    def __call__(self) -> None:
        self._graph.replay()


def _tell(optimizer: torch.optim.Optimizer, *, captured: bool) -> None:
    """Adam must know, and warns if it is told so while it is not; fused, it does the same."""
    for group in optimizer.param_groups:
        group["capturable"] = captured
