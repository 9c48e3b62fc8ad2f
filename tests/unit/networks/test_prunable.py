"""Which weights can be pruned, by default and by choice; what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from raylot.foundation.errors import OptionError
from raylot.masks.pruning import (
    full_masks,
    left_out,
    prunable_share,
    remark_on_left_out,
    zero_pruned,
)
from raylot.networks.prunable import Prunable, prunable_weights


def test_weights_of_linear_and_convolution_layers_can_be_pruned_and_nothing_else() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)
    )
    assert list(prunable_weights(network)) == ["0.weight", "4.weight"]


class _Recurrent(nn.Module):
    """An embedding tied to the output, an LSTM, a normalised vector and a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.lstm = nn.LSTM(4, 4)
        self.norm = nn.LayerNorm((2, 4))
        self.own = nn.Parameter(torch.rand(3, 4))
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.output = nn.Linear(4, 5)
        self.output.weight = self.embedding.weight


def test_tied_weights_are_pruned_and_counted_once() -> None:
    masks = full_masks(_Recurrent())
    assert {name: mask.numel() for name, mask in masks.items()} == {"embedding.weight": 20}
    assert list(full_masks(_Recurrent(), "output.weight")) == ["embedding.weight"]
    zeroed = _Recurrent()
    zero_pruned(zeroed, {"embedding.weight": torch.zeros(5, 4, dtype=torch.bool)})
    assert not zeroed.output.weight.any()


@pytest.mark.parametrize(
    ("prune", "chosen"),
    [
        ("lstm.weight_*", ["lstm.weight_ih_l0", "lstm.weight_hh_l0"]),
        (["own", "lstm.weight_hh*"], ["own", "lstm.weight_hh_l0"]),
        ("*", ["own", "embedding.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0"]),
        (lambda name, weight: weight.shape[0] == 3, ["own"]),
    ],
)
def test_weights_are_chosen_by_name_or_by_a_function(prune: Prunable, chosen: list[str]) -> None:
    """Never biases, norms (whose gain has two dimensions here) or frozen weights."""
    assert set(full_masks(_Recurrent(), prune)) == set(chosen)


def test_what_is_left_out_is_counted_and_said() -> None:
    network = _Recurrent()
    masks = full_masks(network)
    left = left_out(network, masks)
    assert left == {"own": 12, "lstm.weight_ih_l0": 64, "lstm.weight_hh_l0": 64}
    assert prunable_share(left, masks) == 20 / 160
    assert remark_on_left_out(left, masks) == (
        "not pruned: own, lstm.weight_ih_l0, lstm.weight_hh_l0 (87.5% of all weights); prune= "
        "(of find_tickets, or of @plugins.network) chooses what is pruned"
    )
    everything = full_masks(network, "*")
    assert left_out(network, everything) == {}
    assert prunable_share({}, everything) == 1
    assert remark_on_left_out({}, everything) == ""


@pytest.mark.parametrize(
    ("prune", "message"),
    [
        ("*.weigth", "prune=*.weigth: must match one of the trainable weights: own, embedding"),
        (["own", "frozen.weight"], "prune=frozen.weight: must match one of the trainable weights"),
        (3, "prune=3: must be names of weights, as *.in_proj_weight, or a function of name and w"),
        ([3], "prune=[3]: must be names of weights"),
        ([], "prune=[]: must choose at least one trainable weight"),
        (lambda name, weight: False, "prune=<lambda>: must choose at least one trainable weight"),
        (
            lambda name: True,
            "prune=<lambda>: must be a function that takes a weight's name and the weight, and "
            "returns True or False; of own: TypeError: ",
        ),
        (
            lambda name, weight: weight,
            "prune=<lambda>: must be a function that takes a weight's name and the weight, and "
            "returns True or False; of own: RuntimeError: Boolean value of Tensor with more than",
        ),
    ],
)
def test_a_wrong_choice_is_refused_in_one_line(prune: Any, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        full_masks(_Recurrent(), prune)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm", "orthogonal"])
@pytest.mark.parametrize("prune", [None, "*original*", lambda name, weight: True])
def test_parametrised_layers_are_refused_unless_they_are_left_out(
    kind: str, prune: Prunable
) -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    getattr(nn.utils.parametrizations, kind)(network[0])
    with pytest.raises(OptionError, match=r"network: module 0 \(.*\) computes its weight from"):
        full_masks(network, prune)
    assert list(full_masks(network, "2.weight")) == ["2.weight"]
    network[0].requires_grad_(False).get_parameter("bias").requires_grad_()
    assert list(full_masks(network)) == ["2.weight"]
    nn.utils.parametrize.remove_parametrizations(network.requires_grad_()[0], "weight")
    assert list(full_masks(network)) == ["0.weight", "2.weight"]


def test_a_network_that_is_one_parametrised_layer_is_named() -> None:
    alone = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    with pytest.raises(OptionError, match="network: ParametrizedLinear computes its weight"):
        full_masks(alone)


class _OfItsOwn(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.zeros(shape))


def test_a_network_without_layers_to_prune_is_told_what_else_can_be() -> None:
    with pytest.raises(OptionError) as caught:
        full_masks(_OfItsOwn(3, 4))
    assert str(caught.value) == (
        "network: must have at least one trainable linear or convolution layer to prune; prune= "
        "(of find_tickets, or of @plugins.network) chooses others of its weights: own"
    )
    with pytest.raises(OptionError, match=r"layer to prune$"):
        full_masks(_OfItsOwn(3))
