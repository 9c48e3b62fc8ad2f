"""CUDA graphs played on a CPU, as strictly as the real ones where it matters.

What is captured is the operations below autograd with the very tensors that they read and wrote.
Capturing changes nothing; a replay runs these operations again into the same memory, and no line
of Python. So a step works only if nothing of it hangs on Python's state: numbers counted in
Python are replayed as they were, a tensor made anew in its place is not seen, and intermediate
results hold garbage until computed. What waits for the device or copies from the host fails.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode


class Graph(TorchDispatchMode):
    """Stands for `torch.cuda.CUDAGraph`."""

    #: All that were captured, and whether one is being.
    made: list[Graph] = []  # noqa: RUF012
    capturing = False

    def __init__(self) -> None:
        super().__init__()
        self.replays = 0
        self._calls: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        Graph.made.append(self)

    @contextlib.contextmanager
    def captured(self, stream: _Stream) -> Iterator[None]:
        Graph.capturing = True
        with self:
            yield
        Graph.capturing = False
        for storage, before in self._before.values():
            storage.copy_(before)
        for _, _, _, fresh in self._calls:
            for tensor in fresh:
                tensor.detach().fill_(torch.nan if tensor.is_floating_point() else 77)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if any(word in str(func) for word in ("_local_scalar_dense", "lift_fresh", "nonzero")):
            raise RuntimeError(f"{func} cannot be captured")
        read = _tensors((args, kwargs))
        for position, argument in enumerate(func._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                given = args[position] if position < len(args) else kwargs.get(argument.name)
                for tensor in _tensors(given):
                    storage = tensor.untyped_storage()
                    self._before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        result = func(*args, **kwargs)
        memory = {tensor.untyped_storage().data_ptr() for tensor in read}
        fresh = [t for t in _tensors(result) if t.untyped_storage().data_ptr() not in memory]
        self._calls.append((func, args, kwargs, fresh))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        self.replays += 1
        for func, args, kwargs, fresh in self._calls:
            memory = {t.untyped_storage().data_ptr() for t in _tensors((args, kwargs))}
            again = _tensors(func(*args, **kwargs))
            computed = [t for t in again if t.untyped_storage().data_ptr() not in memory]
            for tensor, value in zip(fresh, computed, strict=True):
                tensor.detach().copy_(value)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in _pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


class _Stream:
    def wait_stream(self, other: _Stream) -> None:
        pass

    def is_capturing(self) -> bool:
        return Graph.capturing


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `torch.cuda` capture on the CPU, and optimizers check that they may be captured."""
    monkeypatch.setattr(Graph, "made", [])
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", Graph.captured)
    monkeypatch.setattr(torch.cuda, "Stream", _Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", _Stream)
    monkeypatch.setattr(torch.accelerator, "current_stream", _Stream)
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda check_available=False: torch.device("cuda")
    )
