"""Each data set, shift, network, intervention and optimizer reads the parameters that it is
declared to use."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from raylot import interventions, networks, tasks
from raylot.config import OptimizerOptions, StreamRun, Study, TicketsRun
from raylot.config.parameters import DECLARED, help_of, parameters, parameters_used
from raylot.datasets import DATASETS
from raylot.foundation.errors import OptionError
from raylot.foundation.names import BUILT_IN
from raylot.foundation.randomness import RandomKey
from raylot.masks.context import MeanGradients, PruningContext
from raylot.masks.criteria import score
from raylot.masks.pruning import full_masks
from raylot.tasks import datasets
from raylot.training.augmentation import Augmentation
from raylot.training.optimizers import build_optimizer
from raylot.training.schedules import rate_factor
from tests.support.tasks import random_task, small_network
from tests.unit.datasets.own_files import write_images, write_npz

#: Built-in names by kind.
NAMES = BUILT_IN | {
    kind: get_args(OptimizerOptions.model_fields[kind].annotation)
    for kind in ("optimizer", "schedule", "augment")
}


class Recorded:
    """Passes on a run's options, and remembers which were read."""

    def __init__(self, run: StreamRun) -> None:
        self._run = run
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self._run, name)


def _make_tasks(options: Any) -> None:
    for t in (0, 1):
        tasks.make_task(datasets.load(options), options, 0, t)


def _look_at_data(options: Any) -> None:
    dataset = DATASETS[options.dataset]
    dataset.facts(options)
    dataset.load(options)


def _take_steps(options: Any) -> None:
    if factor := rate_factor(options, 4):
        factor(3)


def _prune(options: Any) -> None:
    network = small_network()
    masks = full_masks(network)
    every = dict(network.named_parameters())
    context = PruningContext(
        network, network.state_dict(), masks, random_task(), RandomKey((0,)), 8,
        measured=MeanGradients(every, every), options=options,
    )  # fmt: skip
    score(options.criterion, context)


#: Kind -> what builds the chosen one.
BUILD: dict[str, Callable[[Any], object]] = {
    "dataset": _look_at_data,
    "shift": _make_tasks,
    "network": lambda options: networks.build(options, (1, 8, 8), 10, RandomKey((0,))),
    "intervention": interventions.make,
    "optimizer": lambda options: build_optimizer(nn.Parameter(torch.zeros(2)), options, None),
    "schedule": _take_steps,
    "criterion": lambda options: _prune(options),
    "augment": lambda options: Augmentation.drawn(options, RandomKey((0,)), 2, torch.device("cpu")),
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in DECLARED for name in NAMES[kind]]
)
def test_what_is_built_reads_the_parameters_that_it_uses(
    kind: str, name: str, tmp_path: Path
) -> None:
    """Apart from ``period``, which repeats the tasks of any shift (the stationary one's anyway),
    and ``gradual``, which mixes any two."""
    given: dict[str, Any] = {"data_root": tmp_path}
    if name == "npz":
        given["data_file"] = write_npz(tmp_path / "own.npz")
    if name == "image_folder":
        write_images(tmp_path)
    if name == "weight_projection":
        given["norm"] = "layer"
    if name == "optimizer_reset":
        given["carry_optimizer"] = True
    if name == "bit_flipping":
        given["dataset"] = "slowly_changing_regression"
    run = TicketsRun if kind == "criterion" else StreamRun
    recorded = Recorded(run(**{kind: name}, **given))
    with suppress(OptionError, OSError):  # where a data set is not there
        BUILD[kind](recorded)
    used, apart = {*parameters_used(kind, name)}, {"period", "gradual"}
    assert recorded.read & {*parameters(kind)} - apart == used - apart
    assert used & apart == (apart if kind == "shift" and name != "stationary" else set())


def test_only_what_is_built_in_is_declared_to_use_parameters() -> None:
    """A misspelt name would be nobody's."""
    for kind, known in DECLARED.items():
        assert {*known} <= {*NAMES[kind]}
        assert all(parameters_used(kind, name) for name in known)


def test_help_begins_with_what_uses_an_option() -> None:
    for option, begin in (
        ("momentum", "sgd, rmsprop: momentum"),
        ("l2_strength", "l2, l2_init, resampled_init: factor of"),
        ("period", "all but stationary: tasks after which"),
        ("activation", "activation of hidden units"),
        ("examples_per_class", "grasp, snip: training examples"),
        ("image_size", "image_folder: height and width"),
        ("epochs", "passes over"),
    ):
        assert help_of(option, Study.model_fields[option]).startswith(begin)
