"""Convolutions on a CPU get their images with channels last, if nobody could trip over that."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raylot import networks
from raylot.config import InterventionOptions, NetworkOptions, OptimizerOptions
from raylot.foundation.randomness import RandomKey
from raylot.interventions.l2 import L2
from raylot.tasks import Task
from raylot.training import Intervention, evaluate, evaluation, generic, train
from raylot.training.memory_format import channels_last, takes_channels_last
from tests.support.tasks import small_network

_CONVOLUTIONAL = ("conv2", "lenet", "vgg11", "resnet20", "vit")


def _images(channels: int = 3, examples: int = 150) -> Task:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (examples, channels, 8, 8), generator=generator).to(torch.uint8)
    labels = torch.randint(0, 4, (examples,), generator=generator)
    return Task(inputs[:40], labels[:40], inputs[40:], labels[40:], 4, divisor=255.0)


def _network(name: str = "conv2", channels: int = 3, **options: Any) -> nn.Module:
    chosen = NetworkOptions(network=name, width_scale=0.1, width=4, **options)
    return networks.build(chosen, (channels, 8, 8), 4, RandomKey((0, "network")))


class _Viewing(nn.Module):
    """A network as many write it, whose ``view`` refuses maps with channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.output = nn.Linear(4 * 36, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.convolution(images)
        outputs: Tensor = self.output(maps.view(len(maps), -1))
        return outputs


class _OfOnesOwn(L2):
    pass


def _hooked() -> nn.Module:
    network = _network()
    network.get_submodule("conv1").register_forward_hook(lambda *_: None)
    return network


@pytest.mark.parametrize("channels", [1, 3])
def test_images_stay_the_same_with_channels_last(channels: int) -> None:
    images = torch.rand(5, channels, 4, 6)
    found = channels_last(images)
    assert torch.equal(found, images)
    assert found.stride() == (channels * 24, 1, channels * 6, channels)
    maps = nn.Conv2d(channels, 7, 3)(found)
    assert maps.stride() == (7 * 2 * 4, 1, 7 * 4, 7)  # layers pass it on
    vectors = torch.rand(5, 6)
    assert channels_last(vectors) is vectors


@pytest.mark.parametrize(
    ("network", "method", "expected"),
    [
        *((lambda name=name: _network(name), None, True) for name in _CONVOLUTIONAL),
        (_network, L2(InterventionOptions()), True),
        (_network, Intervention(), True),
        (_network, _OfOnesOwn(InterventionOptions()), False),
        (small_network, None, False),
        (_Viewing, None, False),
        (lambda: nn.Sequential(_Viewing()), None, False),
        (_hooked, None, False),
    ],
)
def test_it_is_for_convolutions_of_layers_that_accept_it(
    network: Callable[[], nn.Module], method: Intervention | None, *, expected: bool
) -> None:
    assert takes_channels_last(network(), method) == expected


@pytest.mark.parametrize("network", [_Viewing, _hooked])
def test_other_networks_are_trained_with_the_layout_that_they_know(
    network: Callable[[], nn.Module],
) -> None:
    result = train(
        network(), _images(), epochs=1, batch_size=16, optimizer=OptimizerOptions(),
        key=RandomKey((0, "test")), learning_curve=True,
    )  # fmt: skip
    assert not result.diverged


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", _CONVOLUTIONAL)
def test_the_layout_changes_results_by_rounding_only(
    name: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for takes in (True, False):
        if not takes:
            for module in (generic, evaluation):
                monkeypatch.setattr(module, "takes_channels_last", lambda *_: False)
        network = _network(name, channels)
        result = train(
            network, _images(channels), epochs=2, batch_size=16, key=RandomKey((0, "test")),
            optimizer=OptimizerOptions(optimizer="sgd", lr=0.01), learning_curve=True,
        )  # fmt: skip
        vector = nn.utils.parameters_to_vector(network.parameters()).detach()
        found.append((vector, result.train_loss, result.test_loss))
    (vector, *losses), (expected, *others) = found
    torch.testing.assert_close(vector, expected, rtol=1e-4, atol=1e-5)
    assert losses == pytest.approx(others, rel=1e-5)


def test_a_network_is_evaluated_in_batches_that_stay_in_the_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """110 test images are 64 and 46; a batch less or more changes losses by rounding only."""
    sizes: list[int] = []
    network = _network()
    spied = copy.deepcopy(network)
    spied.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    found = evaluate(spied, _images())
    assert sizes == [64, 46]
    monkeypatch.setattr(evaluation, "CONVOLUTION_BATCH", 1000)
    whole = evaluate(network, _images())
    assert found.loss == pytest.approx(whole.loss, rel=1e-6)
    assert found.accuracy == whole.accuracy
