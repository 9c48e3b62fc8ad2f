"""What overrides what, how lists are given, ``--help``, and one line per mistake."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raylot import plugins
from raylot.command.arguments import Command, parse, read_options_file
from raylot.config import PRESETS, Study
from raylot.config.options import accepted
from raylot.config.parser import as_typed
from raylot.foundation.errors import OptionError


def command(*arguments: str) -> Command:
    return parse("What it is for.", "my_study", arguments)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on standard error with which a command line is refused."""
    with pytest.raises(SystemExit) as caught:
        command(*arguments)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("error: ")
    assert captured.err.endswith("\n")
    return captured.err.removeprefix("error: ").removesuffix("\n")


@pytest.fixture
def options_file(tmp_path: Path) -> Path:
    return tmp_path / "options.yaml"


# ------------------------------------------------------------------ what is read


def test_nothing_given_is_the_default_preset() -> None:
    assert command() == Command(
        Study.checked(**PRESETS["default"]),
        storage="results/my_study",
        dry_run=False,
        retry_failed=False,
    )


def test_the_command_line_overrides_the_file_and_the_file_the_preset(options_file: Path) -> None:
    options_file.write_text("epochs: 7\nbatch-size: 64\n")
    arguments = ["--preset", "original", "--config", str(options_file), "--epochs", "8"]
    for order in (arguments, arguments[4:] + arguments[:4]):
        study = command(*order).study
        assert study.epochs == 8  # preset 10, file 7
        assert study.batch_size == 64  # preset 32
        assert study.tasks == 501  # preset alone
        assert study.weight_decay == 0.0  # none of them


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--sparsities", "0.5,0.7"], "sparsities", (0.5, 0.7)),
        (["--sparsities", "0.5", "0.7"], "sparsities", (0.5, 0.7)),
        (["--sparsities", "0.5,", "0.7"], "sparsities", (0.5, 0.7)),
        (["--sparsities=0.5 0.7"], "sparsities", (0.5, 0.7)),
        (["--seeds", "0-2", "7"], "seeds", (0, 1, 2, 7)),
        (["--hidden", "100,100"], "hidden", (100, 100)),
        (["--snapshots", "0-:15"], "snapshots", (0, 15, 30)),
        (["--shifts", "stationary"], "shifts", ("stationary",)),
        (["--rounds", "0.8:3", "0.9:5"], "rounds", {0.8: 3, 0.9: 5}),
        (["--rounds", "auto"], "rounds", None),
        (["--download"], "download", True),
        (["--download", "true"], "download", True),
        (["--download", "false"], "download", False),
        (["--trainability-gap", "no"], "trainability_gap", False),
        (["--batch-size", "8"], "batch_size", 8),
        (["--lr", "1e-3"], "lr", 0.001),
        (["--lr", "1", "--lr", "2"], "lr", 2.0),
        (["--data-root", "/with/two words"], "data_root", Path("/with/two words")),
        (["--download", "--lr", "2"], "download", True),
        (["--interventions", "none,redo", "reset"], "interventions", ("none", "redo", "reset")),
        (["--subnetworks", "ticket", "dense"], "subnetworks", ("ticket", "dense")),
        (["--stream-sparsities", "0.9"], "stream_sparsities", (0.9,)),
        (["--stream-sparsities", "highest"], "stream_sparsities", "highest"),
        (["--stream-snapshots", "0", "20"], "stream_snapshots", (0, 20)),
        (["--l2-strength", "0.5"], "l2_strength", 0.5),
        (["--random-density", "0.05"], "random_density", 0.05),
    ],
)
def test_values_as_users_write_them(arguments: list[str], name: str, value: Any) -> None:
    assert getattr(command(*arguments).study, name) == value


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("sparsities: [0.5, 0.7]", "sparsities", (0.5, 0.7)),
        ("sparsities: 0.5,0.7", "sparsities", (0.5, 0.7)),
        ("sparsities: 0.5", "sparsities", (0.5,)),
        ("seeds: 0-2,7", "seeds", (0, 1, 2, 7)),
        ("seeds: 3", "seeds", (3,)),
        ("rounds: {0.8: 3, 0.9: 5}", "rounds", {0.8: 3, 0.9: 5}),
        ("rounds: auto", "rounds", None),
        ("download: no", "download", False),
        ("carry-optimizer: yes", "carry_optimizer", True),
        # text is read as on the command line, not as YAML 1.1 reads it: 8, a date, an error
        ("epochs: 010", "epochs", 10),
        ("epochs: !!int 10", "epochs", 10),
        ("name: 2024-01-02", "name", "2024-01-02"),
        ("hidden: &layers [8, 4]\nsnapshots: &none [0]\nstream_snapshots: *none", "hidden", (8, 4)),
        ("data-root: /somewhere", "data_root", Path("/somewhere")),
        ("lr: 1e-3", "lr", 0.001),
        ("random_masks: null", "random_masks", None),
        ("random-density: ~", "random_density", None),
        ("epochs: 1\nepochs: 2", "epochs", 2),
        ("interventions: none", "interventions", ("none",)),
        ("stream_sparsities: highest", "stream_sparsities", "highest"),
        ("stream_snapshots: [0, 10]", "stream_snapshots", (0, 10)),
        ("# nothing but a comment", "epochs", 4),
        ("", "epochs", 4),
    ],
)
def test_values_of_a_file(options_file: Path, text: str, name: str, value: Any) -> None:
    options_file.write_text(text)
    assert getattr(command("--config", str(options_file)).study, name) == value


