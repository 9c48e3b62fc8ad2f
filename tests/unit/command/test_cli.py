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
from raylot.command.arguments import Command, parse
from raylot.config import PRESETS, Study
from raylot.config.options import accepted, named_by, role_of
from raylot.config.parameters import help_of
from raylot.config.parser import as_typed, dashed
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
        (["--sparsities", "0.5", "0.7"], "sparsities", (0.5, 0.7)),
        (["--sparsities", "0.5,", "0.7"], "sparsities", (0.5, 0.7)),
        (["--sparsities=0.5 0.7"], "sparsities", (0.5, 0.7)),
        (["--rounds", "0.8:3", "0.9:5"], "rounds", {0.8: 3, 0.9: 5}),
        (["--download"], "download", True),
        (["--download", "--lr", "2"], "download", True),
        (["--download", "false"], "download", False),
        (["--carry-optimizer", "no"], "carry_optimizer", False),
        (["--lr", "1", "--lr", "2"], "lr", 2.0),
        (["--data-root", "/with/two words"], "data_root", Path("/with/two words")),
        (["--interventions", "none,redo", "reset"], "interventions", ("none", "redo", "reset")),
        (["--stream-snapshots", "0", "20"], "stream_snapshots", (0, 20)),
        (["--search", "fraction=0.5,1"], "search", {"fraction": (0.5, 1.0)}),
        (["--search", "fraction=0.5", "1"], "search", {"fraction": (0.5, 1.0)}),
        (
            ["--search", "fraction=0.5", "--lr", "1", "--search=period=2,3"],
            "search",
            {"fraction": (0.5,), "period": (2, 3)},
        ),
        # the preset has an lr of its own
        (["--search", "lr=grid(1e-3, 2e-3)"], "search", {"lr": (0.001, 0.002)}),
        (
            ["--preset=original", "--data-root=.", "--search", "zip(lr,batch-size)=(1,16)"],
            "search",
            {"zip(lr,batch_size)": ((1.0, 16),)},
        ),
        (["--search", "first-task-identity=yes"], "search", {"first_task_identity": (True,)}),
    ],
)
def test_values_as_users_write_them(arguments: list[str], name: str, value: Any) -> None:
    assert getattr(command(*arguments).study, name) == value


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("sparsities: [0.5, 0.7]", "sparsities", (0.5, 0.7)),
        ("rounds: {0.8: 3, 0.9: 5}", "rounds", {0.8: 3, 0.9: 5}),
        ("carry-optimizer: yes", "carry_optimizer", True),
        ("search: {fraction: [0.5, 1]}", "search", {"fraction": (0.5, 1.0)}),
        (
            "search: {lr: 'grid(1,2)', hidden: [[8, 8], 9]}",
            "search",
            {"lr": (1.0, 2.0), "hidden": ((8, 8), (9,))},
        ),
        (
            "search: {'zip(lr,epochs)': [[1, 2], [3, 4]]}",
            "search",
            {"zip(lr,epochs)": ((1.0, 2), (3.0, 4))},
        ),
        ("search: {lr: 'loguniform(1e-4,1)'}\nsamples: 2", "samples", 2),
        (
            "search:\n  fraction: 0.5,1\n  period: 2",
            "search",
            {"fraction": (0.5, 1.0), "period": (2,)},
        ),
        ("search: fraction=0.5,1", "search", {"fraction": (0.5, 1.0)}),
        ("search: null", "search", None),
        # text is read as on the command line, not as YAML 1.1 reads it: 8, a date, an error
        ("epochs: 010", "epochs", 10),
        ("epochs: !!int 10", "epochs", 10),
        ("name: 2024-01-02", "name", "2024-01-02"),
        ("hidden: &layers [8, 4]\nsnapshots: &none [0]\nstream_snapshots: *none", "hidden", (8, 4)),
        ("random_masks: null", "random_masks", None),
        ("random-density: ~", "random_density", None),
        ("epochs: 1\nepochs: 2", "epochs", 2),
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


def test_flags() -> None:
    found = [command(*flags) for flags in (["--dry-run"], ["--retry-failed"])]
    assert [(one.dry_run, one.retry_failed) for one in found] == [(True, False), (False, True)]


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


