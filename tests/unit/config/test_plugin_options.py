"""Options that plugins declare: read, refused, part of what a run is, and searched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raylot import OptionError, interventions, plugins
from raylot import Study as StudyFromPython
from raylot.command.arguments import parse
from raylot.config import (
    InterventionOptions,
    MeasurementRun,
    ProbeRun,
    StreamRun,
    Study,
    TicketMeasurementRun,
    TicketsRun,
    TicketStreamRun,
    plugin_options,
)
from raylot.config.parameters import help_of
from raylot.foundation import registry
from raylot.results.schemas import identity_columns, option_values
from raylot.sweep.space import points, remarks, study_spaces
from tests.unit.config.refused import refusal

_PLUGIN = """
from dataclasses import dataclass
from typing import Annotated, Literal
from pydantic import BaseModel, Field, model_validator
from raylot import plugins
from raylot.training import Intervention

@dataclass
class Clip:
    clip_at: Annotated[float, Field(gt=0, le=1, description="largest |weight|")] = 0.1
    clip_how: Literal["hard", "soft"] = "hard"
    clip_after: int | None = None

    def __post_init__(self):
        if self.clip_how == "soft" and self.clip_after:
            raise ValueError("clip_after=%s: must be none with clip_how=soft" % self.clip_after)

@plugins.intervention("clipped", options=Clip)
class Clipped(Intervention):
    def __init__(self, options):
        self.seen = (options.clip_at, options.clip_how, options.clip_after)

@plugins.intervention("plain")
class Plain(Intervention):
    pass

class Dark(BaseModel):
    per_task: float = Field(0.5, gt=0, le=1)
    inverted: bool = False

@plugins.shift("darker", options=Dark)
def darker(dataset, options, key, t):
    return dataset

class Power(BaseModel):
    power: int = Field(2, ge=1, le=4)

    @model_validator(mode="after")
    def even(self):
        if self.power == 3:
            raise ValueError("power=3: must be even")
        return self

@plugins.criterion("powered", options=Power)
def powered(context):
    return context.weights

class Large(BaseModel):
    above: float = Field(1.0, ge=0)

@plugins.metric("large", of="weights", options=Large)
def large(layer, options):
    return (layer.abs() > options.above).float().mean()
