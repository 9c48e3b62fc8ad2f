"""What all interventions have in common: the key decides, and pruned weights never move."""

from __future__ import annotations

import copy
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from raylot import interventions
from raylot.config import InterventionOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.names import BUILT_IN
from raylot.training import Intervention
from tests.support.tasks import random_task, small_network
from tests.unit.interventions.methods import ALL, made, with_norm
from tests.unit.interventions.trainings import make, trained
from tests.unit.training.networks import assert_pruned_stay, bits, random_masks, vector, weights_of
from tests.unit.training.optimizers import EXTRAS, OPTIMIZERS


def test_every_name_of_the_configuration_has_its_method() -> None:
    assert {*BUILT_IN["intervention"]} == {"none", *(name.split()[0] for name in ALL)}
    assert interventions.make(InterventionOptions()) is None


class _Keeping(nn.Sequential):
    """Keeps its latest outputs, which PyTorch does not copy."""

    def forward(self, inputs: Tensor) -> Tensor:
        self.latest = super().forward(inputs)
        return self.latest


@pytest.mark.parametrize("name", ["shrink_and_perturb", "reset"])
def test_a_network_may_keep_its_outputs(name: str) -> None:
    keeping, plain = _Keeping(*small_network()), small_network()  # type: ignore[misc]
    for network in (keeping, plain):
        trained(network, intervention=make(name, perturb_every="step"), whole_task=True)
    assert torch.equal(bits(vector(keeping)), bits(vector(plain)))


class _Scaled(nn.Sequential):
    """Has a weight that cannot be initialised anew, and counts its forward passes."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
        self.scale = nn.Parameter(torch.ones(3))
        self.calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        logits: Tensor = super().forward(inputs) * self.scale
        return logits


@pytest.mark.parametrize(
    "name",
    ["reset", "shrink_and_perturb", "redo", "resampled_init", "layer_reset",
     "plasticity_injection"],
)  # fmt: skip
def test_a_network_that_cannot_be_initialised_anew_is_refused_before_it_is_trained(
    name: str,
) -> None:
    network = _Scaled()
    with pytest.raises(OptionError) as caught:
        trained(network, intervention=make(name), whole_task=True)
    assert str(caught.value) == (
        f"intervention={name}: must go with a network that can be initialised anew; here _Scaled "
        "has no reset_parameters() that draws its scale anew"
    )
    assert network.calls == 0


@pytest.mark.parametrize("name", ["reset", "shrink_and_perturb", "fire", "layer_reset"])
def test_what_acts_between_tasks_does_nothing_within_a_search(name: str) -> None:
    plain, searched, lived = small_network(), small_network(), small_network()
    trained(plain)
    trained(searched, intervention=make(name))
    trained(lived, intervention=make(name), whole_task=True)
    assert torch.equal(bits(vector(searched)), bits(vector(plain)))
    assert not torch.equal(vector(lived), vector(plain))


@pytest.mark.parametrize("name", ALL)
def test_the_key_alone_decides_and_nothing_leaks_into_the_next_training(name: str) -> None:
    """The global random state is left alone too."""
    start = with_norm(name)(seed=3)
    start.get_parameter("2.bias").data[0] = -9  # a silent channel, for what looks for them

    def lived(network: nn.Module, method: Intervention | None) -> nn.Module:
        """Two tasks with a carried optimizer: some methods need what comes before a task."""
        optimizer_state = None
        for seed in (0, 1):
            optimizer_state = trained(
                network, random_task(seed=seed), intervention=method, whole_task=True,
                initial=start.state_dict(), optimizer_state=optimizer_state,
            ).optimizer_state  # fmt: skip
        return network

    ends = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        state = torch.random.get_rng_state()
        ends.append(lived(copy.deepcopy(start), made(name)).state_dict())
        assert torch.equal(torch.random.get_rng_state(), state)
        trained(copy.deepcopy(start), random_task(seed=9), intervention=made(name),
               initial=with_norm(name)(seed=4).state_dict(), whole_task=True)  # fmt: skip
    for tensor_name, tensor in ends[0].items():
        assert torch.equal(tensor, ends[1][tensor_name])
    plain = lived(copy.deepcopy(start), None)
    assert not torch.equal(ends[0]["5.weight"], plain.get_parameter("5.weight"))


_OPTIMIZERS = OPTIMIZERS | EXTRAS


@pytest.mark.parametrize("name", ALL)
def test_a_stream_that_is_saved_after_each_task_goes_on_bit_for_bit(name: str) -> None:
    """A method that takes up its state trains as the one that has given it away."""
    initial = with_norm(name)(seed=3)
    whole, saved = copy.deepcopy(initial), copy.deepcopy(initial)
    method, kept = made(name), None
    optimizers: list[dict[str, Tensor] | None] = [None, None]
    for t in range(3):
        common: dict[str, Any] = {
            "task": random_task(seed=t), "initial": initial.state_dict(), "whole_task": True,
            "optimizer": OPTIMIZERS["adam"],
        }  # fmt: skip
        result = trained(whole, intervention=method, optimizer_state=optimizers[0], **common)
        optimizers[0] = result.optimizer_state
        again = made(name)
        if kept:
            interventions.load_state(name, again, kept, torch.device("cpu"))
        result = trained(saved, intervention=again, optimizer_state=optimizers[1], **common)
        optimizers[1] = result.optimizer_state
        kept = interventions.state_tensors(name, again)
        for tensor_name, tensor in whole.state_dict().items():
            assert torch.equal(tensor, saved.state_dict()[tensor_name]), tensor_name


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None, max_examples=12)
@given(
    optimizer=st.sampled_from(list(_OPTIMIZERS)),
    masked=st.sampled_from(["zero", "freeze"]),
    density=st.floats(0.1, 0.9),
    seed=st.integers(0, 1000),
    carried=st.booleans(),
    whole_task=st.booleans(),
    normed=st.booleans(),
)
def test_pruned_weights_never_move_by_a_single_bit(
    name: str, optimizer: str, masked: str, density: float, seed: int, carried: bool,
    whole_task: bool, normed: bool,
) -> None:  # fmt: skip
    """Under every intervention each is bit for bit 0, or its value before; survivors move."""
    build = with_norm(name) if normed or name == "weight_projection" else small_network
    network = build(seed=seed)
    arguments: dict[str, Any] = {
        "task": random_task(seed=seed), "optimizer": _OPTIMIZERS[optimizer],
        "whole_task": whole_task,
        "initial": build(seed=seed + 1).state_dict(),
    }  # fmt: skip
    state = None
    if carried:
        first = trained(network, epochs=1, intervention=made(name), **arguments)
        state = first.optimizer_state
    before, masks = weights_of(network), random_masks(network, density, seed)
    trained(
        network, masks=masks, masked=masked, optimizer_state=state, intervention=made(name),
        **arguments,
    )  # fmt: skip
    assert_pruned_stay(network, before, masks, masked)
    moved = [
        not torch.equal(w[masks[n]], before[n][masks[n]]) for n, w in weights_of(network).items()
    ]
    # A second reset at the end of a task draws the same weights as the first. A very sparse network
    # may have no survivors, or no path left from its inputs to its outputs.
    is_cut = density < 0.5
    assert any(moved) or is_cut or (name == "reset" and carried and whole_task)