def test_what_the_command_line_searches_overrides_what_the_file_searches(
    options_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options_file.write_text("search: {fraction: [0.5, 1]}\nperiod: 3\n")
    given = ["--config", str(options_file)]
    assert command(*given, "--search", "gradual=0.5").study.search == {"gradual": (0.5,)}
    assert command(*given, "--search", "none").study.search is None
    told = "search=fraction=0.5,1.0: must be given without fraction=0.7"
    assert refusal(capsys, *given, "--fraction", "0.7") == f"--config={options_file}: {told}"
    told = "--search=period=2: must be given without --period=3"
    assert refusal(capsys, *given, "--search", "period=2") == told


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
    assert command().study.sparsities == (0.8, 0.9), "a script's are its own"


# ------------------------------------------------------------------ --help


def _help(capsys: pytest.CaptureFixture[str], *words: str, **own: Any) -> str:
    """Returns the text that a command line prints if it asks for help."""
    with pytest.raises(SystemExit) as caught:
        parse("What it is for.", "my_study", words, own)
    assert caught.value.code == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_help_shows_every_option_what_it_accepts_and_its_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = _help(capsys, "--help-all")
    assert "What it is for." in text
    assert "%%" not in text
    assert "PydanticUndefined" not in text
    shown = "".join(text.split())  # lines are broken to fit the terminal
    for name, field in Study.model_fields.items():
        if name == "plugin_options":  # each of them has a name of its own
            assert dashed(name) not in shown
            continue
        default = PRESETS["default"].get(name)
        words = f"{help_of(name, field)};{accepted(field)}"
        words += "; --plugin FILE.py adds others" * (named_by(field) is not None)
        words += f"(default:{default})" * bool(default)
        values = r"(VALUE|\[VALUE\]|VALUE\[VALUE\.\.\.\])"
        pattern = f"{dashed(name)}{values}{re.escape(''.join(words.split()))}"
        found = re.search(rf"{pattern}(\(default:[^)]*\))?(\[\w+\])", shown)
        assert found
        assert found[3] == f"[{role_of(field)}]"
    assert "The word in brackets says what an option decides" in text
    assert "[training]" not in _help(capsys, "--help")
    for name in ("--preset", "--config", "--plugin", "--dry-run", "--retry-failed"):
        assert name in shown


def test_the_short_help_shows_what_most_studies_need_and_their_defaults(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = _help(capsys, "--help")
    assert text == _help(capsys, "-h")
    assert "--help-all lists every option" in text
    assert len(text.splitlines()) < 100
    shown = {word.replace("-", "_") for word in re.findall(r"(?m)^  --([a-z0-9-]+) ", text)}
    assert shown & {*Study.model_fields} == {
        "seeds", "shifts", "interventions", "sparsities", "dataset", "hidden", "lr", "epochs",
        "tasks", "snapshots", "probe_tasks", "search_task", "tickets", "storage", "local",
    }  # fmt: skip
    for name, default in {"seeds": "0-4", "sparsities": "0.8,0.9", "lr": 0.005}.items():
        (own,) = re.findall(rf"--{name} VALUE(.*?)(?=\n  --|\n\n)", text, re.DOTALL)
        assert f"(default: {default})" in " ".join(own.split())
    assert "  --ticket-tasks VALUE" in _help(capsys, "--help", ticket_tasks=10), "a script's own"


# ------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epoch", "3"], "--epoch=3: unknown option; did you mean --epochs?"),
        (["--batchsize", "3"], "--batchsize=3: unknown option; did you mean --batch-size?"),
        (["--dry-runs"], "--dry-runs: unknown option; did you mean --dry-run?"),
        (
            ["--shuffled-masks", "2"],
            "--shuffled-masks=2: unknown option; did you mean --random-masks? (masks shuffled "
            "within their layers are random)",
        ),
        (["--bogus"], "--bogus: unknown option; --help-all lists every option"),
        (["--dry_run"], "--dry_run: must be written --dry-run"),
        (["--batch_size", "3"], "--batch_size: must be written --batch-size"),
        (
            ["--preset", "orginal"],
            "--preset=orginal: must be one of default, original; did you mean original?",
        ),
        (["--epochs", "0"], "--epochs=0: must be a whole number in [1, 100000]"),
        (["--epochs"], "--epochs=: must be a whole number in [1, 100000]"),
        (["--epochs", "--lr", "1"], "--epochs=: must be a whole number in [1, 100000]"),
        (["--lr", "1", "2"], "2: must follow an --option"),
        (["--config"], "--config=: must be given a value"),
        (["--config=--"], "--config=: must be given a value"),
        (["--carry-optimizer=--"], "--carry-optimizer=: must be true or false"),
        (["--seeds"], "--seeds=: must be whole numbers from 0, each once, as 0-9 or 0,3,5"),
        (["--lr", "nan"], "--lr=nan: must be a number in (0, 100]"),
        (["--lr", "-1e-3"], "--lr=-1e-3: must be a number in (0, 100]"),
        (["--lr=-1e-3"], "--lr=-1e-3: must be a number in (0, 100]"),
        (["--download", "perhaps"], "--download=perhaps: must be true or false"),
        (
            ["--intervention", "redo"],
            "--intervention=redo: unknown option; did you mean --interventions?",
        ),
        (
            ["--interventions", "weight_projection", "--network", "resnet"],
            "--interventions=weight_projection: must go with a norm other than none",
        ),
        (["--stream-sparsities", "0.7"], "--stream-sparsities=0.7: must be one of 0.8, 0.9"),
        (
            ["--perturb-every", "step", "--interventions", "shrink_and_perturb"],
            "--shrink=0.8: must be in [0.99, 1] with --perturb-every=step, where it acts after "
            "every training step (as --shrink=0.9999 with --perturb=0.0001)",
        ),
        (["--device", "cuda"], "--device=cuda: must go with --gpus-per-trial greater than 0"),
        (
            ["--search"],
            "--search=: must be options, each once, with their values or a distribution, as "
            "l2_strength=1e-4,1e-3 or lr=loguniform(1e-4,1e-2), or none",
        ),
        (
            ["--samples", "3"],
            "--samples=3: must go with a distribution in search, as loguniform(1e-4,1e-2) for lr",
        ),
        (
            ["--search", "lr=uniform(1,2)"],
            "--search=lr=uniform(1,2): must go with samples, as samples=20",
        ),
        (
            ["--search", "first_task_identity=2"],
            "--search=first_task_identity=2: must be true or false",
        ),
        (
            ["--search", "period=2", "--period", "2"],
            "--search=period=2: must be given without --period=2",
        ),
        (["stray"], "stray: must follow an --option"),
        (["--dry-run", "stray"], "stray: must follow an --option"),
        (["-e", "3"], "-e: must follow an --option"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, *arguments) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "epoch=3: unknown option; did you mean epochs?"),
        ("epochs: 0", "epochs=0: must be a whole number in [1, 100000]"),
        ("lr: .inf", "lr=.inf: must be a number in (0, 100]"),
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
        (
            "null: 3",
            "null=3: unknown option; no option is called so, built in or of a plugin that is "
            "loaded",
        ),
        ("tasks: {epochs: 3}", "tasks={'epochs': '3'}: must be a whole number in [1, 1000000]"),
        ("search: {period: [2, x]}", "search=period=x: must be a whole number in [0, 1000000]"),
        ("lr: null", "lr=None: must be a number in (0, 100]"),
    ],
)
def test_a_mistake_in_a_file_is_one_line(
    text: str, message: str, options_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options_file.write_text(text)
    expected = f"--config={options_file}: {message}"
    assert refusal(capsys, "--config", str(options_file)) == expected


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
            assert "it is a folder, a pipe, a device or a socket" in message


def test_a_home_in_the_path_of_a_file_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("epochs: 7")
    assert command("--config=~/mine.yaml").study.epochs == 7


def test_a_file_s_name_cannot_steer_a_terminal_or_show_a_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token=abcdefgh\n\x1b[2J.yaml"
    file.write_text("epochs: 0")
    message = refusal(capsys, "--config", str(file))
    assert message.isprintable()
    assert "abcdefgh" not in message


def test_spaces_in_a_path_are_shown_as_they_were_typed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "=/no  where:" in refusal(capsys, "--config", "/no  where")


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
        ["sweep", "ticket-count-vs-plasticity", "--epochs", "0"],
        ["--help"],
        ["swep"],
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


def test_a_file_cannot_ask_for_a_download_a_plugin_or_a_command(
    options_file: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "one.py").write_text("from pathlib import Path\nPath('harm').touch()\n")
    for text, reason in (
        ("download: on\ndata_root: /nowhere", "download=on: {}, as it writes into data_root"),
        ("plugin: one.py\nshifts: one", "plugin=one.py: {}, as it is executed"),
        ("on-end: touch harm", "on_end=touch harm: {}, as it is executed"),
    ):
        options_file.write_text(text)
        message = refusal(capsys, "--config", str(options_file))
        told = reason.format("must be given on the command line")
        assert message == f"--config={options_file}: {told}"
    assert not (own / "harm").exists()


def test_a_download_asked_for_on_the_command_line_may_stand_in_the_file_too(
    options_file: Path,
) -> None:
    options_file.write_text("download: true")
    assert command("--config", str(options_file), "--download").study.download is True
    assert command("--config", str(options_file), "--download", "no").study.download is False


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
    shown = " ".join(_help(capsys, "--help-all", "--plugin", "one.py").split())
    assert "rotation, stationary, warm_start, one, each once" in shown
    assert "one or more of one_size, each once, or none" in shown


def test_none_unsets_what_a_preset_sets() -> None:
    assert command("--preset", "original").study.random_density == 0.05
    study = command("--preset", "original", "--random-density", "none").study
    assert study.random_density is None
    assert study.tickets_run(sparsity=0.8, task=0).random_density is None
