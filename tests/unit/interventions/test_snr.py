"""Self-normalised resets against numbers worked out by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.unit.interventions.trainings import make
from tests.unit.interventions.under_way import step_on, under_way


def _sign() -> nn.Sequential:
    """Its hidden units are (ReLU(x), ReLU(-x)): on each side of 0 the other one is silent."""
    network = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        network[0].bias.zero_()
        network[2].weight.fill_(7)
    return network


def _batch(sign: int) -> Tensor:
    return torch.full((10, 1), float(sign))


def test_ages_and_histograms_by_hand() -> None:
    """Batches of 10: the longest threshold is 8 steps, the first one 4.

    On signs + + + - the second unit is silent for 3 steps, and then fires; the first one falls
    silent in the last step.
    """
    method = make("snr", snr_max_age=80)
    with under_way(_sign(), _batch(1), method) as training:
        for sign in (1, 1, 1, -1):
            step_on(training, method, _batch(sign))
    state = method.state_dict()
    assert state["0/threshold"].tolist() == [4, 4]
    assert state["0/age"].tolist() == [1, 0]
    assert state["0/histogram"].tolist() == [[0] * 8, [0, 0, 1, 0, 0, 0, 0, 0]]


def test_a_unit_is_reset_at_its_threshold() -> None:
    method, network = make("snr", snr_max_age=80), _sign()
    with under_way(network, _batch(1), method) as training:
        for step in range(4):
            assert (network[2].weight == 7).all(), step
            step_on(training, method, _batch(1))
        state = training.optimizer.state[training.flat.vector]
        count, mean = float(state["step"]), training.flat.unflatten(state["exp_avg"])
    assert network[2].weight.tolist() == [[7, 0], [7, 0]]
    assert network[0].weight[0] == 1
    assert network[0].weight[1] != -1
    assert network[0].bias.tolist() == [0, 0]
    assert method.state_dict()["0/age"].tolist() == [0, 0]
    assert method.state_dict()["0/histogram"].tolist() == [[0] * 8, [0, 0, 0, 1, 0, 0, 0, 0]]
    assert count == 5  # Adam's count goes on
    assert mean["2.weight"].tolist() == [[5, 0], [5, 0]]


def test_thresholds_by_hand() -> None:
    """The 0.6 quantile of ages 1, 1, 1, 2, 6 is 1 (share 0.6), and 2 of 1, 1, 2, 2, 3 (0.8).

    An age that is not below the threshold doubles it, here beyond the longest, 8; without ages it
    stays. Every second task sets thresholds.
    """
    method = make("snr", snr_quantile=0.6, snr_every=2)
    histogram = torch.zeros(5, 8, dtype=torch.int32)
    for unit, ages in enumerate([(1, 1, 1, 2, 6), (1, 1, 2, 2, 3), (8,), (4,), ()]):
        for age in ages:
            histogram[unit, age - 1] += 1
    layers = nn.Sequential(nn.Linear(1, 5), nn.ReLU(), nn.Linear(5, 2))
    method.load_state_dict({
        "tasks": 0, "0/age": torch.zeros(5, dtype=torch.int64), "0/histogram": histogram,
        "0/threshold": torch.tensor([4, 4, 5, 3, 7]),
    })  # fmt: skip
    with under_way(layers, _batch(1), method) as training:
        method.on_task_end(training)
        assert method.state_dict()["0/threshold"].tolist() == [4, 4, 5, 3, 7]
        method.on_task_end(training)
    assert method.state_dict()["0/threshold"].tolist() == [1, 2, 8, 6, 7]
    assert not method.state_dict()["0/histogram"].any()
    assert method.state_dict()["tasks"] == 2


def test_a_channel_that_fires_anywhere_fires() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    with torch.no_grad():
        network[0].weight.fill_(1)
        network[0].bias.copy_(torch.tensor([0.0, -9.0]))
    inputs = torch.zeros(3, 1, 2, 2)
    inputs[0, 0, 1, 1] = 1
    method = make("snr")
    with under_way(network, inputs, method) as training:
        step_on(training, method, inputs)
    assert method.state_dict()["0/age"].tolist() == [0, 1]
