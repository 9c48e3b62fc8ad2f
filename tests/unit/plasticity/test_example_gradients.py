"""Which networks are measured in one pass; that the gradients are right is seen in the kernel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from raylot.config import NetworkOptions
from raylot.foundation.randomness import RandomKey
from raylot.networks import build
from raylot.plasticity import kernel
from raylot.plasticity.example_gradients import treats_examples_apart
from raylot.plasticity.kernel import pseudo_ntk


class _OverExamples(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs - inputs.mean(0)


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        ("mlp", "layer"),
        ("lenet", "none"),
        ("vgg", "batch"),
        ("vgg", "layer"),
        ("resnet", "batch"),
        ("resnet20", "group"),
    ],
)
@pytest.mark.parametrize("activation", ["relu", "crelu", "fourier"])
@pytest.mark.parametrize("masked", [False, True])
def test_one_pass_and_one_by_one_make_the_same_kernel(
    monkeypatch: pytest.MonkeyPatch, name: str, norm: str, activation: str, masked: bool
) -> None:
    options = NetworkOptions(
        network=name, norm=norm, activation=activation, width=2, hidden=(5, 4), width_scale=0.1
    )
    network = build(options, (1, 8, 8), 3, RandomKey((0,)))
    torch.manual_seed(0)
    network(torch.randn(20, 1, 8, 8) + 1)  # so that batch norm has statistics
    network.eval()
    masks = {n: torch.rand(p.shape) < 0.5 for n, p in network.named_parameters() if masked}
    inputs = torch.randn(5, 1, 8, 8)
    assert treats_examples_apart(network)
    found = pseudo_ntk(network, inputs, masks)
    monkeypatch.setattr(kernel, "treats_examples_apart", lambda network: False)
    assert torch.allclose(found, pseudo_ntk(network, inputs, masks), rtol=1e-10)


def test_a_layer_that_overwrites_what_it_gets_changes_nothing() -> None:
    torch.manual_seed(0)
    kernels = []
    for inplace in (False, True):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace), nn.Linear(5, 2))
        kernels.append(pseudo_ntk(network, torch.arange(12.0).view(3, 4)))
    assert torch.equal(*kernels)


def test_what_might_mix_examples_or_compute_twice_is_not_known() -> None:
    twice = nn.Linear(4, 4)
    hooked = nn.Linear(4, 4)
    hooked.register_forward_hook(lambda module, args, output: output.flip(0))
    tied = nn.Linear(4, 4)
    tied.weight = twice.weight
    for layers in (
        [twice, nn.ReLU(), twice],
        [twice, tied],
        [hooked],
        [nn.Linear(4, 4), _OverExamples()],
        [nn.BatchNorm1d(4, track_running_stats=False)],
        [nn.Flatten(0)],
        [nn.Softmax(0)],
        [nn.Conv2d(2, 2, 1, groups=2)],
    ):
        assert not treats_examples_apart(nn.Sequential(*layers))
