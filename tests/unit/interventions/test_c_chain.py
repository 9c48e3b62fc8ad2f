"""C-CHAIN against the published formula in numpy, and what it leaves alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from torch import nn

from raylot.config import OptimizerOptions
from tests.support.tasks import random_task
from tests.unit.interventions.trainings import KEY, make, trained, with_batch_norm

_STEPS = 130
_SGD = OptimizerOptions(optimizer="sgd", lr=1e-3)

#: With pixels up to 1, a strength of 100 is stable at this rate.
_TASK = dataclasses.replace(random_task(), divisor=16)


def _softmax_regression(weights: np.ndarray, share: float) -> np.ndarray:
    """Trains logits x W^T + b, W and b side by side, in float64 for 130 steps of all examples."""
    key = KEY.child("intervention")
    inputs = _TASK.scale(_TASK.train_inputs).double().numpy()
    inputs = np.column_stack([inputs, np.ones(len(inputs))])
    targets = np.eye(3)[_TASK.train_labels.numpy()]
    before = weights
    losses: list[float] = []
    penalties: list[float] = []
    for step in range(_STEPS):
        powers = np.exp(inputs @ weights.T)
        probabilities = powers / powers.sum(1, keepdims=True)
        gradient = (probabilities - targets).T @ inputs / len(inputs)
        strength = 100.0
        if step >= 50:
            strength = share * np.mean(losses[-100:]) / (np.mean(penalties[-100:]) + 1e-8)
        losses.append(-float(np.mean(np.log((probabilities * targets).sum(1)))))
        penalties.append(0.0)
        if step >= 2:
            chosen = key.child("reference", step).generator().integers(len(inputs), size=40)
            reference = inputs[chosen]
            change = reference @ (weights - before).T
            penalties[-1] = float(np.mean(change**2))
            gradient = gradient + strength * 2 * change.T @ reference / change.size
        before, weights = weights, weights - _SGD.lr * gradient
    return weights


@pytest.mark.parametrize("share", [0.0, 1e-4, 3e-4])
def test_c_chain_by_the_published_formula(share: float) -> None:
    """A strength of 100 for 50 steps, and then the share of the loss over the last 100."""
    network = nn.Linear(6, 3)
    network.load_state_dict({
        name: parameter.detach() for name, parameter in with_batch_norm()[5].named_parameters()
    })  # fmt: skip
    start = np.column_stack([network.weight.detach(), network.bias.detach()]).astype(np.float64)
    trained(
        network, _TASK, epochs=_STEPS, batch_size=40, optimizer=_SGD,
        intervention=make("c_chain", churn_share=share),
    )  # fmt: skip
    end = np.column_stack([network.weight.detach(), network.bias.detach()])
    moved = np.abs(end - start).max()
    assert np.abs(end - _softmax_regression(start, share)).max() < 1e-4 * moved
    assert np.abs(end - _softmax_regression(start, share + 1e-4)).max() > 5e-3 * moved


def test_the_reference_batch_leaves_batch_normalisation_alone() -> None:
    """Six steps update its statistics six times, and afterwards it is in training mode again."""
    network = with_batch_norm()
    trained(network, intervention=make("c_chain"))
    assert network[2].num_batches_tracked == 6
    assert all(module.training for module in network.modules())