"""

_ALL = {
    "intervention:clipped:clip_after=none,intervention:clipped:clip_at=0.1,"
    "intervention:clipped:clip_how=hard"
}


@pytest.fixture(autouse=True)
def loaded(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "mine.py").write_text(_PLUGIN)
    plugins.load(tmp_path / "mine.py")
    yield
    plugins.forget()


def _study(**given: Any) -> Study:
    return Study.checked(**{"interventions": "none,clipped", "shifts": "darker", **given})


# ------------------------------------------------------------------ values


def test_a_method_reads_its_options_defaults_and_given_ones() -> None:
    for given, seen in (
        ({}, (0.1, "hard", None)),
        ({"clip_at": "0.25", "clip_how": "soft"}, (0.25, "soft", None)),
        ({"clip_after": 3}, (0.1, "hard", 3)),
    ):
        options = InterventionOptions.checked(intervention="clipped", **given)
        made: Any = interventions.make(options)
        assert made.seen == seen


def test_a_run_holds_the_options_of_what_it_uses_and_no_others() -> None:
    plain = StreamRun.checked(intervention="none", clip_at=0.3)
    assert plain.plugin_options is None
    assert plain.run_id == StreamRun.checked().run_id
    run = StreamRun.checked(intervention="clipped")
    assert {run.plugin_options} == _ALL
    assert option_values(run)["plugin_options"] == run.plugin_options
    assert identity_columns(run)["plugin_options"] == run.plugin_options
    with pytest.raises(AttributeError):
        run.clip_off  # type: ignore[attr-defined]  # noqa: B018


def test_values_are_part_of_what_a_run_is_however_they_are_written() -> None:
    def run_id(**given: Any) -> str:
        return StreamRun.checked(intervention="clipped", **given).run_id

    assert run_id() == run_id(clip_at="1e-1") == run_id(clip_after="none")
    assert len({run_id(), run_id(clip_at=0.2), run_id(clip_how="soft"), run_id(clip_after=1)}) == 4


def test_a_run_survives_being_dumped_and_read_without_the_plugin() -> None:
    run = StreamRun.checked(intervention="clipped", shift="darker", clip_at=0.3, inverted=True)
    dumped = run.model_dump(mode="json")
    plugins.forget()
    again = StreamRun.checked(**dumped)
    assert (again.run_id, again.plugin_options) == (run.run_id, run.plugin_options)
    assert again.clip_at == 0.3  # type: ignore[attr-defined]
    assert again.inverted is True  # type: ignore[attr-defined]
    assert again.clip_after is None  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="is no kind:name:option=value"):
        plugin_options.parsed("intervention:clipped")


def test_a_plugin_with_options_uses_no_parameter_of_others() -> None:
    run = StreamRun.checked(intervention="clipped", l2_strength=0.5)
    assert run.run_id == StreamRun.checked(intervention="clipped").run_id
    other = StreamRun.checked(intervention="plain", l2_strength=0.5)
    assert other.run_id != StreamRun.checked(intervention="plain").run_id


def test_runs_that_stand_on_a_stream_keep_its_options_and_have_their_own() -> None:
    own = {"clip_at": 0.3, "power": 4, "above": 2.0, "per_task": 0.7}
    study = _study(criterion="powered", metrics="large", **own, ticket_tasks=2)
    stream = study.stream_run(seed=1, shift="darker", intervention="clipped")
    search = study.tickets_run(
        **stream.model_dump(include={"seed", "shift", "intervention", "plugin_options"}),
        task=0, sparsity=0.8,
    )  # fmt: skip
    assert isinstance(search, TicketsRun)
    assert search.stream.run_id == stream.run_id
    assert "criterion:powered:power=4" in str(search.plugin_options)
    assert "metric" not in str(search.plugin_options)
    own_part = search.model_dump()
    other = TicketsRun.checked(**own_part, power=1)
    assert (other.stream.run_id, other.run_id != search.run_id) == (stream.run_id, True)
    (of_metric,) = (r for r in study.measurement_runs(stream) if r.measured == "metric")
    assert isinstance(of_metric, MeasurementRun)
    assert of_metric.setting.startswith("probe_size=512, dormant_threshold=0.025, above=2.0, code=")
    assert of_metric.stream.run_id == stream.run_id
    assert {"metric"} & {part.split(":")[0] for part in str(of_metric.plugin_options).split(",")}
    others = [r for r in study.measurement_runs(stream) if r.measured != "metric"]
    assert all(other.plugin_options == stream.plugin_options for other in others)
    (probes,) = study.probe_runs(stream)
    assert isinstance(probes, ProbeRun)
    assert probes.stream.run_id == stream.run_id
    continued = study.ticket_stream_run(**search.model_dump(), subnetwork="ticket")
    assert isinstance(continued, TicketStreamRun)
    assert continued.search.run_id == search.run_id
    for measured in study.ticket_measurement_runs(continued):
        assert isinstance(measured, TicketMeasurementRun)
        assert measured.learner.run_id == continued.run_id
    dense = study.ticket_stream_run(**search.model_dump(), subnetwork="dense")
    assert "criterion" not in str(dense.plugin_options)


def test_doses_of_a_plugin_share_a_protocol_and_other_options_do_not() -> None:
    def protocol(**given: Any) -> str:
        return TicketsRun.checked(
            shift="darker", intervention="clipped", criterion="powered", **given
        ).protocol

    assert protocol() == protocol(clip_at=0.5) == protocol(per_task=0.9)
    assert protocol() != protocol(power=4)


def test_a_label_tells_a_plugins_options() -> None:
    run = StreamRun.checked(intervention="clipped", clip_at=0.5, shift="darker")
    assert run.label == (
        "stream seed=0 darker(per_task=0.5, inverted=false) "
        "clipped(clip_at=0.5, clip_how=hard, clip_after=not given)"
    )


# ------------------------------------------------------------------ where users give them


def test_command_line_file_and_python_take_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins.forget()
    words = ["--plugin", str(tmp_path / "mine.py"), "--interventions", "clipped"]
    typed = parse("Why?", "mine", [*words, "--clip-at", "0.4"]).study
    (tmp_path / "mine.yaml").write_text("clip_at: 0.4\n")
    of_file = parse("Why?", "mine", [*words, "--config", str(tmp_path / "mine.yaml")]).study
    in_python = StudyFromPython(interventions="clipped", clip_at=0.4)
    texts = {study.plugin_options for study in (typed, of_file, in_python)}
    assert texts == {"intervention:clipped:clip_at=0.4"}
    assert repr(in_python) == "Study(interventions=('clipped',), clip_at=0.4)"
    with pytest.raises(SystemExit):
        parse("Why?", "mine", [*words, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    told = "--clip-at VALUE clipped: largest |weight|; a number in (0, 1] (default: 0.1)"
    assert told in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--clip-at", "2"], "--clip-at=2: must be a number in (0, 1]"),
        (["--clip-how", "firm"], "--clip-how=firm: must be one of hard, soft"),
        (
            ["--clip-after", "1.5"],
            "--clip-after=1.5: must be a whole number in (-inf, inf), or none",
        ),
        (["--clipat", "1"], "--clipat=1: unknown option; did you mean --clip-at?"),
        (
            ["--clip-how", "soft", "--clip-after", "3"],
            "--clip-after=3: must be none with --clip-how=soft",
        ),
        (
            ["--search", "clip_at=0.1,7"],
            "--search=clip_at=7: must be a number in (0, 1]",
        ),
        (
            ["--search", "clip_at=uniform(0.1,7)"],
            "--search=clip_at=uniform(0.1,7): draws clip_at=7: must be a number in (0, 1]",
        ),
        (
            ["--search", "above=1,2"],
            "--search=above=1,2: must be given as an option of its own; another command measures "
            "another value",
        ),
        (
            ["--search", "power=1,2"],
            "--search=power=1,2: must go with criterion powered",
        ),
        (
            ["--clip-at", "0.2", "--search", "clip_at=0.1,0.3"],
            "--search=clip_at=0.1,0.3: must be given without --clip-at=0.2",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("Why?", "mine", ["--interventions", "none,clipped", *words])
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\n"


# ------------------------------------------------------------------ searched


def test_a_search_over_them_varies_what_uses_them_alone() -> None:
    study = _study(search="clip_at=0.1,0.3", criterion="powered", seeds="0-1")
    streams, tickets, _ = study_spaces(study)
    runs = [study.stream_run(**point) for point in points(streams)]
    found = sorted(
        (run.seed, run.clip_at)  # type: ignore[attr-defined]
        for run in runs
        if run.intervention == "clipped"
    )
    assert found == [(0, 0.1), (0, 0.3), (1, 0.1), (1, 0.3)]
    assert [run.seed for run in runs if run.intervention == "none"] == [0, 1]
    assert "clip_at" not in tickets
    assert "clip_at" in str(study)


def test_a_criterions_options_are_searched_with_tickets() -> None:
    study = _study(search="power=2,4 criterion=magnitude,powered", seeds="0")
    streams, tickets, _ = study_spaces(study)
    assert set(streams) == {"seed", "shift", "intervention"}
    own = {"shift": "darker", "intervention": "none", "seed": 0}
    runs = [study.tickets_run(**own, **point) for point in points(tickets)]
    assert len({run.run_id for run in runs}) == len(runs) == 2 * len(study.snapshots) * 3


def test_draws_and_values_that_go_together() -> None:
    drawn = _study(search="clip_at=loguniform(0.01,1)", samples=3)
    (values,) = drawn.searched.values()
    assert len(values) == 3
    assert all(0.01 <= value <= 1 for value in values)
    together = _study(search="zip(clip_at,lr)=(0.1,1e-3),(0.2,1e-2)")
    assert together.searched == {"zip(clip_at,lr)": ((0.1, 0.001), (0.2, 0.01))}


def test_an_option_that_nothing_uses_is_remarked_on() -> None:
    told = "{}: used by nothing that this study uses, so it changes nothing".format
    given = {"clip_at": 0.3, "power": 4, "above": 2.0}
    study = Study.checked(interventions="none", **given)
    runs = [study.stream_run(seed=0, shift="permuted_pixels", intervention="none")]
    said = remarks(study, runs)
    assert {told(name) for name in given} <= {*said}
    used = Study.checked(interventions="clipped", criterion="powered", metrics="large", **given)
    said = remarks(used, runs)
    assert {told(name) for name in given}.isdisjoint(said)


# ------------------------------------------------------------------ declarations


def _refused(tmp_path: Path, declaration: str, kind: str = "intervention") -> str:
    source = f"""