@pytest.mark.parametrize(
    ("arguments", "storage"),
    [
        ([], "results/my_study"),
        (["--name", "other"], "results/other"),
        (["--storage", "/data"], "/data"),
        (["--storage", "s3://bucket/x", "--name", "other"], "s3://bucket/x"),
    ],
)
def test_where_results_go(arguments: list[str], storage: str) -> None:
    assert command(*arguments).storage == storage


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        ([], (False, False)),
        (["--dry-run"], (True, False)),
        (["--retry-failed"], (False, True)),
        (["--dry-run", "--retry-failed"], (True, True)),
    ],
)
def test_flags(arguments: list[str], flags: tuple[bool, bool]) -> None:
    found = command(*arguments)
    assert (found.dry_run, found.retry_failed) == flags


def test_original_narrowed() -> None:
    study = command(
        "--preset", "original", "--tasks", "101", "--tickets", "5", "--sparsities", "0.8"
    ).study
    assert study.snapshots == (0, 50, 100)
    assert (study.tickets, study.random_masks) == (5, 10)
    assert study.sparsities == (0.8,)
    assert study.rounds_for(0.8) == 3
    assert (study.dataset, study.hidden, study.masked) == ("mnist", (256,), "freeze")


def test_a_table_of_rounds_is_for_all_sparsities_and_no_other(
    options_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A preset's own table follows the sparsities that are given, as far as it has them."""
    wrong = "rounds=0.8:3,0.95:10: must have one entry for each sparsity that is searched"
    assert refusal(capsys, "--rounds", "0.8:3,0.95:10").startswith(f"--{wrong}")
    options_file.write_text("rounds: {0.8: 3, 0.95: 10}")
    message = refusal(capsys, "--config", str(options_file))
    assert message.startswith(f"--config={options_file}: {wrong}")
    study = command("--preset", "original", "--sparsities", "0.95,0.8").study
    assert study.rounds == {0.8: 3, 0.95: 10}
    message = refusal(capsys, "--preset", "original", "--sparsities", "0.8,0.7")
    assert message.startswith("--sparsities=0.8,0.7: must go with --rounds=N, as the preset's ")
    assert message.endswith(" lacks 0.7")
    message = refusal(capsys, "--preset", "original", "--sparsities", "1.5")
    assert message.startswith("--sparsities=1.5: must be")
    assert "rounds" not in message


def test_what_a_plugin_says_is_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    told = "plugin=mine.py: must be a file; NameError: name 'batch_size' is not defined"
    assert as_typed(told, Study.model_fields) == f"--{told}"


def test_a_scripts_own_defaults_are_below_what_is_given(options_file: Path) -> None:
    def study(*arguments: str) -> Study:
        own = {"ticket_tasks": 10, "sparsities": "0.8", "snapshots": "0,20"}
        return parse("What it is for.", "my_study", arguments, own).study

    assert study().ticket_tasks == 10
    assert study().sparsities == (0.8,)
    assert study("--ticket-tasks", "3").ticket_tasks == 3
    options_file.write_text("ticket_tasks: 4")
    assert study("--config", str(options_file)).ticket_tasks == 4
    original = study("--preset", "original")
    assert (original.ticket_tasks, len(original.sparsities)) == (100, 3)
    assert PRESETS["default"]["sparsities"] == "0.8,0.9", "a script's are its own"


# ------------------------------------------------------------------ --help


def test_help_shows_every_option_and_what_it_accepts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command("--help-all")
    assert caught.value.code == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "What it is for." in captured.out
    shown = "".join(captured.out.split())  # lines are broken to fit the terminal
    for name, field in Study.model_fields.items():
        dashed = name.replace("_", "-")
        text = "".join(f"{field.description};{accepted(field)}".split())
        values = r"(VALUE|\[VALUE\]|VALUE\[VALUE\.\.\.\])"
        assert re.search(f"--{dashed}{values}{re.escape(text)}", shown)
    for name in ("--preset", "--config", "--plugin", "--dry-run", "--retry-failed"):
        assert name in captured.out
    assert "%%" not in captured.out
    assert "PydanticUndefined" not in captured.out


def test_the_short_help_shows_what_most_studies_need_and_their_defaults(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = {}
    for flag in ("--help", "-h", "--help-all"):
        with pytest.raises(SystemExit) as caught:
            command(flag)
        assert caught.value.code == 0
        text = capsys.readouterr().out
        shown[flag] = set(re.findall(r"^  --([a-z0-9-]+) ", text, re.MULTILINE))
        if flag != "--help-all":
            for name in ("seeds", "sparsities", "lr", "epochs", "tasks", "tickets"):
                (own,) = re.findall(rf"--{name} VALUE(.*?)(?=\n  --|\n\n)", text, re.DOTALL)
                assert f"(default: {PRESETS['default'][name]})" in " ".join(own.split())
            assert "--help-all lists every option" in text
            assert len(text.splitlines()) < 90
    of_study = {name.replace("_", "-") for name in Study.model_fields}
    assert shown["--help"] == shown["-h"]
    assert shown["--help"] & of_study == {
        "seeds", "shifts", "interventions", "sparsities", "dataset", "hidden", "lr", "epochs",
        "tasks", "snapshots", "tickets", "storage",
    }  # fmt: skip
    assert shown["--help-all"] > of_study


def test_the_short_help_shows_what_a_script_sets_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parse("What it is for.", "my_study", ["--help"], {"ticket_tasks": 10})
    assert "  --ticket-tasks VALUE" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "value"), PRESETS["default"].items())
