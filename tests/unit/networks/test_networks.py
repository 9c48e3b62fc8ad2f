"""Layers and shapes, PyTorch's own initialisation, and one key per network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from raylot.config import NetworkOptions, OptimizerOptions, PlasticityOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.names import BUILT_IN
from raylot.foundation.randomness import RandomKey
from raylot.networks.architectures import (
    NETWORKS,
    NORMS,
    BasicBlock,
    build,
    lenet,
    mlp,
    resnet,
    vgg,
)
from raylot.networks.prunable import prunable_weights
from raylot.plasticity import measure
from raylot.tasks import load_dataset
from raylot.training import evaluate, train

paths = st.tuples(st.integers(0, 2**63 - 1), st.text(max_size=5))

#: Every network with every norm that it can have.
VARIANTS = [
    ("mlp", "none"), ("lenet", "none"),
    ("vgg", "none"), ("vgg", "batch"), ("vgg", "layer"),
    ("resnet", "none"), ("resnet", "batch"), ("resnet", "layer"),
]  # fmt: skip

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


def built(
    network: str, input_shape: Sequence[int] = (1, 8, 8), classes: int = 10, seed: int = 0,
    **values: Any,
) -> nn.Module:  # fmt: skip
    options = NetworkOptions.checked(network=network, **values)
    return build(options, input_shape, classes, RandomKey((seed, "init")))


def output_shapes(network: nn.Module, input_shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Shape of what each named module puts out for one example, without the batch."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in network.named_modules():
        module.register_forward_hook(
            lambda module, args, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    network(torch.zeros(1, *input_shape))
    return shapes


def parameters(key: RandomKey, hidden: tuple[int, ...] = (4, 3)) -> dict[str, Tensor]:
    network = build(NetworkOptions(hidden=hidden), (1, 2, 3), 5, key)
    return {name: weights.detach() for name, weights in network.named_parameters()}


@pytest.mark.parametrize(
    ("hidden", "shapes"),
    [
        ((), {"output": (10, 64)}),
        ((64,), {"hidden1": (64, 64), "output": (10, 64)}),
        ((100, 50), {"hidden1": (100, 64), "hidden2": (50, 100), "output": (10, 50)}),
    ],
)
def test_layers_and_shapes(hidden: tuple[int, ...], shapes: dict[str, tuple[int, int]]) -> None:
    network = mlp((1, 8, 8), hidden, 10)
    linear = {name: m for name, m in network.named_modules() if isinstance(m, nn.Linear)}
    assert {name: tuple(layer.weight.shape) for name, layer in linear.items()} == shapes
    assert {name: tuple(m.bias.shape) for name, m in linear.items()} == {
        name: shape[:1] for name, shape in shapes.items()
    }
    assert network(torch.zeros(7, 1, 8, 8)).shape == (7, 10)


def test_it_computes_what_an_mlp_computes() -> None:
    network = mlp((1, 1, 2), (2,), 2)
    network.load_state_dict(
        {
            "hidden1.weight": torch.tensor([[1.0, 2.0], [-1.0, 0.0]]),
            "hidden1.bias": torch.tensor([1.0, -1.0]),
            "output.weight": torch.tensor([[3.0, 1.0], [0.0, 5.0]]),
            "output.bias": torch.tensor([0.0, 7.0]),
        }
    )
    # (1, 2) -> (1 + 4 + 1, -1 - 1) = (6, -2) -> ReLU (6, 0) -> (18, 7)
    # (-5, 1) -> (-5 + 2 + 1, 5 - 1) = (-2, 4) -> ReLU (0, 4) -> (4, 27)
    inputs = torch.tensor([[[[1.0, 2.0]]], [[[-5.0, 1.0]]]])
    assert network(inputs).tolist() == [[18.0, 7.0], [4.0, 27.0]]


# ------------------------------------------------------------------ shapes and counts


def test_every_network_and_norm_is_there() -> None:
    fields = NetworkOptions.model_fields
    assert sorted(NETWORKS) == sorted(BUILT_IN["network"])
    assert sorted(NORMS) == sorted(get_args(fields["norm"].annotation))


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


@pytest.mark.parametrize(
    ("size", "shapes"),
    [
        (28, [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (400,)]),
        (8, [(6, 8, 8), (6, 4, 4), (16, 4, 4), (16, 2, 2), (64,)]),
        (12, [(6, 12, 12), (6, 6, 6), (16, 2, 2), (16, 1, 1), (16,)]),
        (11, [(6, 11, 11), (6, 6, 6), (16, 6, 6), (16, 3, 3), (144,)]),
    ],
)
def test_shapes_inside_lenet(size: int, shapes: list[tuple[int, ...]]) -> None:
    inside = output_shapes(lenet((1, size, size), 10), (1, size, size))
    names = ["conv1", "pool1", "conv2", "pool2", "flatten"]
    assert [inside[name] for name in names] == shapes
    assert [inside[name] for name in ("hidden1", "hidden2", "output")] == [(120,), (84,), (10,)]


@pytest.mark.parametrize(("make", "blocks"), [(vgg, {}), (resnet, {}), (resnet, {"blocks": 2})])
@pytest.mark.parametrize(("size", "sizes"), [(8, [8, 4, 2]), (28, [28, 14, 7]), (9, [9, 5, 3])])
def test_stages_halve_and_double(
    make: Any, blocks: dict[str, int], size: int, sizes: list[int]
) -> None:
    inside = output_shapes(make((1, size, size), 3, 10, **blocks), (1, size, size))
    stages = [inside[f"stage{stage}"] for stage in (1, 2, 3)]
    assert stages == [(3, sizes[0], sizes[0]), (6, sizes[1], sizes[1]), (12, sizes[2], sizes[2])]
    assert inside["flatten"] == (12,)


@pytest.mark.parametrize(("blocks", "layers"), [(1, 8), (2, 14), (3, 20)])
def test_resnet_is_6n_plus_2_layers_deep(blocks: int, layers: int) -> None:
    network = resnet((1, 8, 8), 2, 10, blocks=blocks)
    assert len([name for name in prunable_weights(network) if "shortcut" not in name]) == layers
    assert len([name for name in prunable_weights(network) if "shortcut" in name]) == 2


@pytest.mark.parametrize("network", ["lenet", "vgg", "resnet"])
def test_convolutions_need_images(network: str) -> None:
    with pytest.raises(OptionError, match=rf"network={network}: must be mlp .* shape \(64,\)"):
        built(network, (64,))


# ------------------------------------------------------------------ by hand


@pytest.mark.parametrize(("value", "expected"), [(2.0, 0.0), (1.0, 2.0), (0.25, 4.25)])
def test_a_basic_block_by_hand(value: float, expected: float) -> None:
    block = BasicBlock(1, 1, stride=1, norm="none")
    nn.init.dirac_(block.conv1.weight).data *= 2  # 2 x - 1, on every pixel
    nn.init.dirac_(block.conv2.weight).data *= -3  # -3 x + 4
    nn.init.constant_(block.conv1.bias, -1)
    nn.init.constant_(block.conv2.bias, 4)
    # 2 -> ReLU(3) -> -5, + 2 = -3 -> 0;  1 -> 1 -> 1, + 1 = 2;  1/4 -> ReLU(-1/2) -> 4, + 1/4
    assert block(torch.full((1, 1, 2, 3), value)).unique().tolist() == [expected]


def test_a_shortcut_projects_every_other_pixel() -> None:
    block = BasicBlock(1, 2, stride=2, norm="none")
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(block.shortcut.conv.weight, 3)
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert block(image).tolist() == [[[[0.0, 6.0], [24.0, 30.0]]] * 2]


def test_batch_norm_is_per_channel_and_layer_norm_per_example() -> None:
    values = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    for norm, over in (("batch", (0, 2, 3)), ("layer", (1, 2, 3))):
        normed = NORMS[norm](3)(values)
        mean, deviation = values.mean(over, True), values.std(over, correction=0, keepdim=True)
        assert torch.allclose(normed, (values - mean) / deviation, atol=1e-3)
    assert torch.equal(NORMS["none"](3)(values), values)


# ------------------------------------------------------------------ as the rest of raylot uses them


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


# ------------------------------------------------------------------ initialisation


@pytest.mark.parametrize(("network", "norm"), VARIANTS)
def test_every_network_depends_on_its_key_alone(network: str, norm: str) -> None:
    torch.manual_seed(1)
    first = built(network, norm=norm, width=2).state_dict()
    torch.manual_seed(2)
    second = built(network, norm=norm, width=2).state_dict()
    other = built(network, norm=norm, width=2, seed=1).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for layer in LAYERS[network] + SHORTCUTS.get(network, []):
        assert not torch.equal(first[f"{layer}.weight"], other[f"{layer}.weight"])


@given(paths)
def test_the_key_alone_decides_the_weights(path: tuple[int, str]) -> None:
    torch.manual_seed(1)
    first = parameters(RandomKey(path))
    torch.manual_seed(2)
    second = parameters(RandomKey(path))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@given(paths, paths)
def test_another_key_gives_other_weights(path: tuple[int, str], other: tuple[int, str]) -> None:
    first, second = parameters(RandomKey(path)), parameters(RandomKey(other))
    same = [torch.equal(first[name], second[name]) for name in first]
    assert same == [path == other] * 6


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    build(NetworkOptions(), (1, 8, 8), 10, RandomKey((0,)))
    assert torch.equal(torch.rand(5), expected)


def test_initialisation_is_pytorchs_own() -> None:
    key = RandomKey((4, "init"))
    torch.manual_seed(key.torch_seed())
    layers = {"hidden1": nn.Linear(6, 4), "hidden2": nn.Linear(4, 3), "output": nn.Linear(3, 5)}
    built = parameters(key)
    for name, layer in layers.items():
        assert torch.equal(built[f"{name}.weight"], layer.weight)
        assert torch.equal(built[f"{name}.bias"], layer.bias)


@pytest.mark.parametrize(("layer", "fan_in"), [("hidden1", 784), ("output", 256)])
def test_initial_weights_fill_their_bounds(layer: str, fan_in: int) -> None:
    network = build(NetworkOptions(hidden=(256,)), (1, 28, 28), 10, RandomKey((0,)))
    initial = {name: values.detach() for name, values in network.named_parameters()}
    weight, bias = initial[f"{layer}.weight"], initial[f"{layer}.bias"]
    bound = 1 / math.sqrt(fan_in)
    assert 0.99 * bound < float(weight.abs().max()) <= bound
    # uniform in [-bound, bound]: mean 0, variance bound ** 2 / 3
    assert float(weight.mean()) == pytest.approx(0, abs=5 * bound / math.sqrt(3 * weight.numel()))
    assert float(weight.var()) == pytest.approx(bound**2 / 3, rel=0.1)
    assert float(bias.abs().max()) <= bound


# Drawn once and written down: if they change, no old result can be reproduced any more.


def test_initial_weights_are_pinned() -> None:
    weight = parameters(RandomKey((0, "init")))["hidden1.weight"]
    expected = [0.09957188, 0.35697952, 0.11278059]
    assert weight[0, :3].tolist() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("lenet", [0.10369799, -0.00726599, -0.06843419]),
        ("vgg", [-0.0364031, -0.00898498, -0.06338166]),
        ("resnet", [0.03792608, -0.01054645, -0.11203259]),
    ],
)
def test_initial_output_weights_are_pinned(network: str, expected: list[float]) -> None:
    weight = built(network).state_dict()["output.weight"]  # drawn last
    assert weight[0, :3].tolist() == pytest.approx(expected, abs=1e-7)
