"""Interventions: closed forms of each, exactly the units they name, and pruned weights hold."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn import functional as F

from raylot import interventions, networks
from raylot.config import InterventionOptions, NetworkOptions, OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.names import BUILT_IN
from raylot.foundation.randomness import RandomKey
from raylot.interventions.methods import INTERVENTIONS, dormant_by_layer
from raylot.networks.prunable import prunable_weights
from raylot.tasks import Task
from raylot.training import Intervention, Training, TrainingResult, train
from raylot.training.flat import FlatParameters
from tests.support.tasks import random_task, small_network

_KEY = RandomKey((0, "test"))
#: Steps this small change no weight by a single bit.
_STANDING_STILL = OptimizerOptions(optimizer="sgd", lr=1e-30)


def _make(name: str, **options: Any) -> Intervention:
    # Not checked: numbers that are easy to follow are too large to be of use.
    changed = InterventionOptions().model_copy(update={"intervention": name, **options})
    made = interventions.make(changed)
    assert made is not None
    return made


def _train(network: nn.Module, task: Task | None = None, **arguments: Any) -> TrainingResult:
    """Two epochs of three steps each, unless arguments say otherwise.

    By one engine, as trainings with and without an intervention are compared bit for bit.
    """
    defaults: dict[str, Any] = {
        "epochs": 2, "batch_size": 16, "optimizer": OptimizerOptions(lr=0.01), "key": _KEY,
        "engine": "generic",
    }  # fmt: skip
    return train(network, task or random_task(), **{**defaults, **arguments})


def _vector(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().view(torch.int32)


def test_every_name_of_the_configuration_has_its_method() -> None:
    assert {"none", *INTERVENTIONS} == set(BUILT_IN["intervention"])
    assert interventions.make(InterventionOptions()) is None


# ------------------------------------------------------------------ regularisation


def _step_without_inputs(intervention: Intervention, **arguments: Any) -> nn.Linear:
    """One step of SGD, lr 0.1, of weights 3 and biases 1, on inputs of 0 with label 0.

    The loss has gradient 0 at the weights, and at the biases softmax - target = (-0.5, 0.5).
    """
    zeros, labels = torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)
    network = nn.Linear(2, 2)
    nn.init.constant_(network.weight, 3)
    nn.init.ones_(network.bias)
    _train(
        network, Task(zeros, labels, zeros, labels, 2), epochs=1, intervention=intervention,
        optimizer=OptimizerOptions(optimizer="sgd", lr=0.1), **arguments,
    )  # fmt: skip
    return network


def test_l2_by_hand() -> None:
    network = _step_without_inputs(_make("l2", l2_strength=0.25))
    # 3 - 0.1 * 2 * 0.25 * 3;  1 - 0.1 * (-0.5 + 2 * 0.25 * 1), 1 - 0.1 * (0.5 + 0.5)
    torch.testing.assert_close(network.weight.detach(), torch.full((2, 2), 2.85))
    torch.testing.assert_close(network.bias.detach(), torch.tensor([1.0, 0.9]))


def test_l2_init_by_hand() -> None:
    """Weights are drawn to where their life began, not to where this training starts."""
    initial = {"weight": torch.ones(2, 2), "bias": torch.tensor([0.0, 2.0])}
    network = _step_without_inputs(_make("l2_init", l2_strength=0.25), initial=initial)
    # 3 - 0.1 * 2 * 0.25 * (3 - 1);  1 - 0.1 * (-0.5 + 0.5 * 1), 1 - 0.1 * (0.5 + 0.5 * -1)
    torch.testing.assert_close(network.weight.detach(), torch.full((2, 2), 2.9))
    torch.testing.assert_close(network.bias.detach(), torch.tensor([1.0, 1.0]))


def test_l2_init_needs_to_know_the_beginning() -> None:
    with pytest.raises(ValueError, match=r"^initial: must be given"):
        _step_without_inputs(_make("l2_init"))


@pytest.mark.parametrize("options", [{"momentum": 0.0}, {"momentum": 0.9}])
def test_l2_is_twice_torchs_weight_decay(options: dict[str, float]) -> None:
    """So is l2_init from the origin."""
    regularised, drawn, decayed, plain = (small_network() for _ in range(4))
    sgd = OptimizerOptions(optimizer="sgd", lr=0.01, **options)
    origin = {name: torch.zeros_like(p) for name, p in drawn.named_parameters()}
    _train(regularised, optimizer=sgd, intervention=_make("l2", l2_strength=0.5))
    _train(drawn, optimizer=sgd, intervention=_make("l2_init", l2_strength=0.5), initial=origin)
    _train(decayed, optimizer=sgd.model_copy(update={"weight_decay": 1.0}))
    _train(plain, optimizer=sgd)
    torch.testing.assert_close(_vector(regularised), _vector(decayed))
    torch.testing.assert_close(_vector(drawn), _vector(decayed))
    assert not torch.allclose(_vector(plain), _vector(decayed), rtol=1e-3)


def test_the_loss_reported_is_that_of_the_task() -> None:
    plain = _train(small_network(), optimizer=_STANDING_STILL)
    regularised = _train(
        small_network(), optimizer=_STANDING_STILL, intervention=_make("l2", l2_strength=100)
    )
    assert regularised.train_loss == plain.train_loss


# ------------------------------------------------------------------ shrink and perturb


def _perturbed(shrink: float, perturb: float, *, seed: int = 0, **arguments: Any) -> Tensor:
    every = arguments.pop("every", "task")
    network = small_network(seed=seed)
    method = _make("shrink_and_perturb", shrink=shrink, perturb=perturb, perturb_every=every)
    _train(network, intervention=method, **{"whole_task": True, **arguments})
    return _vector(network)


def test_shrink_and_perturb_after_a_task() -> None:
    """shrink x trained + perturb x fresh, where fresh is what shrink 0 and perturb 1 leave."""
    trained = small_network()
    plain = _train(trained)
    fresh = _perturbed(0, 1)
    torch.testing.assert_close(_perturbed(0.75, 0.5), 0.75 * _vector(trained) + 0.5 * fresh)
    measured = _train(small_network(), intervention=_make("shrink_and_perturb"), whole_task=True)
    assert measured.test_loss == plain.test_loss  # evaluated before


def test_what_perturbs_is_an_initialisation_that_the_key_alone_decides() -> None:
    fresh = _perturbed(0, 1)
    assert torch.equal(fresh, _perturbed(0, 1))
    assert torch.equal(fresh, _perturbed(0, 1, seed=7))
    assert not torch.equal(fresh, _perturbed(0, 1, key=_KEY.child("next task")))
    # PyTorch draws uniformly from +-1/sqrt(inputs): 6 x 8 weights and 8 biases, then 8 x 3 and 3
    first, second = fresh[:56] * 6**0.5, fresh[56:] * 8**0.5
    for part in (first, second):
        assert 0.5 < part.abs().max() <= 1
        assert part.abs().mean() == pytest.approx(0.5, abs=0.15)


def test_shrink_and_perturb_after_each_step_is_a_geometric_series() -> None:
    """w_n = shrink^n w_0 + perturb x sum over i of shrink^(n - i) fresh_i."""
    start = _vector(small_network())
    arguments: dict[str, Any] = {"optimizer": _STANDING_STILL, "every": "step"}
    fresh = [_perturbed(0, 1, max_steps=i, **arguments) for i in (1, 2, 3)]
    assert len({tuple(f.tolist()) for f in fresh}) == 3
    expected = 0.5**3 * start + 0.1 * (0.25 * fresh[0] + 0.5 * fresh[1] + fresh[2])
    torch.testing.assert_close(_perturbed(0.5, 0.1, max_steps=3, **arguments), expected)
    torch.testing.assert_close(_perturbed(0.5, 0, **arguments), 0.5**6 * start)


def test_batch_norm_is_shrunk_and_perturbed_as_other_parameters_but_its_statistics_stay() -> None:
    trained, perturbed = _with_batch_norm(), _with_batch_norm()
    _train(trained)
    _train(perturbed, whole_task=True,
           intervention=_make("shrink_and_perturb", shrink=0.5, perturb=0.1))  # fmt: skip
    gain, bias = trained.get_parameter("2.weight"), trained.get_parameter("2.bias")
    torch.testing.assert_close(perturbed.get_parameter("2.weight"), 0.5 * gain + 0.1)
    torch.testing.assert_close(perturbed.get_parameter("2.bias"), 0.5 * bias)
    for before, after in zip(trained.buffers(), perturbed.buffers(), strict=True):
        assert torch.equal(before, after)


# ------------------------------------------------------------------ ReDo


@contextlib.contextmanager
def _under_way(
    network: nn.Module, inputs: Tensor, optimizer: str = "adam", step: int = 100
) -> Iterator[Training]:
    """A training that has taken some steps, with an optimizer whose moments are all 5."""
    labels = torch.zeros(len(inputs), dtype=torch.int64)
    with FlatParameters(network) as flat:
        stepper: torch.optim.Optimizer
        if optimizer == "adam":
            stepper = torch.optim.Adam([flat.vector], fused=True)
        else:
            stepper = torch.optim.SGD([flat.vector], lr=0.1, momentum=0.9)
        with torch.no_grad():
            before = flat.vector.clone()
            stepper.step()
            flat.vector.copy_(before)
            for value in stepper.state[flat.vector].values():
                value.fill_(5)
        task = Task(inputs, labels, inputs, labels, 2)
        yield Training(network, task, flat, stepper, _KEY, step=step, inputs=inputs)


def _recycled(
    network: nn.Module, inputs: Tensor, *, optimizer: str = "adam", step: int = 100, **options: Any
) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]], float]:
    """The network's state after ReDo, the optimizer's moments per parameter, its step count."""
    network = copy.deepcopy(network)
    with _under_way(network, inputs, optimizer, step) as training:
        _make("redo", **options).after_step(training)
        state = dict(training.optimizer.state[training.flat.vector])
        count = float(state.pop("step", torch.tensor(-1.0)))
        moments = {name: training.flat.unflatten(value) for name, value in state.items()}
        tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return tensors, moments, count


def _hand_built() -> nn.Sequential:
    """On inputs (1, 1) its first hidden layer is (2, 0, 2, 0.02): one dead, one dormant unit.

    Their mean is 1.005, and 0.02 < 0.025 x 1.005; in the second layer all units are alike.
    """
    network = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(),
                            nn.Linear(3, 2))  # fmt: skip
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1)
        network[0].weight.copy_(torch.tensor([[1.0, 1], [1, 1], [1, 1], [0.01, 0.01]]))
        network[0].bias.copy_(torch.tensor([0.0, -9, 0, 0]))
    return network


_ONES = torch.ones(5, 2)


def _all_dead() -> nn.Sequential:
    """In a network that is silent altogether all units are dormant."""
    network = _hand_built()
    for layer in (0, 2):
        nn.init.constant_(network[layer].bias, -99)
    return network


def test_dormant_units_by_hand() -> None:
    found = dormant_by_layer(_hand_built(), _ONES, 0.025)
    assert {layer: units.tolist() for layer, units in found.items()} == {
        "0": [False, True, False, True], "2": [False, False, False],
    }  # fmt: skip
    assert dormant_by_layer(_hand_built(), _ONES, 0.0)["0"].tolist() == [False, True, False, False]
    assert dormant_by_layer(_all_dead(), _ONES, 0.0)["2"].all()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_redo_recycles_exactly_the_dormant_units(optimizer: str) -> None:
    fresh, _, _ = _recycled(_all_dead(), _ONES)
    after, moments, count = _recycled(_hand_built(), _ONES, optimizer=optimizer)

    expected = {name: tensor.clone() for name, tensor in _hand_built().state_dict().items()}
    unit = torch.tensor([False, True, False, True])
    for name in ("0.weight", "0.bias"):
        expected[name][unit] = fresh[name][unit]
        assert (fresh[name].abs() <= 0.5**0.5).all()  # PyTorch's +-1/sqrt(2 inputs)
        assert not torch.isin(fresh[name], _hand_built().state_dict()[name]).any()
    expected["2.weight"][:, unit] = 0
    for name, tensor in expected.items():
        assert torch.equal(after[name], tensor), name

    reset = {name: torch.zeros_like(t, dtype=torch.bool) for name, t in expected.items()}
    reset["0.weight"][unit] = reset["0.bias"][unit] = True
    reset["2.weight"][:, unit] = True
    assert moments.keys() == ({"exp_avg", "exp_avg_sq"} if count >= 0 else {"momentum_buffer"})
    for values in moments.values():
        for name, moment in values.items():
            assert torch.equal(moment, torch.where(reset[name], 0.0, 5.0)), name
    assert count == (0 if optimizer == "adam" else -1)


def test_a_recycled_unit_feeds_nothing_even_if_what_it_feeds_is_recycled() -> None:
    network = _hand_built()
    nn.init.constant_(network[2].bias, -99)
    after, _, _ = _recycled(network, _ONES)
    assert (after["2.weight"][:, [1, 3]] == 0).all()
    assert (after["2.weight"][:, [0, 2]].abs() <= 0.5).all()  # fresh: +-1/sqrt(4 inputs)
    assert (after["4.weight"] == 0).all()


@pytest.mark.parametrize(
    ("step", "options"),
    [(100, {"redo_threshold": 0.0}), (101, {}), (100, {"redo_interval": 30})],
    ids=["no unit is dormant", "between intervals", "another interval"],
)
def test_redo_leaves_all_as_it_is(step: int, options: dict[str, Any]) -> None:
    network = _hand_built()
    if options.get("redo_threshold") == 0:
        nn.init.ones_(network[0].bias)
    after, moments, count = _recycled(network, _ONES, step=step, **options)
    for name, tensor in network.state_dict().items():
        assert torch.equal(after[name], tensor)
    assert count == 5
    assert all(bool((m == 5).all()) for values in moments.values() for m in values.values())


def test_fresh_weights_differ_from_step_to_step() -> None:
    first, _, _ = _recycled(_hand_built(), _ONES)
    same, _, _ = _recycled(_hand_built(), _ONES)
    later, _, _ = _recycled(_hand_built(), _ONES, step=200)
    assert torch.equal(first["0.weight"], same["0.weight"])
    assert not torch.equal(first["0.weight"][1], later["0.weight"][1])


def test_a_channel_feeds_all_its_places_once_flattened() -> None:
    """Two channels of 2 x 2, then 8 inputs, channel by channel."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1)
        network[0].bias[1] = -9
    after, _, _ = _recycled(network, torch.ones(3, 1, 2, 2))
    assert torch.equal(after["3.weight"], torch.tensor([1.0, 1, 1, 1, 0, 0, 0, 0]).expand(3, 8))
    assert after["0.weight"].flatten()[0] == 1
    assert after["0.weight"].flatten()[1] != 1
    assert after["0.bias"][0] == 1
    assert after["0.bias"][1] != -9


