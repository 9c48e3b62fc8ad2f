"""The command line of the sweep scripts: every option of the configuration, presets and files."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from raylot.config import (
    PRESETS,
    DataOptions,
    InterventionParameters,
    NetworkOptions,
    PlasticityOptions,
    PlasticParameterOptions,
    SearchOptions,
    ShiftParameters,
    StreamOptions,
    Study,
    SweepOptions,
    TicketOptions,
    TicketStreamOptions,
    TrainingOptions,
)
from raylot.config.options import Options, accepted, is_common
from raylot.config.parser import joined_negatives
from raylot.config.presets import preset_with
from raylot.foundation import registry
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.paths import read_regular

_GROUPS: dict[str, type[Options]] = {
    "what is varied": SearchOptions,
    "data": DataOptions,
    "shifts": ShiftParameters,
    "network": NetworkOptions,
    "interventions": InterventionParameters,
    "training": TrainingOptions,
    "stream": StreamOptions,
    "plasticity": PlasticityOptions,
    "tickets": TicketOptions,
    "plastic parameters": PlasticParameterOptions,
    "ticket streams": TicketStreamOptions,
    "where it runs": SweepOptions,
}

#: Options that take several values.
_LISTS = {
    "seeds", "shifts", "interventions", "sparsities", "rounds", "hidden", "snapshots",
    "subnetworks", "stream_sparsities", "stream_snapshots", "metrics",
}  # fmt: skip

#: Bytes that a configuration file may have: what is longer is no such file.
_LARGEST_FILE = 100_000

#: Options of the command line that do not belong to the study.
_FLAGS = ("preset", "config", "plugin", "dry_run", "retry_failed", "help", "help_all")


@dataclass(frozen=True)
class _File:
    """The configuration file of a command line: its path as given, and the keys in it."""

    path: str = ""
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Command:
    """What the command line asks for."""

    study: Study
    storage: str
    dry_run: bool
    retry_failed: bool
    file: _File = _File()

    def refuse(self, error: OptionError) -> NoReturn:
        """Ends the program as a wrong option does: one line on standard error, status 2."""
        _refuse(error, self.file)


def parse(
    description: str,
    name: str,
    arguments: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Command:
    """Reads the command line, whose options override the file's, and these the preset's.

    Args:
        description: what the command is for, the first lines of its ``--help``.
        name: the study's name if none is given; the results lie in ``results/NAME``.
        arguments: the command line without the program; None: this process's.
        defaults: options that this command sets otherwise than the preset ``default``.

    Raises:
        SystemExit: with status 0 after ``--help``; with 2, and one line on standard error, if
            something is wrong.
    """
    presets = {**PRESETS, "default": {**PRESETS["default"], **(defaults or {})}}
    words = joined_negatives(sys.argv[1:] if arguments is None else arguments)
    for word in words:
        if nothing := re.fullmatch("--([a-z0-9-]+)=--", word):  # argparse drops such a value
            _OneLineParser().error(f"argument --{nothing[1]}: expected a value")
    _load_plugins(words)  # first, so that --help names what they add
    parser = _parser(description, presets["default"], defaults or {}, "--help-all" in words)
    given, unknown = parser.parse_known_args(words)
    file = _File()
    try:
        if unknown:
            raise OptionError(_unknown_argument(unknown))
        of_file = {} if given.config is None else read_options_file(given.config)
        of_command_line = _given_values(given)
        file = _File(given.config or "", frozenset(of_file.keys() - of_command_line.keys()))
        _refuse_what_no_file_may_ask_for(of_file, of_command_line)
        if given.preset not in presets:
            raise OptionError(f"preset={shown(given.preset)}: must be one of {', '.join(presets)}")
        study = Study.checked(**preset_with(presets[given.preset], of_file | of_command_line))
    except OptionError as error:
        _refuse(error, file)
    return Command(
        study,
        study.storage or f"results/{study.name or name}",
        given.dry_run,
        given.retry_failed,
        file,
    )


def _refuse(error: OptionError, file: _File) -> NoReturn:
    """Ends the program with a mistake as the user knows it.

    ``epochs=0: ...`` becomes ``--epochs=0: ...``, or ``--config=FILE: epochs=0: ...`` if that is
    where it was given.
    """
    message = str(error)
    name, equals, _ = message.partition("=")
    if equals and name in file.keys:
        message = f"--config={shown(file.path)}: {message}"
    else:
        message = as_typed(message)
    print(f"error: {OptionError(message)}", file=sys.stderr)
    sys.exit(2)


#: What Python's messages say of options without a value -> what a user can have typed.
_NEVER_TYPED = {"data_root=None": "--data-root is not given", "download=True": "--download"}


def as_typed(message: str) -> str:
    """A message with the names of options as the command line has them.

    ``batch_size=0: ...`` becomes ``--batch-size=0: ...``, and names in what follows get dashes too.
    """
    given, colon, told = message.partition(": ")
    name, equals, value = given.partition("=")
    if name == "plugin":  # the rest is a plugin's own
        return f"{_dashed(name)}={value}{colon}{told}"
    if equals and name in (*Study.model_fields, *_FLAGS):
        given = _NEVER_TYPED.get(given) or f"{_dashed(name)}={value}"
    return given + colon + _OPTION.sub(_option_as_typed, told)


def _dashed(name: str) -> str:
    return f"--{name.replace('_', '-')}"


#: The name of an option in a sentence, with what tells that it is no English word.
_OPTION = re.compile(rf"(?<![\w/.=-])({'|'.join(Study.model_fields)})\b(=True\b|(?==))?")


def _option_as_typed(found: re.Match[str]) -> str:
    is_option = "_" in found[1] or found[2] is not None
    return _dashed(found[1]) if is_option else found[0]


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if missing := re.match(r"argument --([a-z0-9-]+): expected", message):
            name = missing[1].replace("-", "_")
            field = Study.model_fields.get(name)
            message = f"{name}=: must be {accepted(field) if field else 'given a value'}"
        _refuse(OptionError(message), _File())


def _add_plugin_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plugin", metavar="FILE.py", action="append", default=[],
        help="file of Python that adds shifts, networks, metrics or interventions; may be given "
        "several times; on the command line only, a configuration file cannot ask for it",
    )  # fmt: skip


def _load_plugins(words: Sequence[str]) -> None:
    parser = _OneLineParser(add_help=False, allow_abbrev=False)
    _add_plugin_option(parser)
    files = parser.parse_known_args(words)[0].plugin
    try:
        for file, count in Counter(files).items():
            if count > 1:
                raise OptionError(f"plugin={shown(file)}: must be given once")
            registry.load(file)
    except OptionError as error:
        _refuse(error, _File())


def _parser(
    description: str, defaults: Mapping[str, Any], own: Collection[str], shows_all: bool
) -> argparse.ArgumentParser:
    """Reads every option.

    Args:
        description: first lines of its help.
        defaults: option -> its value in the default preset.
        own: options that the script sets otherwise than the preset, and so its help shows.
        shows_all: whether its help shows every option.
    """
    parser = _OneLineParser(
        description=description,
        add_help=False,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [--preset NAME] [--config FILE.yaml] [--plugin FILE.py] "
        "[--OPTION VALUE ...] [--dry-run]",
        epilog=None
        if shows_all
        else "These are the options that most studies need; --help-all lists every option.",
    )
    parser.add_argument(
        "-h", "--help", action="help", help="list the options that most studies need"
    )
    parser.add_argument("--help-all", action="help", help="list every option")
    parser.add_argument(
        "--preset",
        metavar="NAME",
        default="default",
        help="values to start from: " + " or ".join(PRESETS) + " (default: default)",
    )
    parser.add_argument(
        "--config",
        metavar="FILE.yaml",
        help="file of options, as 'epochs: 10'; on top of the preset",
    )
    _add_plugin_option(parser)
    parser.add_argument(
        "--dry-run", action="store_true",
        help="print the plan (runs per stage, finished ones, training steps) and how long it will "
        "take, measured by training for some seconds; start nothing",
    )  # fmt: skip
    parser.add_argument(
        "--retry-failed", action="store_true",
        help="compute again what ended with an error in an earlier sweep",
    )  # fmt: skip
    for title, model in _GROUPS.items():
        group = parser.add_argument_group(title)
        for option_name, field in model.model_fields.items():
            default = defaults.get(option_name, field.default)
            text = f"{field.description}; {accepted(field)}"
            if default is not None:
                text += f" (default: {_shown(default)})"
            # Read as text: the models check and convert, with one wording for files and here.
            is_bool = field.annotation is bool
            is_shown = shows_all or is_common(field) or option_name in own
            group.add_argument(
                _dashed(option_name),
                metavar="VALUE",
                nargs="?" if is_bool else "+" if option_name in _LISTS else None,
                const="true" if is_bool else None,
                help=text.replace("%", "%%") if is_shown else argparse.SUPPRESS,
            )
    return parser


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(str(value) for value in default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def _unknown_argument(unknown: Sequence[str]) -> str:
    first, _, value = unknown[0].partition("=")
    if not first.startswith("--"):
        return f"{unknown[0]}: must follow an --option"
    if not value and len(unknown) > 1:
        value = unknown[1]
    known = [_dashed(name) for name in (*Study.model_fields, *_FLAGS)]
    dashed = _dashed(first.removeprefix("--"))
    if dashed in known:
        return f"{first}: must be written {dashed}"
    # Without the dashes, which would make any two short names alike.
    close = difflib.get_close_matches(dashed[2:], [name[2:] for name in known], n=1)
    hint = f"did you mean --{close[0]}?" if close else "--help-all lists every option"
    told = f"={shown(value)}" if value else ""
    return f"{shown(dashed)}{told}: unknown option; {hint}"


def _given_values(given: argparse.Namespace) -> dict[str, Any]:
    """The options of a study that the command line gives."""
    values = {name: getattr(given, name) for name in Study.model_fields}
    return {
        name: " ".join(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None
    }


def _refuse_what_no_file_may_ask_for(
    of_file: Mapping[str, Any], of_command_line: Mapping[str, Any]
) -> None:
    """Refuses what a configuration file must not ask for.

    A file may come from somebody else: it may say what to compute, but not what code to execute or
    where else to write.

    Raises:
        OptionError: the file asks for it.
    """
    if "download" not in of_command_line and of_file.get("download", False) is not False:
        raise OptionError(
            f"download={shown(of_file['download'])}: must be given on the command line, "
            "as it writes into data_root"
        )
    if "plugin" in of_file:
        raise OptionError(
            f"plugin={shown(of_file['plugin'])}: must be given on the command line, as it is "
            "executed"
        )


class _Loader(yaml.SafeLoader):
    """Reads options: plain values, lists of them, and tables where an option takes one.

    Numbers and dates stay text, which the models read as they read the command line's: YAML would
    take ``010`` for 8 and ``1:30`` for 90. Merge keys are refused because a few lines of them can
    hold more entries than memory does.
    """

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Looks at a mapping before it is built: in PyYAML, a later key replaces an earlier one."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if "<<" in keys:
            raise yaml.YAMLError("<< is not read")
        for key, count in Counter(key.replace("-", "_") for key in keys).items():
            if count > 1:
                raise yaml.YAMLError(f"{shown(key)} is given twice")


_Loader.yaml_implicit_resolvers = {
    first: [(tag, text) for tag, text in resolvers if tag.endswith((":null", ":bool"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.endswith((":null", ":bool", ":str", ":seq", ":map"))
}


def read_options_file(path: str | Path) -> dict[str, Any]:
    """Options from a YAML file: a flat mapping of option names to values.

    Raises:
        OptionError: the file cannot be read or is no such mapping.
    """
    at = f"config={shown(path)}"
    try:
        content = read_regular(path)
        if len(content) > _LARGEST_FILE:
            raise OptionError(f"{at}: must be a YAML file of at most {_LARGEST_FILE:,} bytes")
        loaded = yaml.load(content.decode("utf-8"), Loader=_Loader)
    except OptionError:
        raise
    except OSError as error:
        raise OptionError(
            f"{at}: must be a YAML file that can be read ({error.strerror})"
        ) from None
    except (yaml.YAMLError, ValueError, KeyError, RecursionError) as error:
        # PyYAML lets the errors of the types it builds through, as for "!!bool perhaps".
        reason = " ".join(str(error).split())
        raise OptionError(f"{at}: must be a YAML file ({reason})") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise OptionError(f"{at}: must be a mapping of option names to values")
    for key, value in loaded.items():
        if isinstance(value, dict) and key != "rounds":
            raise OptionError(f"{at}: {shown(key)} must hold no options; all stand at top level")
        parts = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list) and any(isinstance(part, dict | list) for part in parts):
            # A few lines of aliases can hold more lists in lists than memory does.
            raise OptionError(f"{at}: {shown(key)} must hold no lists or tables in its own")
    return {key.replace("-", "_"): value for key, value in loaded.items()}
