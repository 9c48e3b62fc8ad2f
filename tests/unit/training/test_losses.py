"""The loss of classification and of regression, by hand; and trainings on a regression task."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from raylot.config import OptimizerOptions, TrainingOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task
from raylot.training import TrainingJob, TrainingResult, check_network, evaluate, train
from raylot.training.engines import train_all
from raylot.training.losses import hits, loss_of

_GENERATOR = torch.Generator().manual_seed(0)
_X = torch.randn(40, 3, generator=_GENERATOR)
#: Linear in the inputs, so that a linear network can meet the targets exactly.
_W = torch.tensor([[1.0, -2.0, 0.5], [0.0, 1.0, 1.0]])
REGRESSION = Task(_X, _X @ _W.T, _X[:10] + 1, (_X[:10] + 1) @ _W.T, classes=None)


def linear() -> nn.Linear:
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    return layer


def trained(network: nn.Module, lr: float = 0.1, **how: Any) -> TrainingResult:
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 10, "engine": "generic"}
    options = OptimizerOptions(optimizer="sgd", lr=lr)
    return train(
        network, REGRESSION, optimizer=options, key=RandomKey((0, "test")), **{**settings, **how}
    )


def test_squared_errors_are_means_over_targets_and_examples() -> None:
    outputs, targets = (
        torch.tensor([[1.0, 2.0], [0.0, 4.0]]),
        torch.tensor([[0.0, 2.0], [1.0, 1.0]]),
    )
    # (1 + 0) / 2 and (1 + 9) / 2
    assert loss_of(REGRESSION, outputs, targets, reduction="none").tolist() == [0.5, 5.0]
    assert float(loss_of(REGRESSION, outputs, targets)) == 2.75
    assert float(loss_of(REGRESSION, outputs, targets, reduction="sum")) == 5.5
    assert hits(REGRESSION, outputs, targets) is None


def test_cross_entropies_of_even_logits_are_log_classes() -> None:
    task = Task(_X, torch.zeros(40).long(), _X, torch.zeros(40).long(), classes=4)
    outputs, labels = torch.zeros(3, 4), torch.tensor([0, 1, 0])
    losses = loss_of(task, outputs, labels, reduction="none")
    assert losses.tolist() == pytest.approx([math.log(4)] * 3)
    # the largest of equal logits is the first
    assert hits(task, outputs, labels) == 2


def test_a_training_measures_losses_and_no_accuracy() -> None:
    network = linear()
    result = trained(network, epochs=40, learning_curve=True)
    assert (result.online_accuracy, result.test_accuracy, result.learning_speed) == (None,) * 3
    assert not result.diverged
    # The first batch's error is the mean square of its targets; it then falls to 0.
    assert 0 < result.train_loss < float(REGRESSION.train_labels.square().mean())
    assert result.test_loss < 1e-4
    assert torch.allclose(network.weight, _W, atol=1e-2)


def test_evaluation_is_the_mean_squared_error_of_the_test_split() -> None:
    found = evaluate(linear(), REGRESSION)
    assert found.accuracy is None
    assert found.loss == pytest.approx(float(REGRESSION.test_labels.square().mean()), rel=1e-6)


def test_a_training_that_diverges_has_no_accuracy_either() -> None:
    result = trained(linear(), lr=100.0, epochs=60)
    assert result.diverged
    assert math.isnan(result.train_loss)
    assert result.test_accuracy is None


def test_the_stacked_engine_refuses_regression() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(OptionError, match=r"engine=stacked: must be auto or generic here, .*"):
        trained(network, engine="stacked")


def test_auto_trains_regression_by_the_fast_engine() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    jobs = [TrainingJob(network, REGRESSION, 1, 10, OptimizerOptions(), RandomKey((0,)))]
    assert train_all(jobs)[0].engine == "fast"


def test_smoothed_targets_are_refused() -> None:
    with pytest.raises(OptionError, match=r"label_smoothing=0\.1: must be 0 for a regression task"):
        TrainingJob(
            linear(), REGRESSION, 1, 10, OptimizerOptions(label_smoothing=0.1), RandomKey((0,))
        )


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_network_has_as_many_outputs_as_targets(outputs: int) -> None:
    with pytest.raises(OptionError, match=r"must return outputs, .* here \(2, 2\)"):
        check_network(nn.Linear(3, outputs), REGRESSION, TrainingOptions())
