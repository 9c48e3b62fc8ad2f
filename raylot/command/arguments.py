"""The command line of the studies: every option of the configuration, presets and files."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml
from pydantic.fields import FieldInfo

from raylot.config import PRESETS, Study, plugin_options
from raylot.config.options import (
    PLUGINS_ADD,
    ROLES,
    Options,
    accepted,
    did_you_mean,
    is_marked,
    named_by,
    role_of,
    takes_several,
)
from raylot.config.parameters import help_of, kind_with
from raylot.config.parser import OneLineParser, dashed, print_error, words_of
from raylot.config.presets import preset_with, unknown_preset
from raylot.config.settings_search import SettingsSearch
from raylot.foundation import registry
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.paths import read_regular
from raylot.foundation.text import one_line

#: What no file, which somebody else may have written, can ask for, and why.
_COMMAND_LINE_ONLY = {
    "download": "writes into data_root", "plugin": "is executed", "on_end": "is executed",
}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A study, and how the command line wants it run.

    Attributes:
        study: the options.
        storage: where the results go.
        dry_run: whether the user wants to see the plan alone.
        retry_failed: whether runs that failed are tried again.
        on_end: a shell command to run when the sweep has ended; None: nothing.
        file: the configuration file, as given.
        in_file: the options that only the file gives.
    """

    study: Study
    storage: str
    dry_run: bool
    retry_failed: bool
    on_end: str | None = None
    file: str | None = None
    in_file: frozenset[str] = frozenset()

    def refuse(self, error: OptionError) -> NoReturn:
        """Ends the program as a wrong option does: one line on standard error, status 2."""
        _refuse(error, self.file, self.in_file)


def _refuse(error: OptionError, file: str | None, in_file: Collection[str]) -> NoReturn:
    """Prints a mistake as the user knows it, and exits.

    ``epochs=0: ...`` becomes ``--epochs=0: ...``, or ``--config=FILE: epochs=0: ...``.
    """
    name, equals, _ = str(error).partition("=")
    if equals and name in in_file:
        print_error(OptionError(f"--config={shown(file)}: {error}"))
    else:
        print_error(error, _fields(SettingsSearch))
    sys.exit(2)


def parse(
    description: str,
    name: str,
    arguments: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    prog: str | None = None,
    model: type[Study] = Study,
) -> Command:
    """Reads the command line: its options override the file's, and these the preset's.

    Args:
        description: the first lines of ``--help``.
        name: the study's name if the user gives none; the results lie in ``results/NAME``.
        arguments: the command line without the program; None: this process's.
        defaults: options that this study sets otherwise than the preset ``default``.
        prog: what the user types to run the study; None: the script's name.
        model: which options there are.

    Raises:
        SystemExit: with status 0 after ``--help``; with 2, and one line on standard error, after
            a mistake.
    """
    presets = {**PRESETS, "default": {**PRESETS["default"], **(defaults or {})}}
    words = words_of(arguments)
    file, in_file = None, frozenset[str]()
    try:
        for word in words:
            if nothing := re.fullmatch("--([a-z0-9-]+)=--", word):  # argparse drops such a value
                OneLineParser(_fields(model)).error(f"argument --{nothing[1]}: expected")
        _load_plugins(words)  # first, so that --help names what they add
        own = defaults or {}
        parser = _parser(description, prog, presets["default"], own, words, model)
        given, unknown = parser.parse_known_args(words)
        if unknown and registry.load_installed():
            parser = _parser(description, prog, presets["default"], own, words, model)
            given, unknown = parser.parse_known_args(words)
        if unknown:
            raise OptionError(_unknown_argument(unknown, [*vars(given), "help", "help_all"]))
        file = given.config
        of_file = {} if file is None else _options_of(file)
        declared = _fields(model)
        of_command_line = {
            option: " ".join(value) if isinstance(value, list) else value
            for option, value in vars(given).items()
            if option in declared and value is not None
        }
        in_file = frozenset(of_file.keys() - of_command_line.keys())
        for asked, reason in _COMMAND_LINE_ONLY.items():
            if asked not in of_command_line and of_file.get(asked, "no") not in ("no", "false"):
                told = f"must be given on the command line, as it {reason}"
                raise OptionError(f"{asked}={shown(of_file[asked])}: {told}")
        if given.preset not in presets:
            raise OptionError(unknown_preset(given.preset))
        if given.on_end is not None and not given.on_end.strip():
            raise OptionError(f"on_end={shown(given.on_end)}: must be a shell command")
        study = model.checked(**preset_with(presets[given.preset], of_file | of_command_line))
    except OptionError as error:
        _refuse(error, file, in_file)
    storage = study.storage or f"results/{study.name or name}"
    return Command(study, storage, given.dry_run, given.retry_failed, given.on_end, file, in_file)


def _load_plugins(words: Sequence[str]) -> None:
    parser = OneLineParser(add_help=False)
    parser.add_argument("--plugin", action="append", default=[])
    for file, count in Counter(parser.parse_known_args(words)[0].plugin).items():
        if count > 1:
            raise OptionError(f"plugin={shown(file)}: must be given once")
        registry.load(file)


