"""`measure` against networks worked out by hand, and what it must leave alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raylot.config import PlasticityOptions
from raylot.foundation.randomness import RandomKey
from raylot.plasticity import measure
from raylot.tasks import Task
from tests.support.tasks import random_task, small_network

_KEY = RandomKey((0,))


def _values(
    network: nn.Module,
    task: Task,
    *,
    initial: dict[str, Tensor] | None = None,
    masks: dict[str, Tensor] | None = None,
    **options: Any,
) -> dict[tuple[str, str], float]:
    settings = PlasticityOptions(**{"probe_size": 40, **options})
    rows = measure(network, task, settings, _KEY, initial=initial, masks=masks)
    assert len({(row["layer"], row["metric"]) for row in rows}) == len(rows)
    return {(row["layer"], row["metric"]): row["value"] for row in rows}


def _task(inputs: Tensor, labels: Tensor) -> Task:
    return Task(inputs, labels, inputs, labels, 2)


def _two_hidden_units() -> tuple[nn.Module, Task]:
    """Two hidden units, the second dead, on inputs (1, 0) of class 0 and (0, 1) of class 1."""
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.tensor([[2.0, 1.0], [-1.0, -1.0]]))
        network.get_parameter("2.weight").copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    return network, _task(torch.eye(2, dtype=torch.uint8), torch.tensor([0, 1]))


# Hidden activations (2, 0) and (1, 0), logits (2, 0) and (1, 0): probabilities of class 0.
_P0 = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-1))]


def test_activations_by_hand() -> None:
    found = _values(*_two_hidden_units())
    expected = {
        "dead_fraction": 0.5,
        "dormant_fraction": 0.5,
        "unit_sign_entropy": 0,
        "effective_rank": 1,
        "stable_rank": 1,
        "srank": 1,
    }
    for metric, value in expected.items():
        assert found["0", metric] == pytest.approx(value), metric
        assert found["all", metric] == pytest.approx(value), metric
        assert ("2", metric) not in found


def test_weights_by_hand() -> None:
    network, task = _two_hidden_units()
    initial = {"0.weight": torch.zeros(2, 2), "2.weight": torch.ones(2, 2)}
    found = _values(network, task, initial=initial)
    assert found["0", "weight_norm"] == pytest.approx(math.sqrt(7))
    assert found["2", "weight_norm"] == pytest.approx(math.sqrt(5))
    assert found["all", "weight_norm"] == pytest.approx(math.sqrt(12))
    assert found["0", "weight_magnitude"] == pytest.approx(5 / 4)
    assert found["all", "weight_magnitude"] == pytest.approx(8 / 8)
    assert found["0", "distance_from_init"] == pytest.approx(math.sqrt(7))
    assert found["2", "distance_from_init"] == pytest.approx(math.sqrt(3))
    assert found["all", "distance_from_init"] == pytest.approx(math.sqrt(10))


def test_gradients_by_hand() -> None:
    found = _values(*_two_hidden_units())
    # d loss / d logit 0 = (p0 - y0) / 2, and logit 1 has minus that
    hidden = math.hypot((_P0[0] - 1) / 2, _P0[1] / 2)  # weights of the living unit
    slope = ((_P0[0] - 1) * 2 + _P0[1] * 1) / 2  # of both weights that leave it
    output = math.hypot(slope, slope)
    assert found["0", "gradient_norm"] == pytest.approx(hidden, rel=1e-5)
    assert found["2", "gradient_norm"] == pytest.approx(output, rel=1e-5)
    assert found["all", "gradient_norm"] == pytest.approx(math.hypot(hidden, output), rel=1e-5)
    for layer in ("0", "2", "all"):
        assert found[layer, "gradient_zero_fraction"] == 0.5


def test_kernel_by_hand() -> None:
    """(logit 0 + logit 1) / sqrt(2) has gradient x / sqrt(2) in the living unit's weights and
    h / sqrt(2) in both rows of the output: K = x.x' / 2 + h.h' = ((4.5, 2), (2, 1.5)), with
    eigenvalues 5.5 and 0.5.
    """
    found = _values(*_two_hidden_units())
    assert found["all", "ntk_condition_number"] == pytest.approx(11)
    entropy = -(11 / 12 * math.log(11 / 12) + 1 / 12 * math.log(1 / 12))
    assert found["all", "ntk_effective_rank"] == pytest.approx(math.exp(entropy))


def test_of_a_masked_network_only_live_weights_count() -> None:
    """One weight lives, from input 1 to the living unit; the output layer has none left."""
    network, task = _two_hidden_units()
    masks = {
        "0.weight": torch.tensor([[True, False], [False, False]]),
        "2.weight": torch.zeros(2, 2, dtype=torch.bool),
    }
    initial = {name: torch.ones(2, 2) for name in masks}
    found = _values(network, task, initial=initial, masks=masks)
    for layer in ("0", "all"):
        assert found[layer, "weight_norm"] == 2
        assert found[layer, "weight_magnitude"] == 2
        assert found[layer, "distance_from_init"] == 1
        assert found[layer, "gradient_norm"] == pytest.approx((1 - _P0[0]) / 2, rel=1e-5)
        assert found[layer, "gradient_zero_fraction"] == 0
    for metric in ("weight_norm", "distance_from_init", "gradient_norm"):
        assert found["2", metric] == 0
    for metric in ("weight_magnitude", "gradient_zero_fraction"):
        assert math.isnan(found["2", metric])
    # only the first input has a gradient: 1 / sqrt(2)
    assert found["all", "ntk_effective_rank"] == 1
    assert found["all", "ntk_condition_number"] == math.inf
    # logit 0 is the weight itself on the first input
    assert found["all", "sharpness"] == pytest.approx(_P0[0] * (1 - _P0[0]) / 2, rel=1e-4)


def test_a_network_without_live_weights_has_norms_of_0_and_no_means() -> None:
    network, task = _two_hidden_units()
    masks = {n: torch.zeros(2, 2, dtype=torch.bool) for n in ("0.weight", "2.weight")}
    found = _values(network, task, masks=masks)
    assert found["all", "weight_norm"] == found["all", "gradient_norm"] == 0
    assert math.isnan(found["all", "weight_magnitude"])
    assert math.isnan(found["all", "gradient_zero_fraction"])
    assert found["all", "ntk_effective_rank"] == found["all", "sharpness"] == 0
    assert found["all", "ntk_condition_number"] == math.inf


def test_full_masks_change_nothing() -> None:
    network, task = small_network(), random_task()
    masks = {n: torch.ones_like(network.get_parameter(n)).bool() for n in ("0.weight", "2.weight")}
    assert _values(network, task, masks=masks) == pytest.approx(_values(network, task))


def test_a_convolution_by_hand() -> None:
    """Filters x and -x on the images (1, 2) and (3, 0): two channels, the second dead."""
    network = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2, bias=False)
    )
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        network.get_parameter("3.weight").copy_(torch.tensor([[1.0, 0, 1, 1], [0, 0, 1, 1]]))
    images = torch.tensor([[1, 2], [3, 0]], dtype=torch.uint8).view(2, 1, 1, 2)
    initial = {"0.weight": torch.zeros(2, 1, 1, 1), "3.weight": torch.zeros(2, 4)}
    found = _values(network, _task(images, torch.tensor([0, 0])), initial=initial)
    assert found["0", "dead_fraction"] == 0.5
    assert found["0", "stable_rank"] == pytest.approx(1)
    # the first is active on three of four positions
    entropy = (0.25 * 2 + 0.75 * math.log2(4 / 3)) / 2
    assert found["0", "unit_sign_entropy"] == pytest.approx(entropy)
    assert found["0", "weight_norm"] == pytest.approx(math.sqrt(2))
    assert found["all", "distance_from_init"] == pytest.approx(math.sqrt(2 + 5))
    # logits (1, 0) and (3, 0): both examples pull filter 1 by (p0 - 1) times pixel 1, over 2
    p0 = [1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-3))]
    filter_1 = ((p0[0] - 1) * 1 + (p0[1] - 1) * 3) / 2
    assert found["0", "gradient_norm"] == pytest.approx(abs(filter_1), rel=1e-5)
    assert found["0", "gradient_zero_fraction"] == 0.5
    assert found["3", "gradient_zero_fraction"] == 0.5  # weights from the dead channel


def test_the_whole_network_weights_units_equally_and_averages_ranks() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3)
    )
    with torch.no_grad():
        network.get_parameter("0.bias")[0] = -1e6  # one of 4 units dead
    found = _values(network, random_task())
    assert found["0", "dead_fraction"] >= 0.25
    for metric in ("dead_fraction", "dormant_fraction", "unit_sign_entropy"):
        assert found["all", metric] == pytest.approx(
            (4 * found["0", metric] + 12 * found["2", metric]) / 16
        )
    for metric in ("effective_rank", "stable_rank", "srank"):
        assert found["all", metric] == pytest.approx((found["0", metric] + found["2", metric]) / 2)
    for metric in ("weight_magnitude", "gradient_zero_fraction"):
        weights = 24 * found["0", metric] + 48 * found["2", metric] + 36 * found["4", metric]
        assert found["all", metric] == pytest.approx(weights / 108)


def test_what_is_not_asked_for_is_left_out() -> None:
    network, task = small_network(), random_task()
    initial = dict(network.state_dict())

    def metrics(**options: Any) -> set[str]:
        return {metric for _, metric in _values(network, task, **options)}

    everything = metrics(initial=initial)
    assert everything - metrics() == {"distance_from_init"}
    assert everything - metrics(initial=initial, sharpness_iterations=0) == {"sharpness"}
    kernel = {"ntk_effective_rank", "ntk_condition_number"}
    assert everything - metrics(initial=initial, ntk_examples=0) == kernel


def test_the_kernel_is_that_of_the_first_examples_of_the_probe() -> None:
    """Of two examples its effective rank is at most 2, of more it is higher."""
    network, task = small_network(), random_task()
    assert 1 < _values(network, task, ntk_examples=2)["all", "ntk_effective_rank"] <= 2
    assert _values(network, task, ntk_examples=40)["all", "ntk_effective_rank"] > 2
    assert _values(network, task, ntk_examples=400) == _values(network, task, ntk_examples=40)


def test_the_probe_is_fixed_by_the_key() -> None:
    task, network = random_task(), small_network()
    first = _values(network, task, probe_size=10)
    assert _values(network, task, probe_size=10) == first
    options = PlasticityOptions(probe_size=10)
    assert measure(network, task, options, RandomKey((1,))) != measure(network, task, options, _KEY)


class _Noise(nn.Module):
    """Draws even in evaluation mode."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + torch.randn_like(inputs)


def test_draws_by_the_network_depend_on_the_key_alone() -> None:
    network = nn.Sequential(_Noise(), small_network())
    torch.manual_seed(1)
    first, random_state = _values(network, random_task()), torch.get_rng_state()
    torch.manual_seed(2)
    assert _values(network, random_task()) == first
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_masks_and_initial_must_fit_the_network() -> None:
    with pytest.raises(ValueError, match=r"masks: 7\.weight is no trainable parameter"):
        _values(small_network(), random_task(), masks={"7.weight": torch.ones(1).bool()})
    with pytest.raises(ValueError, match=r"initial: must hold 2\.weight"):
        _values(small_network(), random_task(), initial={"0.weight": torch.zeros(8, 6)})
