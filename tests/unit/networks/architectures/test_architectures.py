"""What architectures have in common: shapes, prunable weights, ReLUs that are measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from raylot.config import OptimizerOptions, PlasticityOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.networks import resnet, vgg
from raylot.networks.prunable import prunable_weights
from raylot.plasticity import measure
from raylot.tasks import load_dataset
from raylot.training import evaluate, train
from tests.unit.networks.architectures.variants import VARIANTS, built, output_shapes

#: Convolution and linear layers, in the order in which they compute; shortcuts left out.
LAYERS = {
    "mlp": ["hidden1", "output"],
    "lenet": ["conv1", "conv2", "hidden1", "hidden2", "output"],
    "vgg": [
        "stage1.conv1", "stage1.conv2", "stage2.conv1", "stage2.conv2",
        "stage3.conv1", "stage3.conv2", "output",
    ],
    "resnet": [
        "conv1", "stage1.block1.conv1", "stage1.block1.conv2", "stage2.block1.conv1",
        "stage2.block1.conv2", "stage3.block1.conv1", "stage3.block1.conv2", "output",
    ],
}  # fmt: skip

SHORTCUTS = {"resnet": ["stage2.block1.shortcut.conv", "stage3.block1.shortcut.conv"]}


@pytest.mark.parametrize(("network", "norm"), VARIANTS)
@pytest.mark.parametrize("input_shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 9, 40)])
def test_a_logit_per_class(network: str, norm: str, input_shape: tuple[int, ...]) -> None:
    logits = built(network, input_shape, 7, norm=norm, width=4)(torch.rand(5, *input_shape))
    assert logits.shape == (5, 7)
    assert logits.isfinite().all()


@pytest.mark.parametrize("network", ["lenet", "vgg", "resnet"])
@settings(max_examples=25)
@given(height=st.integers(1, 20), width=st.integers(1, 20))
def test_images_of_any_size(network: str, height: int, width: int) -> None:
    shape = (1, height, width)
    assert built(network, shape, 3, width=2)(torch.zeros(2, *shape)).shape == (2, 3)


@pytest.mark.parametrize(
    ("network", "norm", "input_shape", "count"),
    [
        # 1 * 6 * 25 + 6 = 156, 6 * 16 * 25 + 16 = 2416; 400 * 120 + 120 = 48120,
        # 120 * 84 + 84 = 10164, 84 * 10 + 10 = 850: LeNet-5's well-known 61706
        ("lenet", "none", (1, 28, 28), 61706),
        ("lenet", "none", (1, 8, 8), 156 + 2416 + (64 * 120 + 120) + 10164 + 850),
        ("lenet", "none", (3, 32, 32), (450 + 6) + 2416 + (576 * 120 + 120) + 10164 + 850),
        # 9 * 16 + 16 = 160, 9 * 16 * 16 + 16 = 2320; 4640, 9248; 18496, 36928; 64 * 10 + 10 = 650
        ("vgg", "none", (1, 8, 8), 160 + 2320 + 4640 + 9248 + 18496 + 36928 + 650),
        ("vgg", "none", (3, 32, 32), (432 + 16) + 2320 + 4640 + 9248 + 18496 + 36928 + 650),
        # in place of a bias, gain and bias per channel: one more, for 2 (16 + 32 + 64) channels
        ("vgg", "batch", (1, 28, 28), 72442 + 224),
        ("vgg", "layer", (1, 28, 28), 72442 + 224),
        # as vgg, with 2320 twice more, and the shortcuts 16 * 32 + 32 = 544, 32 * 64 + 64 = 2112
        ("resnet", "none", (1, 8, 8), 72442 + 2320 + 544 + 2112),
        # one more for 16 + 2 * 16 + 3 * 32 + 3 * 64 channels
        ("resnet", "batch", (1, 28, 28), 77418 + 336),
        ("resnet", "layer", (1, 28, 28), 77418 + 336),
    ],
)
def test_parameters_counted_by_hand(
    network: str, norm: str, input_shape: tuple[int, ...], count: int
) -> None:
    parameters = built(network, input_shape, norm=norm).parameters()
    assert sum(p.numel() for p in parameters) == count


@pytest.mark.parametrize("make", [vgg, resnet])
@pytest.mark.parametrize(("size", "sizes"), [(8, [8, 4, 2]), (28, [28, 14, 7]), (9, [9, 5, 3])])
def test_stages_halve_and_double(make: Any, size: int, sizes: list[int]) -> None:
    inside = output_shapes(make((1, size, size), 3, 10), (1, size, size))
    stages = [inside[f"stage{stage}"] for stage in (1, 2, 3)]
    assert stages == [(3, sizes[0], sizes[0]), (6, sizes[1], sizes[1]), (12, sizes[2], sizes[2])]
    assert inside["flatten"] == (12,)


@pytest.mark.parametrize("network", ["lenet", "vgg", "resnet"])
def test_convolutions_need_images(network: str) -> None:
    with pytest.raises(
        OptionError, match=rf"network={network}: must be mlp or lenet_300_100 .* shape \(64,\)"
    ):
        built(network, (64,))


@pytest.mark.parametrize(("network", "norm"), VARIANTS)
def test_prunable_are_the_weights_of_convolutions_and_linear_layers(
    network: str, norm: str
) -> None:
    expected = {f"{name}.weight" for name in LAYERS[network] + SHORTCUTS.get(network, [])}
    assert set(prunable_weights(built(network, norm=norm, width=2))) == expected


@pytest.mark.parametrize(("network", "norm"), VARIANTS)
def test_every_relu_is_measured_as_the_layer_it_follows(network: str, norm: str) -> None:
    net = built(network, norm=norm, width=2)
    options = PlasticityOptions(probe_size=16, ntk_examples=0, sharpness_iterations=0)
    rows = measure(net, load_dataset("digits"), options, RandomKey((0,)))
    measured = [r["layer"] for r in rows if r["metric"] == "dead_fraction" and r["layer"] != "all"]
    assert measured == LAYERS[network][:-1]
    assert len(measured) == sum(isinstance(module, nn.ReLU) for module in net.modules())


@pytest.mark.parametrize(("network", "norm"), VARIANTS)
def test_a_little_training_lowers_the_loss(network: str, norm: str) -> None:
    digits = load_dataset("digits")
    task = replace(
        digits, train_inputs=digits.train_inputs[:128], train_labels=digits.train_labels[:128]
    )
    net = built(network, norm=norm, width=8)
    before = evaluate(net, task).loss
    result = train(
        net, task, epochs=10, batch_size=32, optimizer=OptimizerOptions(lr=0.005),
        key=RandomKey((0,)),
    )  # fmt: skip
    assert result.test_loss < 0.8 * before
