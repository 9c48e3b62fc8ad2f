"""Metrics of the spectrum of a network's neural tangent kernel (NTK): pseudo-NTK and trace NTK."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from raylot.masks.pruning import live_vector
from raylot.networks.copies import copied
from raylot.plasticity.example_gradients import (
    Output,
    Rows,
    gradients_of_all,
    treats_examples_apart,
)
from raylot.plasticity.metric import Note, Row, attempt, whole_network_row
from raylot.plasticity.probe import Probe, Subject
from raylot.plasticity.spectrum import effective_rank
from raylot.training import Masks

#: Numbers that the gradients of a block of examples may take: 128 MiB in float64.
_BLOCK_NUMBERS = 2**24
#: Examples per block at most, which bounds the memory of their activations too.
_BLOCK_EXAMPLES = 64


def pseudo_ntk(
    network: nn.Module, inputs: Tensor, masks: Masks | None = None, shown: int | None = None
) -> Tensor:
    """Returns the pseudo-NTK, close to the empirical NTK (Mohamadi, Bae & Sutherland 2023).

    K[i, j] is the inner product of the gradients of f(x_i) and f(x_j), where f(x) is the sum of
    the logits over the square root of their number. So there is one gradient per input instead of
    one per input and class. It is computed in float64, on a copy of the network.

    Args:
        network: in evaluation mode, with at least one trainable parameter; left unchanged.
        inputs: ``examples x ...``, as the network sees them.
        masks: limit the gradients to surviving weights and parameters without a mask.
        shown: how many logits are of classes shown so far, the first ones; the others do not
            count. None: all do.

    Returns:
        ``examples x examples``, float64; not finite if the gradients are not.
    """
    return _kernel(network, inputs, masks or {}, partial(_sum_of_logits, shown))


def trace_ntk(
    network: nn.Module, inputs: Tensor, masks: Masks | None = None, shown: int | None = None
) -> Tensor:
    """Returns the trace NTK: the mean over the logits of each logit's own empirical NTK.

    The empirical NTK of n inputs and C logits is a matrix of n x n blocks, C x C each; K[i, j] is
    the trace of block (i, j) over C. Engel et al. (2024, arXiv 2305.14585) name it, and divide it
    by the gradients' norms. The pseudo-NTK adds the blocks' other entries, the products of
    different logits' gradients, which vanish for an infinitely wide network at initialisation. One
    gradient per input and logit makes it C times as costly.

    Args:
        network: see `pseudo_ntk`.
        inputs: see `pseudo_ntk`.
        masks: see `pseudo_ntk`.
        shown: see `pseudo_ntk`.

    Returns:
        See `pseudo_ntk`.
    """
    with torch.no_grad():
        logits = copied(network).double()(inputs[:1].double()).flatten()[:shown].numel()
    total = inputs.new_zeros(len(inputs), len(inputs), dtype=torch.float64)
    for c in range(logits):
        total += _kernel(network, inputs, masks or {}, partial(_logit, c))
    mean: Tensor = total / logits
    return mean


def _sum_of_logits(shown: int | None, logits: Tensor) -> Tensor:
    if shown is not None:
        logits = logits[:, :shown]
    return logits.sum() / math.sqrt(logits.numel() // len(logits))


def _logit(index: int, logits: Tensor) -> Tensor:
    return logits.flatten(1)[:, index].sum()


def _kernel(network: nn.Module, inputs: Tensor, masks: Masks, output: Output) -> Tensor:
    """Returns inner products of the gradients of an output, ``examples x examples``."""
    live_gradients = _live_gradients(network, masks, output)
    width = sum(p.numel() for p in network.parameters() if p.requires_grad)
    size = min(_BLOCK_EXAMPLES, max(1, _BLOCK_NUMBERS // width))
    blocks = torch.arange(len(inputs), device=inputs.device).split(size)
    inputs = inputs.double()
    kernel = inputs.new_zeros(len(inputs), len(inputs))
    for i, below in enumerate(blocks):
        rows = live_gradients(inputs[below])
        for above in blocks[: i + 1]:
            # Computes columns anew for each pair of blocks, so that memory stays bounded.
            columns = rows if above is below else live_gradients(inputs[above])
            products = sum(r.products(c) for r, c in zip(rows, columns, strict=True))
            kernel[below.unsqueeze(1), above] = products
            kernel[above.unsqueeze(1), below] = products.T
    return kernel


def _live_gradients(
    network: nn.Module, masks: Masks, output: Output
) -> Callable[[Tensor], list[Any]]:
    """Returns a function from inputs to the gradients of an output, in parts; 0 if pruned.

    It takes one pass if the network is known to allow that, else one pass per example.
    """
    network = copied(network).double()
    if treats_examples_apart(network):
        return partial(gradients_of_all, network, masks, output)
    trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
    live = live_vector(trainable, masks)

    def gradients(examples: Tensor) -> list[Rows]:
        rows = examples.new_empty(len(examples), len(live))
        for row, example in zip(rows, examples.split(1), strict=True):
            parts = torch.autograd.grad(
                output(network(example)), list(trainable.values()),
                allow_unused=True, materialize_grads=True,
            )  # fmt: skip
            torch.cat([part.flatten() for part in parts], out=row)
        return [Rows(rows.mul_(live))]

    return gradients


def kernel_spectrum(kernel: Tensor) -> Tensor:
    """Returns the eigenvalues of a finite kernel, largest first; rounding below 0 becomes 0."""
    ascending: Tensor = torch.linalg.eigvalsh(kernel)
    return ascending.flip(0).clamp_min(0)


def condition_number(eigenvalues: Tensor) -> float:
    """Returns the largest over the smallest eigenvalue, at least 1; infinite if singular.

    The matrix counts as singular if its smallest eigenvalue is at most n times the largest times
    the rounding error of float64 (2.2e-16), for n eigenvalues: below that, rounding decides.

    Args:
        eigenvalues: eigenvalues of a positive semidefinite matrix, largest first, float64.
    """
    largest, smallest = float(eigenvalues[0]), float(eigenvalues[-1])
    if smallest <= len(eigenvalues) * torch.finfo(torch.float64).eps * largest:
        return math.inf
    return largest / smallest


#: Metrics of the eigenvalues of the pseudo-NTK, largest first. They keep the names that rows of
#: earlier studies have.
KERNEL_METRICS: Mapping[str, Callable[[Tensor], float]] = {
    "ntk_effective_rank": effective_rank,
    "ntk_condition_number": condition_number,
}

#: The same of the trace NTK.
TRACE_KERNEL_METRICS: Mapping[str, Callable[[Tensor], float]] = {
    f"trace_{name}": metric for name, metric in KERNEL_METRICS.items()
}


def kernel_rows(
    metrics: Mapping[str, Callable[[Tensor], float]],
    kernel_of: Callable[[nn.Module, Tensor, Masks, int | None], Tensor],
    probe: Probe,
    shown: int | None,
    examples: int,
    note: Note,
) -> Iterator[Row]:
    """Yields a row per metric of a kernel on the first examples of the probe.

    Args:
        metrics: `KERNEL_METRICS` or `TRACE_KERNEL_METRICS`.
        kernel_of: `pseudo_ntk` or `trace_ntk`.
        probe: the network and inputs.
        shown: the task's, see `pseudo_ntk`.
        examples: how many; of 0 there are no rows.
        note: called with the reason where a metric is NaN.
    """
    inputs = probe.inputs[:examples]
    if not len(inputs):
        return
    both = " and ".join(metrics)

    def compute() -> Tensor | None:
        kernel = kernel_of(probe.network, inputs, probe.masks, shown)
        if bool(kernel.isfinite().all()):
            return kernel_spectrum(kernel)
        note(f"{both}: NaN, as the NTK is not finite")
        return None

    spectrum = attempt(both, note, compute)
    for name, of_spectrum in metrics.items():
        yield whole_network_row(name, None if spectrum is None else of_spectrum(spectrum))


def trace_kernel_rows(subject: Subject) -> Iterator[Row]:
    """Yields the rows of the trace NTK, see `trace_ntk`."""
    examples = subject.options.trace_ntk_examples
    shown = subject.task.shown
    return kernel_rows(
        TRACE_KERNEL_METRICS, trace_ntk, subject.probe, shown, examples, subject.note
    )
