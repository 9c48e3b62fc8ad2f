"""Every built-in network with every norm and activation, small: what holds for all of them."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from raylot.config import NetworkOptions, OptimizerOptions
from raylot.config.parameters import parameters_used
from raylot.foundation.names import BUILT_IN
from raylot.foundation.randomness import RandomKey
from raylot.networks.activations import ACTIVATIONS
from raylot.networks.initialisation import why_not_reinitialised
from raylot.networks.prunable import LAYERS, prunable_weights
from raylot.plasticity import recorded_activations
from raylot.tasks import Task
from raylot.training import TrainingJob, stacked, train
from raylot.training.fast import reasons
from tests.unit.networks.architectures.variants import built
from tests.unit.training.networks import assert_pruned_stay, random_masks, weights_of

_NORMS = get_args(NetworkOptions.model_fields["norm"].annotation)
_SMALL: dict[str, Any] = {
    "hidden": (5, 4), "width": 2, "width_scale": 0.05, "vit_dimension": 8,
    "vit_depth": 1, "vit_heads": 2,
}  # fmt: skip

#: The modules of activations.
_ACTIVATED = tuple({type(make(1, 1)) for make in ACTIVATIONS.values()})


def _norms(network: str) -> tuple[str, ...]:
    """A vision transformer has its own norms."""
    return _NORMS if "norm" in parameters_used("network", network) else ("none",)


#: Every network with every norm, and every network with every activation.
PAIRED = [
    (network, _norms(network)[(place + shift) % len(_norms(network))], activation)
    for shift, network in enumerate(BUILT_IN["network"])
    for place, activation in enumerate(ACTIVATIONS)
]


def _task() -> Task:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 17, (12, 1, 8, 8), generator=generator).to(torch.uint8)
    labels = torch.randint(0, 3, (12,), generator=generator)
    return Task(inputs[:8], labels[:8], inputs[8:], labels[8:], 3, offset=8, divisor=5)


def test_norms_and_activations_are_options_of_every_network() -> None:
    for network in BUILT_IN["network"]:
        used = {*parameters_used("network", network)}
        assert {"activation", "norm"} - used == ({"norm"} if network == "vit" else set())
    assert {(n, norm) for n, norm, _ in PAIRED} == {
        (n, norm) for n in BUILT_IN["network"] for norm in _norms(n)
    }


@pytest.mark.parametrize("network", BUILT_IN["network"])
def test_each_gives_logits_and_prunes_its_layers_and_nothing_else(network: str) -> None:
    inputs = torch.rand(3, 1, 8, 8)
    for norm, activation in itertools.product(_norms(network), ACTIVATIONS):
        net = built(network, classes=4, norm=norm, activation=activation, **_SMALL)
        net.eval()
        with torch.no_grad():
            logits = net(inputs)
        assert logits.shape == (3, 4), (norm, activation)
        assert logits.isfinite().all(), (norm, activation)
        layers = {name for name, module in net.named_modules() if isinstance(module, LAYERS)}
        assert set(prunable_weights(net)) == {f"{name}.weight" for name in layers}
        assert why_not_reinitialised(net) is None


@pytest.mark.parametrize(("network", "norm", "activation"), PAIRED)
def test_pruned_weights_stay_and_others_move(network: str, norm: str, activation: str) -> None:
    net = built(network, classes=3, norm=norm, activation=activation, **_SMALL)
    before, masks = weights_of(net), random_masks(net, 0.6)
    masked = "freeze" if len(activation) % 2 else "zero"
    result = train(
        net, _task(), epochs=1, batch_size=4, optimizer=OptimizerOptions(lr=0.01), masks=masks,
        masked=masked, key=RandomKey((0,)),
    )  # fmt: skip
    assert (result.steps, result.diverged) == (2, False)
    assert_pruned_stay(net, before, masks, masked)
    last = list(before)[-1]
    assert not torch.equal(weights_of(net)[last][masks[last]], before[last][masks[last]])


@pytest.mark.parametrize("network", BUILT_IN["network"])
def test_each_activation_is_measured_after_its_layer(network: str) -> None:
    for activation in ("relu", "crelu", "prelu"):
        net = built(network, activation=activation, **_SMALL).eval()
        count = sum(isinstance(module, _ACTIVATED) for module in net.modules())
        with recorded_activations(net) as recorded:
            net(torch.rand(2, 1, 8, 8))
        assert len(recorded) == count > 0
        for name, seen in recorded.items():
            units = len(net.get_parameter(f"{name}.weight"))
            assert len(seen.active) == units
            assert seen.outputs.shape[1] == units * (2 if activation == "crelu" else 1)


@pytest.mark.parametrize("network", BUILT_IN["network"])
def test_engines_take_what_they_can(network: str) -> None:
    """Only ReLU perceptrons without a norm are fast, and only batch norm cannot be stacked."""
    for norm, activation in [*((norm, "relu") for norm in _norms(network)), ("none", "crelu")]:
        net = built(network, classes=3, norm=norm, activation=activation, **_SMALL)
        job = TrainingJob(
            network=net, task=_task(), epochs=1, batch_size=4, optimizer=OptimizerOptions(),
            key=RandomKey((0,)),
        )  # fmt: skip
        is_plain = (norm, activation) == ("none", "relu")
        is_perceptron = network in ("mlp", "lenet_300_100")
        assert (reasons.why_not(job) is None) == (is_plain and is_perceptron)
        reason = stacked.why_not([job])
        expected = "a network with running statistics or other buffers" if norm == "batch" else None
        assert reason == expected


@pytest.mark.parametrize("network", [n for n in BUILT_IN["network"] if n != "vit"])
def test_images_of_any_size(network: str) -> None:
    for height, width in ((1, 1), (2, 7), (28, 28), (11, 3)):
        net = built(network, (1, height, width), 3, **_SMALL)
        assert net(torch.zeros(2, 1, height, width)).shape == (2, 3)


@pytest.mark.parametrize("network", BUILT_IN["network"])
def test_a_chain_inside_feeds_one_layer_alone(network: str) -> None:
    """What its last layer gets is what its first one gave, through the modules in between."""
    net = built(network, activation="tanh", **_SMALL).eval()
    inner = [module for module in net.modules() if hasattr(module, "chain")]
    assert bool(inner) == (network in ("resnet", "resnet18", "resnet20", "vit"))
    for module in inner:
        chain: list[nn.Module] = module.chain()  # type: ignore[operator]
        first, *between, last = chain
        assert isinstance(first, LAYERS)
        assert isinstance(last, LAYERS)
        seen: dict[str, Tensor] = {}
        handles = [
            first.register_forward_hook(lambda m, a, output, seen=seen: seen.update(out=output)),
            last.register_forward_hook(lambda m, args, o, seen=seen: seen.update(into=args[0])),
        ]
        net(torch.rand(2, 1, 8, 8))
        for handle in handles:
            handle.remove()
        assert torch.equal(nn.Sequential(*between)(seen["out"]), seen["into"])