def _parser(
    description: str,
    prog: str | None,
    defaults: Mapping[str, Any],
    own: Collection[str],
    words: Sequence[str],
    model: type[Study],
) -> OneLineParser:
    """Returns what reads every option; see `parse`. Of ``own`` the short help shows all."""
    shows_all = "--help-all" in words
    more = "These are the options that most studies need; --help-all lists every option."
    roles = "; ".join(f"{role}: {what}" for role, what in ROLES.items())
    roles = f"The word in brackets says what an option decides; {roles}."
    parser = OneLineParser(
        _fields(model),
        prog=prog,
        description=description,
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [--preset NAME] [--config FILE.yaml] [--plugin FILE.py] "
        "[--OPTION VALUE ...] [--dry-run]",
        epilog=textwrap.fill(roles) if shows_all else more,
    )
    parser.add_argument(
        "-h", "--help", action="help", help="list the options that most studies need"
    )
    parser.add_argument("--help-all", action="help", help="list every option")
    parser.add_argument(
        "--preset", metavar="NAME", default="default",
        help="values to start from: " + " or ".join(PRESETS) + " (default: default)",
    )  # fmt: skip
    parser.add_argument(
        "--config", metavar="FILE.yaml",
        help="file of options, as 'epochs: 10'; on top of the preset",
    )  # fmt: skip
    parser.add_argument(
        "--plugin", metavar="FILE.py", action="append",
        help="file of Python that adds data sets, shifts, networks, criteria, metrics or "
        "interventions; may be given several times; on the command line only, a configuration "
        "file cannot ask for it",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true",
        help="print the plan (runs per stage, finished ones, training steps) and how long it will "
        "take, measured by training for some seconds; start nothing",
    )  # fmt: skip
    parser.add_argument(
        "--retry-failed", action="store_true",
        help="compute again what ended with an error in an earlier sweep",
    )  # fmt: skip
    on_end = (
        "shell command to run when the sweep and its analyses have ended, however, with its exit "
        "status in RAYLOT_STATUS (0; 1: runs failed or are missing; 130: interrupted) and the "
        "storage in RAYLOT_STORAGE; on the command line only, and not kept in the storage"
    )
    parser.add_argument(
        "--on-end", metavar="COMMAND", help=on_end if shows_all else argparse.SUPPRESS
    )
    for title, fields in _groups(model):
        group = parser.add_argument_group(title)
        for option_name, field in fields.items():
            default = defaults.get(option_name, field.default)
            text = f"{help_of(option_name, field)}; {accepted(field)}"
            if named_by(field):
                text += f"; {PLUGINS_ADD}"
            if default is not None:
                text += f" (default: {_shown(default)})"
            if shows_all:
                text += f" [{role_of(field)}]"
            # Read as text: the models check and convert, with one wording for files and here.
            is_bool = field.annotation is bool
            is_shown = shows_all or is_marked(field, "common") or option_name in own
            group.add_argument(
                dashed(option_name),
                metavar="VALUE",
                action="extend" if is_marked(field, "repeated") else "store",
                nargs="?" if is_bool else "+" if takes_several(field) else None,
                const="true" if is_bool else None,
                help=text.replace("%", "%%") if is_shown else argparse.SUPPRESS,
            )
    return parser


def _groups(model: type[Study]) -> Iterator[tuple[str, Mapping[str, FieldInfo]]]:
    """Yields the groups of options in ``--help``: their title, and each option's declaration."""
    added = [] if model is Study else [base for base in model.__bases__ if base is not Study]
    for concept in (*added, *Study.__bases__):
        assert issubclass(concept, Options)
        own = [item for item in concept.model_fields.items() if item[0] != "plugin_options"]
        # Users look for the options of all before those of some.
        own.sort(key=lambda item: kind_with(item[0]) is not None)
        yield str(concept.model_config["title"]), dict(own)
    if of_plugins := plugin_options.fields():
        yield "options of plugins", of_plugins


def _fields(model: type[Study]) -> dict[str, FieldInfo]:
    """The declarations of all options of a study, of plugins too."""
    return {name: field for _, fields in _groups(model) for name, field in fields.items()}


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(str(value) for value in default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def _unknown_argument(unknown: Sequence[str], options: Sequence[str]) -> str:
    first, _, value = unknown[0].partition("=")
    if not first.startswith("--"):
        return f"{unknown[0]}: must follow an --option"
    if not value and len(unknown) > 1:
        value = unknown[1]
    typed = dashed(first.removeprefix("--"))
    known = [dashed(name) for name in options]
    if typed in known:
        return f"{first}: must be written {typed}"
    # Compared without the dashes, which would make any two short names alike.
    hint = did_you_mean(typed[2:], [name[2:] for name in known])
    hint = hint.replace("mean ", "mean --") if hint else "--help-all lists every option"
    told = f"={shown(value)}" if value else ""
    return f"{shown(typed)}{told}: unknown option; {hint}"


def _options_of(path: str) -> dict[str, Any]:
    """Returns the options in a YAML file: a flat mapping of option names to values.

    Every value stays text, as on the command line: YAML would take ``010`` for 8 and ``1:30`` for
    90. ``null`` and ``~`` are None.

    Raises:
        OptionError: the file cannot be read or is no such mapping.
    """
    at = f"config={shown(path)}"
    try:
        loaded = yaml.load(read_regular(path).decode(), Loader=yaml.BaseLoader)
    except (OSError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = f" that can be read ({error.strerror})" if isinstance(error, OSError) else ""
        raise OptionError(f"{at}: must be a YAML file{reason or f' ({one_line(error)})'}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise OptionError(f"{at}: must be a mapping of option names to values")
    return {
        key.replace("-", "_"): None if value in ("null", "~") else value
        for key, value in loaded.items()
    }
