"""Continual backpropagation against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from raylot.networks.activations import CReLU
from tests.unit.interventions.trainings import make
from tests.unit.interventions.under_way import step_on, under_way


def _two_units() -> nn.Sequential:
    """On an input x in [0, 12], its hidden units are (x / 2, 6)."""
    network = nn.Sequential(nn.Linear(1, 2), nn.ReLU6(), nn.Linear(2, 2))
    with torch.no_grad():
        network[0].weight.fill_(0.5)
        network[0].bias.copy_(torch.tensor([0.0, 9.0]))
        network[2].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 2.0]]))
        network[2].bias.copy_(torch.tensor([10.0, 20.0]))
    return network


_BATCH = torch.tensor([[2.0], [6.0]])  # the first unit is (1, 3), of mean 2


def test_utility_and_running_means_by_hand() -> None:
    """With a decay of 1/2; both units have a mean |w_out| of 2, the first a |w_in| of 1/2.

    Step 1: f = 1, f' = 1 / (1 - 1/2) = 2, mean|h - f'| = 1, y = 2 x 1 / 0.5 = 4, u = 2.
    Step 2, on (2, 4) of mean 3: f = 0.5 + 1.5 = 2, f' = 2 / 0.75 = 8/3, mean|h - f'| = 1,
    y = 4, u = 1 + 2 = 3.
    The second unit never changes: f' = 6 and y = 0.
    """
    method = make("cbp", cbp_decay=0.5, cbp_rate=0.0)
    with under_way(_two_units(), _BATCH, method) as training:
        step_on(training, method, _BATCH)
        assert method.state_dict()["0/utility"].tolist() == pytest.approx([2, 0], abs=1e-5)
        step_on(training, method, torch.tensor([[4.0], [8.0]]))
    state = method.state_dict()
    assert state["0/age"].tolist() == [2, 2]
    assert state["0/output"].squeeze(0).tolist() == pytest.approx([2, 4.5])
    assert state["0/utility"].tolist() == pytest.approx([3, 0], abs=1e-5)


def test_contribution_by_hand() -> None:
    """Mean|w_out| mean|h| = (2 x 2, 2 x 6), times 1 - 1/2."""
    method = make("cbp", cbp_decay=0.5, cbp_rate=0.0, cbp_utility="contribution")
    with under_way(_two_units(), _BATCH, method) as training:
        step_on(training, method, _BATCH)
    assert method.state_dict()["0/utility"].tolist() == [2, 6]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_mature_unit_of_least_utility_is_replaced_when_one_is_due(optimizer: str) -> None:
    """Two mature units x 1/4 per step: one is due after the second of these steps.

    That is step 3, as units are mature from step 2 on. The next layer's bias takes over the second
    unit's mean output, 6: (10 - 2 x 6, 20 + 2 x 6).
    """
    method, network = make("cbp", cbp_rate=0.25, cbp_maturity=1), _two_units()
    with under_way(network, _BATCH, method, optimizer) as training:
        for step in range(3):
            assert torch.equal(network[2].weight, _two_units()[2].weight), step
            step_on(training, method, _BATCH)
        state = training.optimizer.state[training.flat.vector]
        moments = {name: training.flat.unflatten(value) for name, value in state.items()}
    assert network[2].weight.tolist() == [[1, 0], [3, 0]]
    assert network[2].bias.tolist() == pytest.approx([-2, 32])
    assert network[0].bias.tolist() == [0, 0]  # it was 9
    assert network[0].weight[0].item() == 0.5
    assert 0 < abs(network[0].weight[1].item()) <= 1  # PyTorch's +-1/sqrt(1 input)
    kept = {"age": [3, 0], "output": [[pytest.approx(2 * (1 - 0.99**3)), 0]]}
    for name, values in kept.items():
        assert method.state_dict()[f"0/{name}"].tolist() == values
    expected = {"exp_avg", "exp_avg_sq", "step"} if optimizer == "adam" else {"momentum_buffer"}
    assert moments.keys() == expected
    for values in moments.values():  # Adam's step counts too
        assert values["0.weight"].tolist() == [[5], [0]]
        assert values["0.bias"].tolist() == [5, 0]
        assert values["2.weight"].tolist() == [[5, 0], [5, 0]]
        assert values["2.bias"].tolist() == [5, 5]


def test_many_steps_against_the_published_formula_in_numpy() -> None:
    """Utilities of a layer of 4 units after 50 batches, computed anew in float64."""
    rng = np.random.default_rng(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    method = make("cbp", cbp_rate=0.0, cbp_decay=0.9)
    batches = rng.normal(size=(50, 5, 3))
    with under_way(network, torch.zeros(5, 3), method) as training:
        for batch in batches:
            step_on(training, method, torch.tensor(batch, dtype=torch.float32))
    w, b, v = (p.detach().double().numpy() for p in list(network.parameters())[:3])
    mean, utility = np.zeros(4), np.zeros(4)
    for age, batch in enumerate(batches, start=1):
        hidden = np.tanh(batch @ w.T + b)
        mean = 0.9 * mean + 0.1 * hidden.mean(axis=0)
        change = np.abs(hidden - mean / (1 - 0.9**age)).mean(axis=0)
        y = np.abs(v).mean(axis=0) * change / np.abs(w).mean(axis=1)
        utility = 0.9 * utility + 0.1 * y
    assert method.state_dict()["0/utility"].numpy() == pytest.approx(utility, rel=1e-4)


def test_a_pruned_outgoing_weight_stays_so_the_next_bias_takes_over_nothing_of_it() -> None:
    """Of the outgoing weights (-2, 2) of the second unit, the first alone is live."""
    method, network = make("cbp", cbp_rate=1.0, cbp_maturity=0), _two_units()
    with under_way(network, _BATCH, method) as training:
        live = {n: torch.ones_like(p, dtype=torch.bool) for n, p in network.named_parameters()}
        live["2.weight"][1, 1] = False
        training.live = training.flat.flatten(live)
        step_on(training, method, _BATCH)
    # Both units are replaced; the first one had (1, 3) x 2.
    assert network[2].bias.tolist() == pytest.approx([10 - 12 + 2, 20 + 6], abs=1e-4)


def test_each_half_of_a_crelu_has_a_mean_of_its_own() -> None:
    """On z = (2, -4) the halves are (2, 0) and (0, 4), of means 1 and 2 and mean changes 1 and 2.

    With outgoing weights 3 and 5, y = (3 x 1 + 5 x 2) / 2 and the next bias becomes 10 + 3 + 10.
    """
    network = nn.Sequential(nn.Linear(1, 1), CReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        network[0].weight.fill_(1)
        network[0].bias.fill_(0)
        network[2].weight.copy_(torch.tensor([[3.0, 5.0]]))
        network[2].bias.fill_(10)
    batch = torch.tensor([[2.0], [-4.0]])
    watched = make("cbp", cbp_decay=0.5, cbp_rate=0.0)
    with under_way(network, batch, watched) as training:
        step_on(training, watched, batch)
    assert watched.state_dict()["0/utility"].tolist() == [3.25]
    assert watched.state_dict()["0/output"].tolist() == [[0.5], [1]]
    method = make("cbp", cbp_rate=1.0, cbp_maturity=0)
    with under_way(network, batch, method) as training:
        step_on(training, method, batch)
    assert network[2].bias.item() == pytest.approx(23, abs=1e-4)
    assert network[2].weight.tolist() == [[0, 0]]


def test_each_place_of_a_flattened_channel_counts_by_its_own_weight() -> None:
    """Of the places (2, 0) and (4, 0) only the first gives anything, by its weight of 1."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2, 1))
    with torch.no_grad():
        network[0].weight.fill_(1)
        network[0].bias.fill_(0)
        network[3].weight.copy_(torch.tensor([[1.0, 3.0]]))
    batch = torch.tensor([[2.0, 0.0], [4.0, 0.0]]).view(2, 1, 1, 2)
    method = make("cbp", cbp_decay=0.5, cbp_rate=0.0, cbp_utility="contribution")
    with under_way(network, batch, method) as training:
        step_on(training, method, batch)
    assert method.state_dict()["0/utility"].tolist() == [0.5 * (1 * 3 + 3 * 0) / 2]
