"""The command ``raylot``: what it lists, what it calls, and one line per mistake."""

from __future__ import annotations

import runpy
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from raylot.command import analyses, main, studies
from raylot.command.arguments import parse
from raylot.command.main import COMMANDS
from raylot.command.studies import STUDIES
from raylot.config import Study
from raylot.foundation.version import VERSION
from tests.unit.analysis.studies import falling, write_rows, write_study

_SWEEPS = Path(__file__).parents[3] / "sweeps"


@pytest.mark.parametrize(
    ("words", "listed"),
    [
        (["--help"], COMMANDS),
        (["sweep", "--help"], STUDIES),
        (["analyse", "--help"], analyses.ANALYSES),
        (["check", "--help"], ["raylot check", "--repair"]),
        (["report", "--help"], ["raylot report", "STORAGE"]),
        (["sweep", "ticket-plasticity", "--help"], ["raylot sweep ticket-plasticity", "fresh"]),
        (["--version"], [f"raylot {VERSION}"]),
    ],
)
def test_it_lists_what_there_is(
    words: list[str],
    listed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["/bin/raylot", *words])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in listed)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["swep"], "swep: unknown command; did you mean sweep?"),
        (
            ["§"],
            "§: unknown command; accepted: sweep, reproduce, analyse, report, diff, check, compact",
        ),
        (["--fast"], "the following arguments are required: COMMAND"),
        (["sweep"], "the following arguments are required: STUDY"),
        (["sweep", "ticket_plasticity"], "ticket_plasticity: unknown study; did you mean ticket-"),
        (["analyse"], "the following arguments are required: STORAGE"),
        (["analyse", "/nowhere"], "STORAGE=/nowhere: must be"),
        (["analyse", "correlation", "/nowhere", "--pairing", "x"], "--pairing=x: must be one of"),
        (["analyse", "correlaton", "/nowhere"], "correlaton: unknown analysis; did you mean corr"),
        (["report", "/nowhere"], "STORAGE=/nowhere: must be"),
        (["check", "/nowhere"], "STORAGE=/nowhere: must be"),
        (["compact", "/nowhere", "--repair"], "unrecognized arguments: --repair"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {message}")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["sweep", "plastic-parameters", "--storage"],
        ["sweep", "plastic-parameters", "--dry-run", "--storage"],
        ["analyse"],
        *(["analyse", name] for name in analyses.ANALYSES),
        ["report"],
        ["compact"],
    ],
)
def test_a_storage_of_an_older_raylot_is_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing in it is changed."""
    write_study(tmp_path, falling, seeds=(0,), tasks=(0,))
    study = Study.checked(tasks=1, snapshots="0", rounds=3, ticket_tasks=1)
    run = study.tickets_run(seed=0, shift="permuted_pixels", task=0, sparsity=0.8)
    overlap = {"task": 0, "sparsity": 0.8, "protocol": run.protocol, "layer": "all"}
    write_rows(tmp_path, "plastic_parameters", run, [{**overlap, "selection": "first"}])
    row = {"kind": "stream", "status": "finished", "raylot_version": "0.1.0"}
    write_rows(tmp_path, "runs", run.stream, [row])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with suppress(SystemExit):
        assert main.main([*words, str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.partition("=")[2] == (
        f"{tmp_path}: must have been written by raylot 0.2.0 or newer, not 0.1.0: runs of before "
        "had other identities; read it with raylot 0.1.0, or choose another folder\n"
    )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert main.main(["check", str(tmp_path)]) in (0, 1)
    assert " running " in capsys.readouterr().out


def test_spaces_that_are_none_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(study: Study) -> Any:
        return {"lr": 1e-3}

    with pytest.raises(SystemExit) as ended:
        studies.run_study(STUDIES["plastic-parameters"], wrong, [f"--storage={tmp_path}"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: spaces: must return three search spaces (of streams, tickets and ticket streams), "
        "not {'lr': 0.001}\n"
    )


def test_the_usage_of_an_analysis_can_be_typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["analyse", "correlation", "--help"]
    monkeypatch.setattr("sys.argv", ["raylot", *words])
    with pytest.raises(SystemExit):
        main.main(words)
    assert capsys.readouterr().out.startswith("usage: raylot analyse correlation [-h]")


@pytest.mark.parametrize("name", STUDIES)
def test_the_script_and_the_command_run_the_same_study(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage keeps the command as the user typed it."""
    ran = []
    runner = f"{studies.STUDIES[name].runner}.run"
    monkeypatch.setattr(runner, lambda *given: ran.append(given) or 0)
    script = _SWEEPS / f"{name.replace('-', '_')}.py"
    assert main.main(["sweep", name, "--seeds", "3"]) == 0
    assert runpy.run_path(str(script))["main"](["--seeds", "3"]) == 0
    (by_command, spaces, stages, typed), (by_script, other_spaces, other_stages, also) = ran
    assert by_command == by_script
    assert spaces(by_command.study) == other_spaces(by_command.study)
    assert stages == other_stages
    assert typed == ["raylot", "sweep", name, "--seeds", "3"]
    assert also == ["python", str(script), "--seeds", "3"]


def test_every_study_names_analyses_that_exist() -> None:
    for kind in studies.STUDIES.values():
        assert kind.analyses.keys() <= analyses.ANALYSES.keys()
        assert kind.description.count("\n") > 3


def test_a_study_of_ticket_streams_has_some_by_default() -> None:
    kind = studies.TICKET_PLASTICITY
    study = parse(kind.description, kind.name, [], kind.defaults).study
    assert (study.ticket_tasks, study.snapshots, study.sparsities) == (10, (0, 20), (0.8,))


def test_the_study_of_doses_has_one_stream_and_methods_at_several_strengths() -> None:
    kind = studies.DOSE_RESPONSE
    study = parse(kind.description, kind.name, [], kind.defaults).study
    assert study.shifts == ("permuted_pixels",)
    assert study.interventions == ("none", "l2_init", "shrink_and_perturb", "reset")
    assert study.search == {"l2_strength": (1e-9, 1e-5, 1e-2), "shrink": (0.6, 0.9, 0.97)}
    assert (study.seeds, study.snapshots) == (tuple(range(10)), (0, 10, 20, 30))
    assert (study.sparsities, study.tickets, study.search_task) == ((0.8,), 3, "probe")
    assert study.probe_tasks > 0
    narrowed = parse(kind.description, kind.name, ["--interventions", "none,reset"], kind.defaults)
    assert narrowed.study.search is None