from dataclasses import dataclass, field
from typing import Any, Literal
from pydantic import BaseModel, Field
from raylot import plugins

{declaration}

@plugins.{kind}("other", options=Own)
def other(options):
    return None
"""
    file = tmp_path / "other.py"
    file.write_text(source)
    with pytest.raises(OptionError) as caught:
        plugins.load(file)
    return str(caught.value)


@pytest.mark.parametrize(
    ("declaration", "told"),
    [
        ("class Own(BaseModel):\n    lr: float = 1.0", "option lr: must have another name"),
        ("class Own(BaseModel):\n    seed: int = 1", "option seed: must have another name"),
        ("class Own(BaseModel):\n    preset: int = 1", "option preset: must have another name"),
        ("class Own(BaseModel):\n    task: int = 1", "option task: must have another name"),
        (
            "class Own(BaseModel):\n    power: int = Field(2, ge=1, le=4)",
            "option power: must have another name, as criterion powered has it",
        ),
        ("class Own(BaseModel):\n    dose: int = 1", "option dose: must have another name"),
        ("class Own(BaseModel):\n    label: float = 1", "option label: must have another name"),
        ("class Own(BaseModel):\n    copy: int = 1", "option copy: must have another name"),
        ("class Own(BaseModel):\n    budget: int = 1", "option budget: must have another name"),
        (
            "class Own(BaseModel):\n    low: float = Field(0.1, alias='Low')",
            "option low: must have no alias",
        ),
        ("class Own(BaseModel):\n    word: Literal['1e5', 'a'] = 'a'", "option word: must be an"),
        ("class Own(BaseModel):\n    word: Literal['None', 'a'] = 'a'", "option word: must be an"),
        ("class Own(BaseModel):\n    Big: int = 1", "must have a name of at most 50 small letters"),
        ("class Own(BaseModel):\n    mine: int", "option mine: must have a default"),
        ("@dataclass\nclass Own:\n    mine: int", "option mine: must have a default"),
        ("class Own(BaseModel):\n    mine: str = 'a'", "option mine: must be an int, a float"),
        ("class Own(BaseModel):\n    mine: list[int] = []", "option mine: must be an int, a float"),
        (
            "class Own(BaseModel):\n    mine: Literal['a', 'b,c'] = 'a'",
            "option mine: must be an int, a float (or one of them or None), a bool, or a Literal",
        ),
        (
            "class Own(BaseModel):\n    mine: int = Field(0, ge=1)",
            "default mine=0: must be a whole number in [1, inf)",
        ),
        (
            "class Own(BaseModel):\n    clip_at: float = 0.1",
            "option clip_at: must have another name, as intervention clipped has it",
        ),
        ("class Own(BaseModel):\n    pass", "must have an option"),
        ("class Own:\n    pass", "options=Own: must be a dataclass or a pydantic model"),
        ("Own = {'mine': 1}", "must be a dataclass or a pydantic model"),
    ],
)
def test_what_cannot_be_an_option_is_refused(declaration: str, told: str, tmp_path: Path) -> None:
    message = _refused(tmp_path, declaration)
    assert told in message
    assert "\n" not in message


def test_what_the_class_itself_refuses_is_told_with_the_values(tmp_path: Path) -> None:
    (tmp_path / "band.py").write_text("""