def test_help_shows_the_default_presets_values(
    name: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command("--help-all")
    shown = "".join(capsys.readouterr().out.split())
    dashed = name.replace("_", "-")
    (own,) = re.findall(rf"--{dashed}\[?VALUE(.*?)(?=--|$)", shown)
    assert f"(default:{value})" in own


# ------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epoch", "3"], "--epoch=3: unknown option; did you mean --epochs?"),
        (["--epoch=3"], "--epoch=3: unknown option; did you mean --epochs?"),
        (["--batchsize", "3"], "--batchsize=3: unknown option; did you mean --batch-size?"),
        (["--presets", "x"], "--presets=x: unknown option; did you mean --preset?"),
        (["--dry-runs"], "--dry-runs: unknown option; did you mean --dry-run?"),
        (["--bogus"], "--bogus: unknown option; --help-all lists every option"),
        (["--dry_run"], "--dry_run: must be written --dry-run"),
        (["--batch_size", "3"], "--batch_size: must be written --batch-size"),
        (["--preset", "orginal"], "--preset=orginal: must be one of default, original"),
        (["--epochs", "0"], "--epochs=0: must be a whole number in [1, 100000]"),
        (["--epochs", "ten"], "--epochs=ten: must be a whole number in [1, 100000]"),
        (["--epochs"], "--epochs=: must be a whole number in [1, 100000]"),
        (["--epochs", "--lr", "1"], "--epochs=: must be a whole number in [1, 100000]"),
        (["--lr", "1", "2"], "2: must follow an --option"),
        (["--config"], "--config=: must be given a value"),
        (["--config=--"], "--config=: must be given a value"),
        (["--carry-optimizer=--"], "--carry-optimizer=: must be true or false"),
        (["--seeds"], "--seeds=: must be whole numbers from 0, each once, as 0-9 or 0,3,5"),
        (["--lr", "nan"], "--lr=nan: must be a number in (0, 100]"),
        (["--lr", "-1"], "--lr=-1: must be a number in (0, 100]"),
        (["--lr", "-1e-3"], "--lr=-1e-3: must be a number in (0, 100]"),
        (["--lr=-1e-3"], "--lr=-1e-3: must be a number in (0, 100]"),
        (["--download", "perhaps"], "--download=perhaps: must be true or false"),
        (["--l2-strength"], "--l2-strength=: must be a number in [0, 100]"),
        (["--l2-strength", "-1e-3"], "--l2-strength=-1e-3: must be a number in [0, 100]"),
        (
            ["--intervention", "redo"],
            "--intervention=redo: unknown option; did you mean --interventions?",
        ),
        (
            ["--interventions", "redu"],
            "--interventions=redu: must be one or more of none, l2, l2_init, redo, reset, "
            "shrink_and_perturb, each once; --plugin FILE.py adds others",
        ),
        (
            ["--interventions", "redo", "--network", "resnet"],
            "--interventions=redo: must go with network mlp, lenet or vgg",
        ),
        (
            ["--output-rate", "0.5", "--scope", "global"],
            "--output-rate=0.5: must be 1 unless scope is layer",
        ),
        (
            ["--subnetworks", "foo"],
            "--subnetworks=foo: must be one or more of ticket, dense, random, reinit, each once",
        ),
        (["--stream-sparsities", "0.7"], "--stream-sparsities=0.7: must be one of 0.8, 0.9"),
        (["--stream-snapshots", "5"], "--stream-snapshots=5: must be one of 0, 10, 20, 30"),
        (
            ["--stream-snapshots", ""],
            "--stream-snapshots=: must be some of the snapshots, each once, as 0,20, or none",
        ),
        (
            ["--plastic-task", "unshifted", "--shifts", "rotation,class_split"],
            "--plastic-task=unshifted: must be same with shift class_split",
        ),
        # 4 epochs of 45 batches
        (
            ["--rewind-steps", "181"],
            "--rewind-steps=181: must be at most 180, the training steps of one task",
        ),
        (
            ["--criterion", "size"],
            "--criterion=size: must be one of magnitude, magnitude_increase, movement, random",
        ),
        (
            ["--random-density", "0"],
            "--random-density=0: must be a number in (0, 1], or none for the tickets' layer "
            "densities",
        ),
        # of 64 pixels
        (
            ["--fraction", "0.02"],
            "--fraction=0.02: must be at least 0.023, so that 2 of the 64 pixels of digits change "
            "places",
        ),
        (
            ["--perturb-every", "step"],
            "--shrink=0.8: must be in [0.99, 1] with --perturb-every=step, where it acts after "
            "every training step (as --shrink=0.9999 with --perturb=0.0001)",
        ),
        (["--gradual", "1.5"], "--gradual=1.5: must be a number in [0, 1]"),
        (["--classes-per-task", "1"], "--classes-per-task=1: must be a whole number in [2, 10]"),
        (["--dataset", "cifar"], "--dataset=cifar: must be one of digits, mnist"),
        (["--device", "cuda"], "--device=cuda: must go with --gpus-per-trial greater than 0"),
        (["--momentum", "0.9"], "--momentum=0.9: must be 0 unless optimizer is sgd"),
        (["stray"], "stray: must follow an --option"),
        (["--dry-run", "stray"], "stray: must follow an --option"),
        (["-e", "3"], "-e: must follow an --option"),
        (
            ["--seeds", "0-99999999999999999999999"],
            "--seeds=0-99999999999999999999999: "
            "must be whole numbers from 0, each once, as 0-9 or 0,3,5",
        ),
        (
            ["--snapshots", "0,31"],
            "--snapshots=0,31: must be task numbers from 0 to 30, each once",
        ),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, *arguments) == message


