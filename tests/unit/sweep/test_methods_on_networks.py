"""Interventions are asked about the networks of all runs before a sweep starts anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raylot import plugins
from raylot.command.studies import StudyKind, run_study
from raylot.config import StreamRun
from raylot.foundation.names import BUILT_IN
from raylot.sweep.methods_on_networks import check_methods_on_networks
from raylot.sweep.space import study_spaces
from tests.support.progress import without_progress
from tests.unit.config.refused import refusal


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No test here sees another's plugins."""
    plugins.forget()
    yield
    plugins.forget()


_PLUGIN = """
from torch import nn
from raylot import plugins
from raylot.training import Intervention

built = []

@plugins.network("shallow")
def shallow(input_shape, options, classes):
    built.append(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

@plugins.intervention("failing")
class Failing(Intervention):
    def check(self, network):
        return network.no_such_layer
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A file with a network of one layer, and a method that fails on all."""
    file = tmp_path / "shallow.py"
    file.write_text(_PLUGIN)
    plugins.load(file)
    return file


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"intervention": "layer_reset", "reset_layers": 3},
            "reset_layers=3: must be at most 2, the linear and convolution layers of the network",
        ),
        (
            {"network": "shallow", "intervention": "cbp"},
            "interventions=cbp: must go with a network with a hidden layer that feeds one next ",
        ),
        (
            {"network": "shallow", "intervention": "parseval"},
            "interventions=parseval: must go with a network of two or more linear or convolution ",
        ),
        (
            {"intervention": "failing"},
            "interventions=failing: cannot act on network mlp: AttributeError: 'Sequential' object",
        ),
    ],
)
def test_a_network_that_a_method_cannot_act_on_is_refused(
    plugin: Path, options: dict[str, Any], message: str
) -> None:
    fits = [StreamRun.checked(intervention="layer_reset", reset_layers=2), StreamRun.checked()]
    check_methods_on_networks(fits)
    assert refusal(
        lambda: check_methods_on_networks([*fits, StreamRun.checked(**options)])
    ).startswith(message)


def test_every_built_in_method_goes_with_the_default_network() -> None:
    """But for the norm that one of them needs."""
    check_methods_on_networks(
        StreamRun.checked(
            intervention=name, carry_optimizer=True,
            norm="layer" if name == "weight_projection" else "none",
        )
        for name in BUILT_IN["intervention"]
    )  # fmt: skip


def test_a_network_is_built_once_for_all_doses_of_a_method(plugin: Path) -> None:
    doses = [StreamRun.checked(network="shallow", intervention="layer_reset", seed=s)
             for s in range(5)]  # fmt: skip
    doses += [StreamRun.checked(network="shallow", intervention="shrink_and_perturb", shrink=s)
              for s in (0.1, 0.2, 0.3)]  # fmt: skip
    check_methods_on_networks(doses)
    from raylot.foundation import registry

    built = registry.get("network", "shallow").function.__globals__["built"]
    assert len(built) == 2


def test_the_command_says_so_before_it_starts_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_study(
            StudyKind("study", "", {}), study_spaces,
            ["--interventions", "none,layer_reset", "--reset-layers", "3",
             "--storage", str(tmp_path / "results")],
        )  # fmt: skip
    assert ended.value.code == 2
    (line,) = without_progress(capsys.readouterr().err).splitlines()
    assert line == (
        "error: --reset-layers=3: must be at most 2, the linear and convolution layers of the "
        "network"
    )
    assert not (tmp_path / "results" / "tables").exists()
