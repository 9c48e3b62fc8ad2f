"""The spectrum by Lanczos against all eigenvalues of the whole Hessian, from numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import hessian

from raylot.foundation.randomness import RandomKey
from raylot.plasticity.hessian_spectrum import Quadrature, hessian_quadrature, lanczos
from tests.unit.plasticity.examples import EXAMPLES, KEY, Example, example

_KEY = RandomKey((0, "spectrum"))


def _whole(one: Example) -> np.ndarray:
    """The Hessian's block of live parameters, float64."""

    def loss(vector: Tensor) -> Tensor:
        return one.loss(vector, one.inputs.double(), one.labels)

    one.network.double()
    matrix: Tensor = hessian(loss)(one.vector.double())
    one.network.float()
    return matrix[one.live][:, one.live].numpy()


def _signs(live: Tensor, starts: int, key: RandomKey) -> list[np.ndarray]:
    """The start vectors, in live parameters, with a length of 1."""
    generator = torch.Generator().manual_seed(key.torch_seed())
    drawn = [torch.randint(0, 2, live.shape, generator=generator) * 2 - 1 for _ in range(starts)]
    return [signs[live].numpy() / math.sqrt(int(live.sum())) for signs in drawn]


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("threshold", [0.01, 0.2])
def test_agrees_with_all_eigenvalues(name: str, threshold: float) -> None:
    """With as many iterations as parameters, each eigenvalue weighs what the starts say."""
    one = example(name)
    values, vectors = np.linalg.eigh(_whole(one))
    assert values.min() < 0 < values.max()
    weights = np.mean([(s @ vectors) ** 2 for s in _signs(one.live, 2, KEY.child("hessian"))], 0)
    large = np.abs(values) > threshold * np.abs(values).max()
    mass = weights * np.abs(values)
    found = one.measured(
        "hessian", hessian_iterations=200, hessian_starts=2, hessian_threshold=threshold
    )
    assert found == {
        ("all", "hessian_rank_fraction"): pytest.approx(weights[large].sum(), rel=1e-4),
        ("all", "hessian_mass_fraction"): pytest.approx(mass[large].sum() / mass.sum(), rel=1e-4),
        ("all", "hessian_largest"): pytest.approx(values.max(), rel=1e-4),
        ("all", "hessian_smallest"): pytest.approx(values.min(), rel=1e-4),
    }


def test_the_mean_over_starts_is_the_share_of_all_eigenvalues() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(30, 12, generator=generator, dtype=torch.float64)
    matrix = root @ root.T  # 12 eigenvalues are not 0
    found = hessian_quadrature(lambda v: matrix @ v, torch.ones(30).double(), 30, 100, _KEY)
    error = math.sqrt(2 * 12 / 30 / (30 * 100))
    assert found.share_above(1e-6) == pytest.approx(12 / 30, abs=2 * error)
    assert error < 0.02


def test_few_iterations_find_the_ends_of_a_masked_spectrum() -> None:
    one = example("masked")
    values = np.linalg.eigvalsh(_whole(one))
    found = one.measured("hessian", hessian_iterations=12, hessian_starts=4)
    assert found["all", "hessian_largest"] == pytest.approx(values.max(), rel=1e-2)
    assert values.min() * 1.001 <= found["all", "hessian_smallest"] < 0


@pytest.mark.parametrize("power", range(8))
def test_quadrature_is_exact_for_polynomials(power: int) -> None:
    """4 iterations: v'H^p v for p up to 7, with v from numpy's side."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    matrix = root + root.T
    start = torch.randn(12, generator=generator, dtype=torch.float64)
    tridiagonal = lanczos(lambda v: matrix @ v, start, 4, 1e-16)
    assert tridiagonal.shape == (4, 4)
    nodes, vectors = torch.linalg.eigh(tridiagonal)
    found = float((vectors[0] ** 2 * nodes**power).sum())
    unit = start.numpy() / np.linalg.norm(start.numpy())
    expected = unit @ np.linalg.matrix_power(matrix.numpy(), power) @ unit
    assert found == pytest.approx(expected, rel=1e-9)


def test_no_eigenvalue_is_found_twice() -> None:
    """Without reorthogonalisation, 60 iterations would find the largest several times."""
    values = torch.cat([torch.linspace(0, 1, 98), torch.tensor([50.0, 100.0])]).double()
    tridiagonal = lanczos(lambda v: values * v, torch.ones(100).double(), 60, 1e-16)
    found = torch.linalg.eigvalsh(tridiagonal)
    assert found[-2:].tolist() == pytest.approx([50, 100])
    assert found[-3] < 1.001


def test_a_diagonal_matrix_is_known_exactly() -> None:
    """Random signs weigh all entries alike; equal eigenvalues share a node."""
    diagonal = torch.tensor([4.0, 4.0, -1.0, 0.03, 0.0])
    found = hessian_quadrature(lambda v: diagonal * v, torch.ones(5), 10, 2, _KEY)
    assert found.nodes.tolist() == pytest.approx(2 * [-1.0, 0.0, 0.03, 4.0], abs=1e-6)
    assert found.weights.tolist() == pytest.approx(2 * [0.1, 0.1, 0.1, 0.2])
    assert found.share_above(0.01) == pytest.approx(3 / 5)
    assert found.share_above(0.005) == pytest.approx(4 / 5)
    assert found.share_above(0.3, power=1) == pytest.approx(8 / 9.03)


def test_pruned_parameters_are_no_part_of_it() -> None:
    diagonal, live = torch.tensor([3.0, 1e9, 1.0]), torch.tensor([1.0, 0.0, 1.0])
    found = hessian_quadrature(lambda v: diagonal * v * live, live, 10, 1, _KEY)
    assert found.nodes.tolist() == pytest.approx([1, 3])
    assert found.weights.tolist() == pytest.approx([0.5, 0.5])


def test_a_hessian_of_zeros_has_no_rank() -> None:
    zero = hessian_quadrature(lambda v: 0 * v, torch.ones(3), 5, 2, _KEY)
    assert zero.nodes.tolist() == [0, 0]
    assert zero.share_above(0.01) == zero.share_above(0.01, power=1) == 0
    one = example("dense")
    one.masks = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in one.parameters.items()}
    assert set(one.measured("hessian").values()) == {0.0}


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ArithmeticError, match="not finite"):
        hessian_quadrature(lambda v: v * math.nan, torch.ones(3), 5, 1, _KEY)


def test_the_share_of_nodes_by_hand() -> None:
    one = Quadrature(torch.tensor([-2.0, 0.1, 1.0]).double(), torch.tensor([0.25, 0.5, 0.25]))
    assert one.share_above(0.1) == pytest.approx(0.5)
    assert one.share_above(0.1, power=1) == pytest.approx(0.75 / 0.8)