@pytest.mark.parametrize(
    "arguments",
    [
        ["--preset"],
        ["--config"],
        ["--dry-run=yes"],
        ["--", "stray"],
        ["--name", "two\nlines"],
        ["--two\nlines", "3"],
        ["two\nlines"],
        ["--preset", "two\nlines"],
        ["--config", "no\nfile"],
        ["--zzzz"],
        ["--epochs", "\x1b[2J\x07"],
        ["--\udcff", "\udcff"],
        ["--name", "a" * 100_000 + "/"],
        ["--" + "a" * 100_000],
        ["a" * 100_000],
        ["--preset", "a" * 100_000],
        ["--config", "a" * 100_000],
    ],
)
def test_odd_command_lines_are_one_line_too(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal(capsys, *arguments)
    assert message.isprintable()
    assert 0 < len(message) < 3000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "epoch=3: unknown option; did you mean epochs?"),
        ("epochs: 0", "epochs=0: must be a whole number in [1, 100000]"),
        ("epochs: 1.5", "epochs=1.5: must be a whole number in [1, 100000]"),
        ("lr: .nan", "lr=.nan: must be a number in (0, 100]"),
        ("lr: .inf", "lr=.inf: must be a number in (0, 100]"),
        ("lr: nan", "lr=nan: must be a number in (0, 100]"),
        ("epochs: 0x10", "epochs=0x10: must be a whole number in [1, 100000]"),
        ("epochs: 1:30", "epochs=1:30: must be a whole number in [1, 100000]"),
        ("epochs: yes", "epochs=yes: must be a whole number in [1, 100000]"),
        (
            "seeds: [1, true]",
            "seeds=true: must be whole numbers from 0, each once, as 0-9 or 0,3,5",
        ),
        (
            "rounds: {0.8: 3, 0.80: 5}",
            "rounds={'0.8': '3', '0.80': '5'}: must be a whole number in [1, 1000], one per "
            "sparsity as 0.8:3,0.9:5, or auto",
        ),
        *(
            (
                f"{key}: 3",
                f"{key}=3: unknown option; accepted: {', '.join(sorted(Study.model_fields))}",
            )
            for key in ("1", "null", "<<", "cls", "__class__")
        ),
        ("tasks: {epochs: 3}", "tasks={'epochs': '3'}: must be a whole number in [1, 1000000]"),
        (
            "seeds: {1: 2}",
            "seeds={'1': '2'}: must be whole numbers from 0, each once, as 0-9 or 0,3,5",
        ),
        ("lr: null", "lr=None: must be a number in (0, 100]"),
        ("lr: [1, 2]", "lr=['1', '2']: must be a number in (0, 100]"),
        (
            "seeds: 2024-01-01",
            "seeds=2024-01-01: must be whole numbers from 0, each once, as 0-9 or 0,3,5",
        ),
    ],
)
def test_a_mistake_in_a_file_is_one_line(
    text: str, message: str, options_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options_file.write_text(text)
    expected = f"--config={options_file}: {message}"
    assert refusal(capsys, "--config", str(options_file)) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"epochs: [1",
        b"epochs: 1: 2",
        b"\tepochs: 1",
        b"epochs: 1\n---\nepochs: 2",
        b"epochs: *nowhere",
        b"epochs: &a [*a]",
        b"? [1]\n: 2",
        b"epochs: \xff",
        b"\xff\xfe\x00",
        b"epochs: \x07",
        b"epochs: " + b"[" * 1500,
        b"- epochs",
        b"epochs",
        b"3",
        b"[]",
    ],
)
def test_a_file_that_is_no_mapping_is_refused(
    content: bytes, options_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options_file.write_bytes(content)
    assert refusal(capsys, "--config", str(options_file)).startswith(
        f"--config={options_file}: must"
    )


@pytest.mark.parametrize("option", ["--config", "--plugin"])
def test_what_is_no_regular_file_is_refused_and_never_waited_for(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe, folder = tmp_path / "pipe", tmp_path / "folder"
    os.mkfifo(pipe)
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        for place in (pipe, folder, tmp_path / "socket", Path("/dev/zero"), Path("/dev/tty")):
            message = refusal(capsys, option, str(place))
            assert message.startswith(f"{option}={place}: must be ")
            assert ("it is a folder" if place == folder else "no regular file") in message


def test_a_home_in_the_path_of_a_file_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("epochs: 7")
    assert command("--config=~/mine.yaml").study.epochs == 7


def test_a_mistake_is_named_where_it_was_made(
    options_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line overrides the file, so that what both give is the command line's."""
    options_file.write_text("batch_size: 0\n")
    at_fault = "batch_size=0: must be a whole number in [1, 1000000]"
    message = refusal(capsys, "--config", str(options_file))
    assert message == f"--config={options_file}: {at_fault}"
    message = refusal(capsys, "--config", str(options_file), "--batch-size", "-1")
    assert message == "--batch-size=-1: must be a whole number in [1, 1000000]"
    with pytest.raises(OptionError, match=r"^batch_size=0: "):
        Study.checked(batch_size=0)


def test_what_is_not_given_is_told_without_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command().refuse(OptionError("data_root is not given: must be a folder"))
    assert capsys.readouterr().err == "error: --data-root is not given: must be a folder\n"
    assert refusal(capsys, "--epochs", "None").startswith("--epochs=None: must be ")
    assert refusal(capsys, "--epochs", "True").startswith("--epochs=True: must be ")


def test_a_command_tells_of_its_options_as_they_were_typed(
    options_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of what is noticed later."""
    options_file.write_text("data_root: /nowhere\n")
    found = command("--config", str(options_file), "--storage", "x")
    for error, expected in (
        ("storage=/x: must be idle", "--storage=/x: must be idle"),
        ("data_root=/nowhere: must be", f"--config={options_file}: data_root=/nowhere: must be"),
        ("no option=at all", "no option=at all"),
        ("name=None: or give download=True", "--name=None: or give --download"),
        ("download=True: failed, see /a/data_root", "--download: failed, see /a/data_root"),
        (
            "tasks=3: must fit batch_size and name=x",
            "--tasks=3: must fit --batch-size and --name=x",
        ),
    ):
        with pytest.raises(SystemExit):
            found.refuse(OptionError(error))
        assert capsys.readouterr().err == f"error: {expected}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["sweep", "ticket-plasticity", "--help"],
        ["sweep", "plastic-parameters", "--help-all"],
        ["sweep", "ticket-count-vs-plasticity", "--sparsites", "0.8"],
        ["sweep", "ticket-count-vs-plasticity", "--epochs", "0"],
        ["sweep", "--help"],
        ["--help"],
        ["swep"],
        ["sweep", "ticket_plasticity"],
    ],
    ids=" ".join,
)
def test_neither_help_nor_a_mistake_waits_for_large_libraries(words: list[str]) -> None:
    """Ray and torch take seconds to import, pyarrow and pandas half a second."""
    code = (
        "import sys\n"
        "from raylot.command.main import main\n"
        f"try: print(main({words}))\n"
        "except SystemExit as ended: print(ended.code)\n"
        "print(sorted({'torch', 'ray', 'pyarrow', 'pandas', 'numpy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *_, status, loaded = done.stdout.splitlines()
    assert status == ("0" if words[-1].startswith("--help") else "2")
    assert loaded == "[]"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["true", "on", "2"])
def test_a_file_cannot_ask_for_a_download(
    text: str, options_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options_file.write_text(f"download: {text}\ndataset: mnist\ndata_root: /somewhere")
    message = refusal(capsys, "--config", str(options_file))
    assert message == (
        f"--config={options_file}: download={text}: must be given on the command line, as it "
        "writes into data_root"
    )


def test_a_download_asked_for_on_the_command_line_may_stand_in_the_file_too(
    options_file: Path,
) -> None:
    options_file.write_text("download: true")
    assert command("--config", str(options_file), "--download").study.download is True
    assert command("--config", str(options_file), "--download", "no").study.download is False


_PLUGIN = """
from raylot import plugins
plugins.shift("{0}")(lambda dataset, options, key, t: dataset)
plugins.metric("{0}_size")(lambda probe: 1)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with two plugins."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(_PLUGIN.format(name))
    monkeypatch.chdir(tmp_path)
    plugins.forget()
    yield tmp_path
    plugins.forget()


def test_plugins_add_names(own: Path, options_file: Path) -> None:
    options_file.write_text("shifts: one, noise\nmetrics: two_size, one_size\n")
    given = ["--plugin", "one.py", f"--plugin={own / 'two.py'}", "--config", str(options_file)]
    study = command(*given).study
    assert study.shifts == ("one", "noise")
    assert study.metrics == ("one_size", "two_size")
    study = command(*given, "--shifts", "two", "--metrics", "none").study
    assert study.shifts == ("two",)
    assert study.metrics is None


def test_help_names_what_plugins_add(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command("--help-all", "--plugin", "one.py")
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "rotation, stationary, one, each once" in shown
    assert "one or more of one_size, each once, or none" in shown


def test_a_plugin_is_given_once(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(capsys, "--plugin", "one.py", "--plugin", "one.py")
    assert message == "--plugin=one.py: must be given once"


@pytest.mark.parametrize("text", ["one.py", "[one.py]"])
def test_a_file_cannot_ask_for_a_plugin(
    text: str, own: Path, options_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "one.py").write_text("from pathlib import Path\nPath('harm').touch()\n")
    options_file.write_text(f"plugin: {text}\nshifts: one\n")
    message = refusal(capsys, "--config", str(options_file))
    assert message.startswith(f"--config={options_file}: plugin=")
    assert message.endswith(": must be given on the command line, as it is executed")
    assert not (own / "harm").exists()


@pytest.mark.parametrize("place", ["value", "document"])
def test_a_file_cannot_execute_anything(
    place: str, options_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm = tmp_path / "harm"
    call = f"!!python/object/apply:os.system ['touch {harm}']"
    options_file.write_text(f"name: {call}" if place == "value" else call)
    assert refusal(capsys, "--config", str(options_file)).startswith(f"--config={options_file}: ")
    assert not harm.exists()


@pytest.mark.parametrize("path", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_refused(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal(capsys, "--config", str(tmp_path / path))
    assert message.startswith(f"--config={tmp_path / path}: must be a YAML file that can be read (")


def test_reading_a_file_raises_for_callers_from_python(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="must be a YAML file that can be read"):
        read_options_file(tmp_path / "missing.yaml")


def test_none_unsets_what_a_preset_sets() -> None:
    assert command("--preset", "original").study.random_density == 0.05
    study = command("--preset", "original", "--random-density", "none").study
    assert study.random_density is None
    assert study.tickets_run(sparsity=0.8, task=0).random_density is None