def test_a_channel_feeds_the_next_convolution() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 2), nn.ReLU(),
                            nn.Flatten(), nn.Linear(2, 2))  # fmt: skip
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1)
        network[0].bias[0] = -9
    after, _, _ = _recycled(network, torch.ones(3, 1, 2, 2))
    assert (after["2.weight"][:, 0] == 0).all()
    assert (after["2.weight"][:, 1] == 1).all()


def test_a_channel_that_its_norm_keeps_silent_starts_anew_with_it() -> None:
    """New incoming weights alone would not help: batch norm cancels their size."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2), nn.ReLU(),
                            nn.Flatten(), nn.Linear(8, 3))  # fmt: skip
    with torch.no_grad():
        network[1].weight.fill_(3)
        network[1].bias.copy_(torch.tensor([4.0, -99]))
        network[1].running_mean.fill_(0.5)
        network[1].running_var.fill_(2)
    after, moments, _ = _recycled(network, torch.ones(3, 1, 2, 2))
    assert after["1.weight"].tolist() == [3, 1]
    assert after["1.bias"].tolist() == [4, 0]
    assert after["1.running_mean"].tolist() == [0.5, 0]
    assert after["1.running_var"].tolist() == [2, 1]
    assert moments["exp_avg"]["1.weight"].tolist() == [5, 0]
    assert moments["exp_avg_sq"]["1.bias"].tolist() == [5, 0]


@pytest.mark.parametrize(
    "options",
    [
        {"network": "mlp", "hidden": (6, 5)},
        {"network": "lenet"},
        {"network": "vgg", "width": 2, "norm": "batch"},
        {"network": "vgg", "width": 2, "norm": "layer"},
    ],
    ids=str,
)
def test_all_chains_that_the_configuration_builds_can_be_recycled(options: dict[str, Any]) -> None:
    """With threshold 1 at least the least active unit of each hidden layer is recycled."""
    network = networks.build(NetworkOptions.checked(**options), (1, 8, 8), 3, _KEY)
    inputs = torch.rand(4, 1, 8, 8)
    dormant = dormant_by_layer(network, inputs, 1.0)
    after, _, _ = _recycled(network, inputs, redo_threshold=1)
    names = list(prunable_weights(network))
    for name, following in itertools.pairwise(names):
        units = dormant[name.removesuffix(".weight")]
        assert units.any()
        silent = (after[following].reshape(len(after[following]), len(units), -1) == 0).all(dim=2)
        assert torch.equal(silent.all(dim=0), units), following


class _Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(2, 3), nn.Linear(3, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.output(F.relu(self.hidden(inputs)))  # type: ignore[no-any-return]


class _Doubled(nn.Sequential):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * 2  # type: ignore[no-any-return]


def _without_activation() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def _used_twice() -> nn.Module:
    shared = nn.Linear(2, 2)
    return nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(2, 2))


def _frozen(layer: int) -> nn.Module:
    network = _hand_built()
    network[layer].requires_grad_(False)
    return network


def _grouped() -> nn.Module:
    """Each channel of the first convolution feeds one of the second."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 1, 2)), nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1, groups=2),
        nn.ReLU(), nn.Flatten(), nn.Linear(4, 2),
    )  # fmt: skip