from dataclasses import dataclass
from raylot import plugins
from raylot.training import Intervention

@dataclass
class Band:
    low: float = 0.1
    high: float = 0.9

    def __post_init__(self):
        if self.low == 0:
            1 / 0
        if self.low >= self.high:
            raise ValueError("low must be below high")

@plugins.intervention("band", options=Band)
def band(options):
    return Intervention(options)
""")
    plugins.load(tmp_path / "band.py")
    for low, reason in ((0.95, "ValueError: low must be below high"), (0, "ZeroDivisionError: ")):
        told = refusal(lambda low=low: StreamRun.checked(intervention="band", low=low))  # type: ignore[misc]
        assert told.startswith(f"intervention band: low={float(low)}, high=0.9: {reason}")


def test_two_things_can_share_an_option(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text("""
from pydantic import BaseModel
from raylot import plugins
from raylot.training import Intervention

class Own(BaseModel):
    strength: float = 1.0

@plugins.intervention("one", options=Own)
def one(options):
    return Intervention(options)

@plugins.intervention("two", options=Own)
def two(options):
    return Intervention(options)
""")
    plugins.load(tmp_path / "two.py")
    for name in ("one", "two"):
        run = StreamRun.checked(intervention=name, strength=2)
        assert run.plugin_options == f"intervention:{name}:strength=2.0"
    assert help_of("strength", plugin_options.fields()["strength"]) == "one, two"


def test_a_plugin_loaded_again_has_its_options_once(tmp_path: Path) -> None:
    changed = _PLUGIN.replace("] = 0.1", "] = 0.2")
    (tmp_path / "mine.py").write_text(changed)
    plugins.load(tmp_path / "mine.py")
    assert StreamRun.checked(intervention="clipped").clip_at == 0.2  # type: ignore[attr-defined]
    assert registry.options_of("intervention", "plain") is None


def test_an_unknown_option_is_refused_as_before() -> None:
    told = refusal(lambda: StreamRun.checked(clip_aat=1))
    assert told == "clip_aat=1: unknown option; did you mean clip_at?"
