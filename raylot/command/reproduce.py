"""``raylot reproduce``: lists published experiments, runs one, and compares its numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from raylot.analysis.beside_published import compare
from raylot.command import running
from raylot.command.arguments import parse
from raylot.command.studies import TICKET_COUNT_VS_PLASTICITY
from raylot.config import PRESETS, StreamRun, Study
from raylot.config.options import did_you_mean, role_of
from raylot.config.parser import OneLineParser
from raylot.config.presets import preset_with
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.text import escape_unencodable_output
from raylot.reproductions import EXPERIMENTS, Experiment, out_of_reach
from raylot.storage import Storage
from raylot.sweep import study_spaces
from raylot.sweep.space import spaces_of
from raylot.sweep.sweep import Sweep

_FULL = "--full"

#: The study that raylot starts from: its numbers are in `raylot.analysis.tables.published`.
_ORIGINAL = "original"

_ABOUT_ORIGINAL = """What did the original study find, and what does raylot find?

Runs the main study with --preset original, and lays its numbers beside those that the original
study published ("Loss of Plasticity and Winning Lottery Tickets", ETH Zürich, 2025), each with the
range in which one more run is expected. Needs MNIST (--data-root FOLDER, --download). Hours of one
core: --dry-run says how many. The same command again continues what was interrupted."""

_ABOUT = f"""Runs a published experiment, and lays its numbers beside ours.

Without a NAME, lists the experiments: what each asks, who published it, what is reduced, and what
it costs. With one, runs it as an ordinary study: the same command again continues it, and every
option of `raylot sweep` can be given, as --seeds or --storage. {_FULL} takes the published size.
"""


def reproduce(words: Sequence[str]) -> int:
    """Runs ``raylot reproduce``.

    Returns:
        The exit status, see `raylot.command.running.run`.

    Raises:
        OptionError: there is no such experiment.
        SystemExit: after ``--help``, or with status 2 after a mistake in the study's options.
    """
    if not words or words[0].startswith("-"):
        parser = OneLineParser(
            prog="raylot reproduce",
            description=_ABOUT,
            usage="%(prog)s [NAME [--OPTION VALUE ...]]",
        )
        parser.parse_args(words)
        print(listing())
        return 0
    name = words[0].replace("-", "_")
    if name == _ORIGINAL:
        return _reproduce_original(words[1:])
    if name not in EXPERIMENTS:
        names = [*EXPERIMENTS, _ORIGINAL]
        hint = did_you_mean(name, names) or f"accepted: {', '.join(names)}"
        raise OptionError(f"{shown(words[0])}: unknown experiment; {hint}")
    escape_unencodable_output()
    experiment = EXPERIMENTS[name]
    given = [word for word in words[1:] if word != _FULL]
    is_full = _FULL in words
    if is_full and not experiment.full:
        raise OptionError(f"{_FULL}: must be left out with {name}, which has one size alone")
    defaults = options_of(experiment, is_full=is_full)
    about = f"{experiment.question}\n\n{_told(experiment)}"
    about += f"\n{_FULL} takes the published size." * bool(experiment.full)
    command = parse(about, name, given, defaults, f"raylot reproduce {name}", Study)
    declared = study_of(defaults)
    differing = _differing(command.study, declared)
    try:
        unasked = _unasked(experiment, command.study, declared)
    except OptionError as error:
        command.refuse(error)

    def then(sweep: Sweep) -> None:
        run_ids = {run.run_id for stage in sweep.stages for run in stage.runs}
        compare(name, sweep.storage, run_ids, differing, is_full=is_full, unasked=unasked)

    typed = ["raylot", "reproduce", *words]
    return running.run(command, study_spaces, {}, typed, only=experiment.stages, then=then)


def _reproduce_original(words: Sequence[str]) -> int:
    """Runs the preset ``original`` with the main study's analyses, and the comparison after them.

    Other options and runs in the storage do no harm: the comparison chooses runs by their protocol.
    """
    main_study = TICKET_COUNT_VS_PLASTICITY
    preset = ["--preset", _ORIGINAL]
    prog = f"raylot reproduce {_ORIGINAL}"
    command = parse(_ABOUT_ORIGINAL, _ORIGINAL, [*preset, *words], main_study.defaults, prog)
    analyses = {**main_study.analyses, "reproduction": "streams"}
    return running.run(command, study_spaces, analyses, ["raylot", "reproduce", _ORIGINAL, *words])


def options_of(experiment: Experiment, *, is_full: bool) -> dict[str, Any]:
    return {**experiment.options, **(experiment.full if is_full else {})}


def study_of(options: Mapping[str, Any]) -> Study:
    return Study.checked(**preset_with({**PRESETS["default"], **options}, {}))


def _unasked(experiment: Experiment, study: Study, declared: Study) -> set[str]:
    """Returns the published quantities that a study's runs leave out, and tells how many.

    Raises:
        OptionError: they leave out all.
    """
    unasked = {one.quantity for one in out_of_reach(experiment, runs_of(experiment, study))}
    if not unasked:
        return unasked
    count = len(experiment.published)
    if len(unasked) == count:
        raise OptionError(
            f"{_differing(study, declared)}: must leave a published number to compare with; the "
            f"experiment has {_differing(declared, study)}"
        )
    left_out = f"{len(unasked)} of {count} published numbers {'is' if len(unasked) == 1 else 'are'}"
    running.tell([f"{left_out} left out by {_differing(study, declared)}."])
    return unasked


def _differing(study: Study, other: Study) -> str:
    """A study's options in which it differs from another, as text."""
    return ", ".join(
        f"{name}={shown(getattr(study, name))}"
        for name, field in Study.model_fields.items()
        if role_of(field) != "where" and getattr(study, name) != getattr(other, name)
    )


