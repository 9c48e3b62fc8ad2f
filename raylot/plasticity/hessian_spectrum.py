"""The spectrum of the loss's Hessian, by stochastic Lanczos quadrature."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import live_vector
from raylot.plasticity.curvature import hessian_product
from raylot.plasticity.dense_hessian import dense_hessian
from raylot.plasticity.metric import Row, whole_network_row
from raylot.plasticity.probe import Subject
from raylot.training.losses import loss_of


@dataclass(frozen=True)
class Quadrature:
    """A few points that stand for all eigenvalues of a symmetric matrix.

    The mean of p(eigenvalue) over all eigenvalues is about the sum of weights x p(nodes). For each
    start vector it is exactly v'p(H)v for polynomials p of degree up to 2 x iterations - 1.

    Attributes:
        nodes: Ritz values of all start vectors, float64; never outside of the spectrum.
        weights: of the nodes, at least 0; they sum to 1.
    """

    nodes: Tensor
    weights: Tensor

    def share_above(self, threshold: float, power: int = 0) -> float:
        """Returns the share of the eigenvalues' |value|^power that is above a threshold, in [0, 1].

        Args:
            threshold: an eigenvalue counts if its magnitude is above this share of the largest.
            power: 0 counts eigenvalues, 1 adds their magnitudes.

        Returns:
            0 if all eigenvalues are 0.
        """
        magnitudes = self.nodes.abs()
        if not bool(magnitudes.any()):
            return 0.0
        values = self.weights * magnitudes**power
        above = magnitudes > threshold * magnitudes.max()
        return float(values[above].sum() / values.sum())


def lanczos(
    multiply: Callable[[Tensor], Tensor], start: Tensor, iterations: int, rounding: float
) -> Tensor:
    """Returns the tridiagonal matrix Q'HQ of a Krylov basis Q that begins with the start vector.

    Each new vector is made orthogonal to all before, twice: without that, rounding finds the
    largest eigenvalues again and again. The iteration ends early where the basis spans an invariant
    subspace, up to rounding.

    Args:
        multiply: v -> Hv, for a symmetric H and float64 vectors.
        start: not 0, float64.
        iterations: products, at least 1.
        rounding: relative error of a product.

    Returns:
        ``k x k`` with k at most iterations, float64.
    """
    basis = start.new_empty(iterations, len(start))
    diagonal: list[float] = []
    beside: list[float] = []
    vector = start / start.norm()
    for k in range(iterations):
        basis[k] = vector
        image = multiply(vector)
        diagonal.append(float(vector @ image))
        known = basis[: k + 1]
        for _ in range(2):
            image = image - known.T @ (known @ image)
        length = float(image.norm())
        largest = max(map(abs, [*diagonal, *beside]))
        if k + 1 == iterations or length <= rounding * largest:
            break
        beside.append(length)
        vector = image / length
    tridiagonal = torch.diag(start.new_tensor(diagonal))
    off = start.new_tensor(beside)
    return tridiagonal + torch.diag(off, 1) + torch.diag(off, -1)


def hessian_quadrature(
    multiply: Callable[[Tensor], Tensor], live: Tensor, iterations: int, starts: int, key: RandomKey
) -> Quadrature:
    """Returns nodes and weights of stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017).

    Ghorbani, Krishnan & Xiao (2019) use it for the Hessians of networks. Start vectors have random
    signs in live parameters, drawn on the CPU. A share of f of n eigenvalues has a standard error
    of at most sqrt(2 f / (n starts)), beside the bias of few iterations.

    Args:
        multiply: v -> Hv in live parameters; 0 in others.
        live: 1 for live parameters, at least one, and 0 for others; of the type of v.
        iterations: Lanczos iterations, at least 1.
        starts: start vectors, at least 1.
        key: decides the start vectors.

    Raises:
        ArithmeticError: the Hessian is not finite.
    """
    generator = torch.Generator().manual_seed(key.torch_seed())
    rounding = torch.finfo(live.dtype).eps
    nodes, weights = [], []
    for _ in range(starts):
        signs = torch.randint(0, 2, live.shape, generator=generator).to(live.device) * 2 - 1
        matrix = lanczos(
            lambda v: multiply(v.to(live)).double(), live.double() * signs,
            min(iterations, int(live.sum(dtype=torch.float64))), rounding,
        )  # fmt: skip
        if not bool(matrix.isfinite().all()):
            raise ArithmeticError("the curvature of the loss is not finite")
        values, vectors = torch.linalg.eigh(matrix)
        nodes.append(values)
        weights.append(vectors[0].square() / starts)
    return Quadrature(torch.cat(nodes), torch.cat(weights))


#: Names of the metrics -> their value. Range: fractions lie in [0, 1]; eigenvalues are in nats per
#: squared parameter. The largest and smallest Ritz values never lie outside of the spectrum.
HESSIAN_METRICS: dict[str, Callable[[Quadrature, float], float]] = {
    "hessian_rank_fraction": lambda q, threshold: q.share_above(threshold),
    "hessian_mass_fraction": lambda q, threshold: q.share_above(threshold, power=1),
    "hessian_largest": lambda q, threshold: float(q.nodes.max()),
    "hessian_smallest": lambda q, threshold: float(q.nodes.min()),
}


def hessian_rows(subject: Subject) -> Iterable[Row]:
    """Returns metrics of the spectrum of the Hessian of the mean loss on the probe.

    The Hessian is that in live weights and parameters without a mask. Lewandowski et al. (2023,
    arXiv 2312.00246) see its rank fall before plasticity is lost.

    Raises:
        RuntimeError: a function of the network has no second derivative.
        ArithmeticError: the Hessian is not finite.
    """
    probe, options = subject.probe, subject.options
    live = live_vector(probe.trainable, probe.masks)
    loss = loss_of(subject.task, probe.network(probe.inputs), probe.labels)
    product = None
    if subject.task.shown is None:
        product = dense_hessian(probe.network, probe.inputs, probe.labels)
    multiply = hessian_product(loss, probe.trainable, live, product)
    if multiply is None or not bool(live.any()):
        quadrature = Quadrature(torch.zeros(1), torch.ones(1))
    else:
        quadrature = hessian_quadrature(
            multiply, live, options.hessian_iterations, options.hessian_starts,
            subject.key.child("hessian"),
        )  # fmt: skip
    return [
        whole_network_row(name, metric(quadrature, options.hessian_threshold))
        for name, metric in HESSIAN_METRICS.items()
    ]
