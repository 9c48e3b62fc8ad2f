"""Networks of plugins are tried before a sweep starts anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raylot import plugins
from raylot.command.studies import StudyKind, run_study
from raylot.config import StreamRun
from raylot.foundation import registry
from raylot.sweep.plugin_networks import check_plugin_networks
from raylot.sweep.space import study_spaces
from tests.support.progress import without_progress
from tests.unit.config.refused import refusal


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No test here sees another's plugins."""
    plugins.forget()
    yield
    plugins.forget()


def _plugin(folder: Path, body: str, before: str = "") -> Path:
    """A file with a network ``mine``, for 64 inputs."""
    file = folder / "mine.py"
    file.write_text(
        "import torch\nfrom torch import nn\nfrom raylot import plugins\n"
        f"{before}\n"
        "@plugins.network('mine')\n"
        "def mine(input_shape, options, classes):\n"
        f"    {body}\n"
    )
    return file


_NORMALISED = (
    "return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), "
    "nn.Linear(8, classes))"
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "return nn.Sequential(nn.Flatten(), nn.Linear(64, classes)).double()",
            "network=mine: 1.weight is float64; trainable parameters must be float32",
        ),
        (
            "return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))",
            "network=mine: 1.weight has no shape yet",
        ),
        (
            "return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))",
            "network=mine: returns float32 of shape (2, 3) for 2 examples; it must return logits, "
            "floating-point numbers of shape (examples, classes), here (2, 10)",
        ),
        ("return nn.Linear(64, classes)", "network=mine: fails on inputs of shape (2, 1, 8, 8)"),
        ("return options.depth", "network=mine: cannot be built: AttributeError: 'StreamRun'"),
        (
            "return 3",
            "network=mine: cannot be built: TypeError: network mine: must return a Module, not",
        ),
        (
            "return Failing(SystemExit(0))",
            "network=mine: cannot be trained or pruned: SystemExit: 0 (at mine.py:",
        ),
        (
            "return Failing(Mute())",
            "network=mine: fails on inputs of shape (2, 1, 8, 8), float32: Mute: (its text cannot "
            "be had: ValueError)",
        ),
        ("return Counted()", "network=mine: must have tensors alone in its state dict, and no _e"),
    ],
)
def test_a_network_that_no_run_could_train_is_refused(
    tmp_path: Path, body: str, message: str
) -> None:
    counted = (
        "class Counted(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.linear = nn.Linear(64, 10)\n"
        "    def forward(self, inputs):\n"
        "        return self.linear(inputs.flatten(1))\n"
        "    def get_extra_state(self):\n"
        "        return {'count': 3}\n"
        "    def set_extra_state(self, state):\n"
        "        pass\n"
        "class Mute(Exception):\n"
        "    def __str__(self):\n"
        "        raise ValueError\n"
        "class Failing(nn.Linear):\n"
        "    def __init__(self, error):\n"
        "        super().__init__(64, 10)\n"
        "        self.error = error\n"
        "    def forward(self, inputs):\n"
        "        raise self.error\n"
    )
    plugins.load(_plugin(tmp_path, body, counted))
    run = StreamRun.checked(network="mine")
    assert refusal(lambda: check_plugin_networks([run])).startswith(message)


_BILINEAR = (
    "class Bilinear(nn.Module):\n"
    "    def __init__(self, classes):\n"
    "        super().__init__()\n"
    "        self.layer = nn.Bilinear(64, 1, classes)\n"
    "    def forward(self, inputs):\n"
    "        return self.layer(inputs.flatten(1), inputs.new_ones(len(inputs), 1))\n"
)


@pytest.mark.parametrize("how", ["fresh", "zero"])
def test_a_head_is_reset_in_networks_that_have_one(tmp_path: Path, how: str) -> None:
    file = _plugin(tmp_path, "return Bilinear(classes)", _BILINEAR)
    own = file.read_text().replace("('mine')", "('mine', prune=['layer.weight'])")
    file.write_text(own)
    plugins.load(file)
    check_plugin_networks([StreamRun.checked(network="mine")])
    run = StreamRun.checked(network="mine", head_reset=how)
    assert refusal(lambda: check_plugin_networks([run])).startswith(
        "head_reset: must be none with this network, which has no linear or convolution layer"
    )


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_the_command_says_so_before_it_starts_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    """1,437 digits are 359 batches of 4, and one digit is left."""
    file = _plugin(tmp_path, _NORMALISED)
    with pytest.raises(SystemExit) as ended:
        run_study(
            StudyKind("study", "", {}), study_spaces,
            ["--plugin", str(file), "--network", "mine", "--batch-size", "4",
             "--storage", str(tmp_path / "results"), *more],
        )  # fmt: skip
    told = capsys.readouterr()
    assert ended.value.code == 2
    (line,) = without_progress(told.err).splitlines()
    assert line.startswith(
        "error: --batch-size=4: must not leave a last batch of 1 example (of 1,437) without "
        "--drop-last; the network fails on inputs of shape (1, 1, 8, 8), float32: ValueError"
    )
    assert "Predicted" not in told.out
    assert not (tmp_path / "results" / "tables").exists()


def test_any_task_of_class_split_may_leave_one_example(tmp_path: Path) -> None:
    """Two classes of digits have 281 to 292 examples; 289 are 18 batches of 16, and one is left."""
    plugins.load(_plugin(tmp_path, _NORMALISED))
    options = {"network": "mine", "batch_size": 16, "shift": "class_split"}
    run = StreamRun.checked(**options, classes_per_task=2)
    message = refusal(lambda: check_plugin_networks([run]))
    assert message.startswith("batch_size=16: must not leave a last batch of 1 example (of 289)")
    check_plugin_networks([StreamRun.checked(**options, classes_per_task=2, drop_last=True)])
    check_plugin_networks([StreamRun.checked(network="mine", batch_size=16)])


@pytest.mark.parametrize(
    ("options", "is_refused"),
    [
        ({"network": "mlp"}, True),
        ({"network": "conv2", "width_scale": 0.1}, True),  # its hidden layers are vectors
        ({"network": "vgg", "width": 2}, False),  # its last maps have 2 x 2 places
        ({"network": "vgg11", "width_scale": 0.02}, True),  # and here a single one
    ],
)
def test_batch_norm_needs_two_numbers_of_each_unit(
    options: dict[str, Any], is_refused: bool
) -> None:
    """1,437 digits are 359 batches of 4, and one digit is left."""
    run = StreamRun.checked(**options, norm="batch", batch_size=4)
    if is_refused:
        message = refusal(lambda: check_plugin_networks([run]))
        assert message.startswith("batch_size=4: must not leave a last batch of 1 example")
    else:
        check_plugin_networks([run])
    check_plugin_networks([StreamRun.checked(**options, norm="layer", batch_size=4)])


def test_a_network_is_built_once_however_many_runs_use_it(tmp_path: Path) -> None:
    plugins.load(
        _plugin(
            tmp_path, "built.append(options.hidden); return nn.Sequential(nn.Flatten(), "
            "nn.Linear(64, classes))", "built = []",
        )
    )  # fmt: skip
    hidden = [(8,), (9,), (8,)]
    runs = [StreamRun.checked(network="mine", seed=s, hidden=h) for s in range(5) for h in hidden]
    check_plugin_networks([*runs, StreamRun.checked()])
    built = registry.get("network", "mine").function.__globals__["built"]
    assert sorted(built) == [(8,), (9,)]