def listing() -> str:
    """Returns what ``raylot reproduce`` lists: every experiment with its source and its cost."""
    parts = [
        f"{name}\n{textwrap.indent(f'{one.question}{chr(10)}{_told(one)}', '  ')}"
        for name, one in EXPERIMENTS.items()
    ]
    original = Study.checked(**preset_with(PRESETS[_ORIGINAL], {}))
    steps = sum(run.training_steps for run in _runs(original))
    told = (
        "Does raylot find what the study found that it starts from?",
        "Source: Loss of Plasticity and Winning Lottery Tickets, ETH Zürich, 2025",
        f"Cost: {steps:,} training steps; about 4 core-hours on an AMD EPYC",
    )
    parts.append("\n  ".join([_ORIGINAL, *told]))
    closing = "raylot reproduce NAME runs one; --dry-run predicts its time on this machine first."
    return "\n\n".join([*parts, textwrap.fill(closing, 100)])


def _told(experiment: Experiment) -> str:
    """The source of an experiment, what is reduced, and what it costs, a paragraph each."""
    steps, most = (_steps(experiment, is_full=full) for full in (False, True))
    cost = f"{steps:,} training steps" + (f" ({_FULL}: {most:,})" if most > steps else "")
    paragraphs = (
        f"Source: {experiment.source}",
        *experiment.departures(),
        f"Cost: {cost}; {experiment.measured or 'not measured yet'}",
    )
    return "\n".join(textwrap.fill(p, 98, subsequent_indent="  ") for p in paragraphs)


def _steps(experiment: Experiment, *, is_full: bool) -> int:
    """Training steps of all runs of an experiment."""
    study = study_of(options_of(experiment, is_full=is_full))
    return sum(run.training_steps for run in runs_of(experiment, study))


def runs_of(experiment: Experiment, study: Study) -> list[StreamRun]:
    """Returns all runs of a study of an experiment."""
    return _runs(study, experiment.stages)


def _runs(study: Study, only: Collection[str] | None = None) -> list[StreamRun]:
    # Nothing is looked up in the storage, so that any does.
    sweep = Sweep(study, Storage("."), *spaces_of(study, study_spaces), only=only)
    return [run for stage in sweep.stages for run in stage.runs]
