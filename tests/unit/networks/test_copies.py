"""A copy shares nothing with the network, whatever that holds."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from raylot.networks.copies import copied, with_state


def _network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def test_a_copy_has_hooks_of_its_own() -> None:
    network, called = _network(), list[str]()
    network[0].register_forward_hook(lambda *_: called.append("first"))
    copy = copied(network)
    network[1].register_forward_hook(lambda *_: called.append("original"))
    copy[2].register_forward_hook(lambda *_: called.append("copy"))
    copy(torch.ones(1, 4))
    assert called == ["first", "copy"]
    network(torch.ones(1, 4))
    assert called == ["first", "copy", "first", "original"]


def test_no_two_modules_share_what_a_copy_keeps_its_hooks_in() -> None:
    copy = copied(_network())
    held = [v for m in copy.modules() for v in vars(m).values() if isinstance(v, OrderedDict)]
    assert len({id(each) for each in held}) == len(held)


def test_modules_that_share_a_dictionary_share_its_copy() -> None:
    network = _network()
    shared: OrderedDict[str, int] = OrderedDict()
    network[0].found = network[2].found = shared
    copy = copied(network)
    assert copy[0].found is copy[2].found is not shared
    assert copy[0].found == OrderedDict()


def test_a_dictionary_of_a_kind_of_its_own_stays_one() -> None:
    class Found(OrderedDict[str, int]):
        pass

    network = _network()
    network[0].found, network[1].found = Found(), OrderedDict()
    network[1].found.of = "two"
    copy = copied(network)
    assert type(copy[0].found) is Found
    assert copy[1].found.of == "two"


def test_a_copy_with_another_state_leaves_the_network_as_it_is() -> None:
    network, other = _network(), _network()
    before = network[0].weight.detach().clone()
    changed = with_state(network, other.state_dict())
    assert torch.equal(changed[0].weight, other[0].weight)
    assert torch.equal(network[0].weight, before)
