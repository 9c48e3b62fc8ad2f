"""Numbers of parameters of full-size networks, against those that papers give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from raylot.config import NetworkOptions
from raylot.networks import NETWORKS
from raylot.networks.prunable import prunable_weights


def _full_size(network: str, input_shape: tuple[int, ...], **options: Any) -> nn.Module:
    """A network without values, which takes no memory and no time."""
    with torch.device("meta"):
        chosen = NetworkOptions.checked(network=network, **options)
        return NETWORKS[network](input_shape, chosen, 10)


_MNIST, _CIFAR = (1, 28, 28), (3, 32, 32)


@pytest.mark.parametrize(
    ("network", "input_shape", "norm", "parameters", "weights", "published"),
    [
        # LeCun et al. 1998: 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10
        ("lenet_300_100", _MNIST, "none", 266_610, 266_200, (266e3, 1e3)),
        # Frankle & Carbin 2019, figure 2, weights: 1728 + 36864; + 64 * 256 * 256 + 65536 + 2560
        ("conv2", _CIFAR, "none", 4_301_642, 4_300_992, (4.3e6, 0.05e6)),
        # 38592 + 73728 + 147456; + 128 * 64 * 256 + 68096
        ("conv4", _CIFAR, "none", 2_425_930, 2_425_024, (2.4e6, 0.05e6)),
        # 259776 + 294912 + 589824 = 1144512, the figure's 1.1 million in convolutions;
        # + 256 * 16 * 256 + 68096 is not its 1.7 million in all
        ("conv6", _CIFAR, "none", 2_262_602, 1_144_512 + 1_048_576 + 68_096, (2.26e6, 0.05e6)),
        # He et al. 2016, table 6: 0.27 million
        ("resnet20", _CIFAR, "batch", 269_722, 268_336, (0.27e6, 0.005e6)),
        # widely cited for CIFAR: 11.17 million
        ("resnet18", _CIFAR, "batch", 11_173_962, 11_164_352, (11.17e6, 0.005e6)),
        # widely cited for CIFAR: 9.2 and 14.7 million
        ("vgg11", _CIFAR, "batch", 9_228_362, 9_222_848, (9.2e6, 0.05e6)),
        ("vgg16", _CIFAR, "batch", 14_724_042, 14_715_584, (14.7e6, 0.05e6)),
    ],
)
def test_a_network_has_as_many_parameters_as_its_paper_says(
    network: str,
    input_shape: tuple[int, ...],
    norm: str,
    parameters: int,
    weights: int,
    published: tuple[float, float],
) -> None:
    found = _full_size(network, input_shape, norm=norm)
    assert sum(p.numel() for p in found.parameters()) == parameters
    assert sum(p.numel() for p in prunable_weights(found).values()) == weights
    about, rounding = published
    assert abs(parameters - about) <= rounding


def test_a_vision_transformers_parameters_counted_by_hand() -> None:
    """48 patches' numbers, 64 places; per block 2 norms, 4 maps of 64, and 64 -> 256 -> 64."""
    block = 2 * 128 + 4 * (64 * 64 + 64) + (64 * 256 + 256) + (256 * 64 + 64)
    expected = (48 * 64 + 64) + 64 * 64 + 4 * block + 128 + (64 * 10 + 10)
    found = _full_size("vit", _CIFAR)
    assert sum(p.numel() for p in found.parameters()) == expected
    prunable = 48 * 64 + 4 * (4 * 64 * 64 + 2 * 64 * 256) + 640
    assert sum(p.numel() for p in prunable_weights(found).values()) == prunable


@pytest.mark.parametrize(
    ("network", "scale", "shapes"),
    [
        ("lenet_300_100", 0.1, [(30, 64), (10, 30), (3, 10)]),
        ("lenet_300_100", 0.001, [(1, 64), (1, 1), (3, 1)]),
        ("conv2", 0.5, [(32, 1, 3, 3), (32, 32, 3, 3), (128, 512), (128, 128), (3, 128)]),
        ("conv2", 1.015, [(65, 1, 3, 3), (65, 65, 3, 3), (260, 1040), (260, 260), (3, 260)]),
    ],
)
def test_published_numbers_are_scaled_and_rounded(
    network: str, scale: float, shapes: list[tuple[int, ...]]
) -> None:
    with torch.device("meta"):
        options = NetworkOptions.checked(network=network, width_scale=scale)
        found = NETWORKS[network]((1, 8, 8), options, 3)
    assert [tuple(weight.shape) for weight in prunable_weights(found).values()] == shapes


def test_a_concatenating_activation_doubles_the_next_layers_inputs() -> None:
    weights = prunable_weights(_full_size("lenet_300_100", _MNIST, activation="crelu"))
    assert [tuple(weight.shape) for weight in weights.values()] == [
        (300, 784),
        (100, 600),
        (10, 200),
    ]
