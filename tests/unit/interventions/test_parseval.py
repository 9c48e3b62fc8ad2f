"""Parseval regularisation by hand, and against the published formula in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from tests.support.tasks import random_task, small_network
from tests.unit.interventions.trainings import make, trained, with_batch_norm
from tests.unit.training.networks import random_masks


def _gradient(weight: torch.Tensor, scale: float) -> np.ndarray:
    """(64 / rows)^2 x 4 (W W^T - scale I) W, in float64."""
    rows = weight.detach().double().flatten(1).numpy()
    excess = rows @ rows.T - scale * np.eye(len(rows))
    return (64 / len(rows)) ** 2 * 4 * excess @ rows


def _hidden(network: nn.Module) -> torch.Tensor:
    return network.get_parameter("0.weight").detach()


_ONE_STEP: dict[str, Any] = {
    "epochs": 1, "batch_size": 40, "optimizer": OptimizerOptions(optimizer="sgd", lr=1e-3),
}  # fmt: skip


@pytest.mark.parametrize("build", [small_network, with_batch_norm])
def test_parseval_by_the_published_formula(build: Any) -> None:
    """The term takes the hidden layer alone; a kernel counts as one row of its channel."""
    start, plain, regularised = build(), build(), build()
    method = make("parseval", parseval_strength=0.01, parseval_scale=1.5)
    trained(plain, **_ONE_STEP)
    trained(regularised, intervention=method, **_ONE_STEP)
    names = [name for name, p in start.named_parameters() if p.dim() > 1]
    difference = {
        name: (p - regularised.get_parameter(name)).detach() for name, p in plain.named_parameters()
    }
    expected = 1e-3 * 0.01 * _gradient(start.get_parameter(names[0]), 1.5)
    assert difference[names[0]].flatten(1).numpy() == pytest.approx(expected, rel=1e-2, abs=1e-6)
    assert not any(part.any() for name, part in difference.items() if name != names[0])


def test_parseval_by_hand() -> None:
    """Rows (2, 0) and (0, 1) with scale 1: W W^T - I = diag(3, 0), and only the first row moves.

    (64 / 2)^2 x 4 x 3 x 2 = 24576, of which the step takes 1e-3 x 0.01. The output layer is 0, so
    the cross-entropy leaves the hidden one alone.
    """
    network = small_network(pixels=2, hidden=2)
    network.load_state_dict({
        "0.weight": torch.tensor([[2.0, 0.0], [0.0, 1.0]]), "0.bias": torch.zeros(2),
        "2.weight": torch.zeros(3, 2), "2.bias": torch.zeros(3),
    })  # fmt: skip
    method = make("parseval", parseval_strength=0.01, parseval_scale=1)
    trained(network, random_task(pixels=2), intervention=method, **_ONE_STEP)
    expected = torch.tensor([[2 - 0.24576, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(network.get_parameter("0.weight").detach(), expected)


def test_orthogonal_rows_of_the_right_length_stay() -> None:
    regularised, plain = small_network(hidden=4), small_network(hidden=4)
    for network in (regularised, plain):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            nn.init.orthogonal_(network.get_parameter("0.weight"), gain=2**0.5)
    trained(regularised, intervention=make("parseval"), **_ONE_STEP)
    trained(plain, **_ONE_STEP)
    torch.testing.assert_close(_hidden(regularised), _hidden(plain))


def test_frozen_weights_count_as_the_network_computes_with_them() -> None:
    start, plain, regularised = (small_network() for _ in range(3))
    masks = random_masks(start, 0.5)
    masked = {"masks": masks, "masked": "freeze", **_ONE_STEP}
    trained(plain, **masked)
    trained(regularised, intervention=make("parseval", parseval_strength=0.01), **masked)
    difference = _hidden(plain) - _hidden(regularised)
    expected = 1e-5 * _gradient(_hidden(start), 2) * masks["0.weight"].numpy()
    assert difference.numpy() == pytest.approx(expected, rel=1e-2, abs=1e-6)


def test_a_network_of_one_layer_is_refused() -> None:
    with pytest.raises(OptionError) as caught:
        make("parseval").check(nn.Linear(2, 2))
    assert str(caught.value) == (
        "intervention=parseval: must go with a network of two or more linear or convolution "
        "layers, as it leaves the last one out"
    )
