"""A bare step is the optimizer's own step, to the last bit, whatever a method does to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

from raylot.config import OptimizerOptions
from raylot.training.optimizers import bare_step, build_optimizer
from tests.unit.training.optimizers import FAST, OPTIMIZERS


def _forget(stepper: torch.optim.Optimizer) -> None:
    stepper.state.clear()


def _take_up(stepper: torch.optim.Optimizer) -> None:
    stepper.load_state_dict(stepper.state_dict())


def _change(stepper: torch.optim.Optimizer) -> None:
    for group in stepper.param_groups:
        group |= {"lr": 0.02, "weight_decay": 0.3, "maximize": True}
        if "betas" in group:
            group |= {"betas": (0.5, 0.6), "eps": 0.1}


def _keep_the_largest(stepper: torch.optim.Optimizer) -> None:
    _forget(stepper)
    stepper.param_groups[0]["amsgrad"] = True


def _move_another(stepper: torch.optim.Optimizer) -> None:
    other = nn.Parameter(torch.ones(3))
    other.grad = torch.ones(3)
    stepper.add_param_group({"params": [other]})


@pytest.mark.parametrize(
    "change",
    [_forget, _take_up, _change, _keep_the_largest, _move_another],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("optimizer", FAST)
def test_bare_steps(optimizer: str, change: Callable[[torch.optim.Optimizer], None]) -> None:
    options: OptimizerOptions = OPTIMIZERS[optimizer]
    ends = []
    for is_bare in (False, True):
        vector = nn.Parameter(torch.linspace(-1, 1, 50))
        stepper = build_optimizer(vector, options, None)
        step = bare_step(stepper) if is_bare else stepper.step
        for number in range(6):
            vector.grad = torch.sin(vector.detach() * (number + 2))
            if number == 3:
                change(stepper)
            step()
        ends.append([p for group in stepper.param_groups for p in group["params"]])
    for own, bare in zip(*ends, strict=True):
        assert torch.equal(own, bare)
        assert not torch.equal(own, torch.ones_like(own))


_TRAIN_ALL = """
import sys
import torch
from torch import nn
from raylot.training.optimizers import build_optimizer
from tests.unit.training.agreement import TASKS, network_for, trained
from tests.unit.training.optimizers import OPTIMIZERS
task = TASKS["6 pixels, 3 classes"]()
vector = nn.Parameter(torch.ones(3))
for options in OPTIMIZERS.values():
    build_optimizer(vector, options, None, counts_per_weight=True)
    for engine in ("generic", "fast"):
        trained(engine, network_for(task, 8), task, optimizer=options)
print("torch._dynamo" in sys.modules)
"""


def test_training_does_not_wait_for_torch_compile() -> None:
    done = subprocess.run([sys.executable, "-c", _TRAIN_ALL], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_an_optimizer_keeps_what_torch_compile_has_made_of_a_method() -> None:
    method = torch.optim.Optimizer.add_param_group.__wrapped__  # type: ignore[attr-defined]
    vector = nn.Parameter(torch.ones(3))
    torch.optim.Adam([vector])
    made = getattr(method, "__dynamo_disable")
    build_optimizer(vector, OPTIMIZERS["adam"], None)
    assert getattr(method, "__dynamo_disable") is made is not method
