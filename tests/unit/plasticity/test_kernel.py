"""The pseudo-NTK against kernels and spectra worked out by hand, and Jacobians row by row."""

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raylot.plasticity import kernel
from raylot.plasticity.kernel import condition_number, kernel_spectrum, pseudo_ntk, trace_ntk
from tests.support.tasks import small_network
from tests.unit.plasticity.examples import EXAMPLES, Example, example

_INPUTS = torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, -1.0]])


def _by_rows(network: nn.Module, inputs: Tensor) -> Tensor:
    """One ordinary backward pass per example."""
    gradients = []
    for row in inputs.double():
        logits: Tensor = network(row.unsqueeze(0))
        parts = torch.autograd.grad(
            logits.sum() / logits.numel() ** 0.5, list(network.parameters())
        )
        gradients.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(gradients) @ torch.stack(gradients).T


def _deep_network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 2), nn.ReLU(),
        nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 3),
    )  # fmt: skip
    network(torch.randn(20, 1, 4, 4))  # so that batch norm has statistics
    return network.eval()


def test_of_a_linear_model_it_is_that_of_the_inputs() -> None:
    """Each logit's gradient is (x, 1) in its own weights and bias, times 1 / sqrt(classes)."""
    inner = torch.tensor([[5.0, 2.0, 1.0], [2.0, 1.0, -1.0], [1.0, -1.0, 10.0]])
    assert torch.allclose(pseudo_ntk(nn.Linear(2, 5), _INPUTS), inner.double() + 1)
    assert torch.allclose(pseudo_ntk(nn.Linear(2, 5, bias=False), _INPUTS), inner.double())


def test_of_a_hidden_layer_by_hand() -> None:
    """f(x) = 2 relu(w x) with w = 3: gradients 2x (in w) and 3x (in the output) for x > 0."""
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        network.get_parameter("0.weight").fill_(3)
        network.get_parameter("2.weight").fill_(2)
    found = pseudo_ntk(network, torch.tensor([[1.0], [2.0], [-1.0]]))
    assert torch.allclose(found, torch.tensor([[13.0, 26, 0], [26, 52, 0], [0, 0, 0]]).double())


def test_convolutions_and_norms_agree_with_one_backward_pass_per_example() -> None:
    network = _deep_network()
    inputs = torch.randn(6, 1, 4, 4)
    found = pseudo_ntk(network, inputs)
    assert torch.allclose(found, _by_rows(network.double(), inputs), rtol=1e-10)


@pytest.mark.parametrize("numbers", [1, 2 * 83, 4 * 83])
def test_blocks_make_up_the_same_kernel(monkeypatch: pytest.MonkeyPatch, numbers: int) -> None:
    network = small_network()  # 83 parameters
    inputs = torch.randn(7, 6, generator=torch.Generator().manual_seed(0))
    whole = pseudo_ntk(network, inputs)
    monkeypatch.setattr(kernel, "_BLOCK_NUMBERS", numbers)
    assert torch.allclose(pseudo_ntk(network, inputs), whole, rtol=1e-12)


def test_only_live_weights_and_what_has_no_mask_count() -> None:
    # gradients (x1, 1), as the weights of x2 are pruned
    mask = torch.tensor([True, False]).repeat(5, 1)
    found = pseudo_ntk(nn.Linear(2, 5), _INPUTS, {"weight": mask})
    expected = torch.tensor([[2.0, 1.0, 4.0], [1.0, 1.0, 1.0], [4.0, 1.0, 10.0]])
    assert torch.allclose(found, expected.double())


def test_frozen_parameters_do_not_count() -> None:
    network = nn.Linear(2, 5)
    network.get_parameter("bias").requires_grad_(False)
    assert torch.allclose(pseudo_ntk(network, _INPUTS), (_INPUTS @ _INPUTS.T).double())


def test_spectrum_is_in_falling_order_and_never_negative() -> None:
    assert kernel_spectrum(torch.diag(torch.tensor([1.0, 9.0, -1e-12]))).tolist() == [9, 1, 0]


def test_condition_number_by_hand() -> None:
    assert condition_number(torch.tensor([9.0, 3.0, 2.0]).double()) == 4.5
    assert condition_number(torch.tensor([7.0]).double()) == 1
    assert condition_number(torch.tensor([1.0, 1e-14]).double()) == pytest.approx(1e14)


@pytest.mark.parametrize("values", [[1.0, 0.0], [0.0, 0.0], [1.0, 3e-16]])
def test_condition_number_of_what_is_singular_to_rounding_is_infinite(values: list[float]) -> None:
    assert condition_number(torch.tensor(values, dtype=torch.float64)) == math.inf


# ------------------------------------------------------------------ the trace NTK


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_trace_ntk_is_the_mean_of_each_logits_own(name: str) -> None:
    one = example(name)
    inputs = one.inputs[one.order()[:6]]
    jacobian = torch.func.jacrev(lambda vector: one.outputs(vector, inputs.double()))
    one.network.double()
    rows = jacobian(one.vector.double())[..., one.live]  # examples x logits x parameters
    one.network.float()
    expected = torch.einsum("icp,jcp->ij", rows, rows) / 3
    found = trace_ntk(one.network, inputs, one.masks)
    assert torch.allclose(found, expected, rtol=1e-6)
    assert not torch.allclose(pseudo_ntk(one.network, inputs, one.masks), expected, rtol=0.01)
    values = np.linalg.eigvalsh(expected.numpy())
    shares = values / values.sum()
    measured = one.measured("trace_ntk", trace_ntk_examples=6)
    assert measured == {
        ("all", "trace_ntk_effective_rank"): pytest.approx(
            np.exp(-(shares * np.log(shares)).sum()), rel=1e-5
        ),
        ("all", "trace_ntk_condition_number"): pytest.approx(values[-1] / values[0], rel=1e-4),
    }


def test_of_a_linear_model_both_kernels_are_the_same() -> None:
    """Logits share no weight, so the products of different logits' gradients are 0."""
    network = nn.Linear(2, 5)
    assert torch.allclose(trace_ntk(network, _INPUTS), pseudo_ntk(network, _INPUTS))


def test_logits_of_classes_not_shown_yet_do_not_count() -> None:
    """So both are those of a network with a smaller head."""
    one = example("dense")
    inputs = one.inputs[:6]
    smaller = copy.deepcopy(one.network)
    head = smaller.get_submodule("2")
    assert isinstance(head, nn.Linear)
    for parameter in (head.weight, head.bias):
        parameter.data = parameter.data[:2]
    for kernel_of in (pseudo_ntk, trace_ntk):
        found = kernel_of(one.network, inputs, shown=2)
        assert torch.allclose(found, kernel_of(smaller, inputs), rtol=1e-9)
        assert not torch.allclose(found, kernel_of(one.network, inputs), rtol=0.01)
    task = dataclasses.replace(
        one.task,
        train_labels=one.task.train_labels % 2,
        test_labels=one.task.test_labels % 2,
        shown=2,
    )
    growing = Example(one.network, {}, task)
    few, every = (
        e.measured("trace_ntk", ntk_examples=6, trace_ntk_examples=6) for e in (growing, one)
    )
    for name in ("ntk_effective_rank", "trace_ntk_effective_rank"):
        assert few["all", name] != every["all", name]