def _gated() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.GLU(), nn.Linear(2, 2))


@pytest.mark.parametrize(
    "build",
    [_Functional, lambda: _Doubled(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)),
     _without_activation, _used_twice, _gated, _grouped, lambda: _frozen(2), lambda: _frozen(4)],
)  # fmt: skip
def test_redo_refuses_networks_whose_units_feed_it_knows_not_what(build: Any) -> None:
    with pytest.raises(OptionError, match=r"^intervention=redo: must go with a network that is a"):
        _recycled(build(), _ONES)


class _Keeping(nn.Sequential):
    """Keeps its latest outputs, which PyTorch does not copy."""

    def forward(self, inputs: Tensor) -> Tensor:
        self.latest = super().forward(inputs)
        return self.latest


@pytest.mark.parametrize("name", ["shrink_and_perturb", "reset"])
def test_a_network_may_keep_its_outputs(name: str) -> None:
    keeping, plain = _Keeping(*small_network()), small_network()  # type: ignore[misc]
    for network in (keeping, plain):
        _train(network, intervention=_make(name, perturb_every="step"), whole_task=True)
    assert torch.equal(_bits(_vector(keeping)), _bits(_vector(plain)))


@pytest.mark.parametrize("mode", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_looking_for_dormant_units_leaves_the_network_as_it_is(mode: bool, frozen: bool) -> None:
    network = _with_batch_norm().train(mode)
    network.get_submodule("2").train(mode and not frozen)
    modes = [module.training for module in network.modules()]
    before = copy.deepcopy(network.state_dict())
    dormant_by_layer(network, torch.rand(4, 6), 0.1)
    assert [module.training for module in network.modules()] == modes
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_redo_refuses_shortcuts() -> None:
    network = networks.build(
        NetworkOptions(network="resnet", width=2), (1, 8, 8), 3, RandomKey((0, "network"))
    )
    with pytest.raises(OptionError, match=r"^intervention=redo"):
        _recycled(network, torch.rand(4, 1, 8, 8))


# ------------------------------------------------------------------ reset


def _with_batch_norm(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Unflatten(1, (1, 2, 3)),
            nn.Conv2d(1, 3, 2, bias=False),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(6, 3),
        )


def _reset(seed: int, key: RandomKey = _KEY) -> tuple[dict[str, Tensor], TrainingResult]:
    network = _with_batch_norm(seed)
    result = _train(network, key=key, intervention=_make("reset"), whole_task=True)
    return network.state_dict(), result


def test_reset_leaves_a_fresh_network_and_optimizer() -> None:
    """Nothing of the network before is left, statistics of batch norm included."""
    first, result = _reset(0)
    same, _ = _reset(1)
    next_task, _ = _reset(0, _KEY.child("next task"))
    for name, tensor in first.items():
        assert torch.equal(tensor, same[name]), name
    for name in ("1.weight", "5.weight", "5.bias"):
        assert not torch.equal(first[name], next_task[name])
        assert 0 < first[name].abs().max() <= (0.5 if name == "1.weight" else 6**-0.5)
    assert first["2.weight"].tolist() == [1, 1, 1]
    assert first["2.bias"].tolist() == first["2.running_mean"].tolist() == [0, 0, 0]
    assert first["2.running_var"].tolist() == [1, 1, 1]
    assert first["2.num_batches_tracked"] == 0
    assert result.steps == 6
    assert all(bool((tensor == 0).all()) for tensor in result.optimizer_state.values())


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


@pytest.mark.parametrize("name", ["reset", "shrink_and_perturb", "redo"])
def test_a_network_that_cannot_be_initialised_anew_is_refused_before_it_is_trained(
    name: str,
) -> None:
    network = _Scaled()
    with pytest.raises(OptionError) as caught:
        _train(network, intervention=_make(name), whole_task=True)
    assert str(caught.value) == (
        f"intervention={name}: must go with a network that can be initialised anew; here _Scaled "
        "has no reset_parameters() that draws its scale anew"
    )
    assert network.calls == 0


# ------------------------------------------------------------------ all of them


@pytest.mark.parametrize("name", ["reset", "shrink_and_perturb"])
def test_what_acts_between_tasks_does_nothing_within_a_search(name: str) -> None:
    plain, searched, lived = small_network(), small_network(), small_network()
    _train(plain)
    _train(searched, intervention=_make(name))
    _train(lived, intervention=_make(name), whole_task=True)
    assert torch.equal(_bits(_vector(searched)), _bits(_vector(plain)))
    assert not torch.equal(_vector(lived), _vector(plain))


_ALL: dict[str, Intervention] = {
    "l2": _make("l2", l2_strength=0.1),
    "l2_init": _make("l2_init", l2_strength=0.1),
    "shrink_and_perturb per task": _make("shrink_and_perturb"),
    "shrink_and_perturb per step": _make("shrink_and_perturb", perturb_every="step", shrink=0.995),
    "redo": _make("redo", redo_threshold=0.6, redo_interval=2),
    "reset": _make("reset"),
}


@pytest.mark.parametrize("name", _ALL)
def test_the_key_alone_decides_and_nothing_leaks_into_the_next_training(name: str) -> None:
    """The same object serves many trainings; the global random state is left alone."""
    start = _with_batch_norm(seed=3)
    trained = []
    for global_seed in (1, 2):
        network = copy.deepcopy(start)
        torch.manual_seed(global_seed)
        state = torch.random.get_rng_state()
        _train(network, intervention=_ALL[name], initial=start.state_dict(), whole_task=True)
        assert torch.equal(torch.random.get_rng_state(), state)
        trained.append(network.state_dict())
        _train(copy.deepcopy(start), random_task(seed=9), intervention=_ALL[name],
               initial=_with_batch_norm(seed=4).state_dict(), whole_task=True)  # fmt: skip
    for tensor_name, tensor in trained[0].items():
        assert torch.equal(tensor, trained[1][tensor_name])
    plain = copy.deepcopy(start)
    _train(plain)
    assert not torch.equal(trained[0]["5.weight"], plain.get_parameter("5.weight"))


_OPTIMIZERS = {
    "adam": OptimizerOptions(lr=0.01, weight_decay=0.1),
    "sgd": OptimizerOptions(optimizer="sgd", lr=0.01),
    "sgd with momentum": OptimizerOptions(optimizer="sgd", lr=0.01, momentum=0.9, weight_decay=0.1),
}


@pytest.mark.parametrize("name", _ALL)
@settings(deadline=None, max_examples=12)
@given(
    optimizer=st.sampled_from(list(_OPTIMIZERS)),
    masked=st.sampled_from(["zero", "freeze"]),
    density=st.floats(0.1, 0.9),
    seed=st.integers(0, 1000),
    carried=st.booleans(),
    whole_task=st.booleans(),
    build=st.sampled_from([small_network, _with_batch_norm]),
)
def test_pruned_weights_never_move_by_a_single_bit(
    name: str, optimizer: str, masked: str, density: float, seed: int, carried: bool,
    whole_task: bool, build: Any,
) -> None:  # fmt: skip
    """Under every intervention each is bit for bit 0, or its value before; survivors move."""
    network = build(seed=seed)
    arguments: dict[str, Any] = {
        "task": random_task(seed=seed), "optimizer": _OPTIMIZERS[optimizer],
        "intervention": _ALL[name], "whole_task": whole_task,
        "initial": build(seed=seed + 1).state_dict(),
    }  # fmt: skip
    state = _train(network, epochs=1, **arguments).optimizer_state if carried else None
    before = {n: w.detach().clone() for n, w in prunable_weights(network).items()}
    generator = torch.Generator().manual_seed(seed + 1_000_000)
    masks = {n: torch.rand(w.shape, generator=generator) < density for n, w in before.items()}
    _train(network, masks=masks, masked=masked, optimizer_state=state, **arguments)
    for weight_name, weight in prunable_weights(network).items():
        pruned = ~masks[weight_name]
        fixed = before[weight_name] if masked == "freeze" else torch.zeros_like(weight)
        assert torch.equal(_bits(weight)[pruned], _bits(fixed)[pruned])
    moved = [
        not torch.equal(w[masks[n]], before[n][masks[n]])
        for n, w in prunable_weights(network).items()
    ]
    # A second reset at the end of a task draws the same weights as the first.
    assert any(moved) or (name == "reset" and carried and whole_task)
