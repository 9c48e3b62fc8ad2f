"""The command line of the sweep scripts: every option of the configuration, presets and files."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from raylot import plugins
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
from raylot.options import OptionError, Options, accepted, shown, unknown_option

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


@dataclass(frozen=True)
class Command:
    """What the command line asks for."""

    study: Study
    storage: str
    dry_run: bool
    retry_failed: bool


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
    parser = _parser(description, presets["default"])
    given, unknown = parser.parse_known_args(words)
    try:
        if unknown:
            raise OptionError(_unknown_argument(unknown))
        values = _given_values(given, presets)
        study = Study.checked(**values)
    except OptionError as error:
        parser.error(str(error))
    return Command(
        study,
        study.storage or f"results/{study.name or name}",
        given.dry_run,
        given.retry_failed,
    )


def refuse(error: OptionError) -> NoReturn:
    """Ends the program as a wrong option does: one line on standard error, status 2."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if missing := re.match(r"argument --([a-z0-9-]+): expected", message):
            name = missing[1].replace("-", "_")
            field = Study.model_fields.get(name)
            message = f"{name}=: must be {accepted(field) if field else 'given a value'}"
        refuse(OptionError(message))


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
            plugins.load(file)
    except OptionError as error:
        refuse(error)


def _parser(description: str, defaults: Mapping[str, Any]) -> argparse.ArgumentParser:
    parser = _OneLineParser(
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [--preset NAME] [--config FILE.yaml] [--plugin FILE.py] "
        "[--OPTION VALUE ...] [--dry-run]",
    )
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
            group.add_argument(
                f"--{option_name.replace('_', '-')}",
                metavar="VALUE",
                nargs="?" if is_bool else "+" if option_name in _LISTS else None,
                const="true" if is_bool else None,
                help=text.replace("%", "%%"),
            )
    return parser


def joined_negatives(words: Sequence[str]) -> list[str]:
    """``--lr -1e-3`` as ``--lr=-1e-3``: argparse takes the value for an option of its own."""
    joined: list[str] = []
    for word in words:
        if joined and re.fullmatch(r"--[a-z0-9-]+", joined[-1]) and re.match(r"-[\d.]|-inf", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


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
    known = [*Study.model_fields, "preset", "config", "plugin", "dry_run", "retry_failed"]
    name = first.removeprefix("--").replace("-", "_")
    if name in known:
        return f"{first}: must be written --{name.replace('_', '-')}"
    return unknown_option(name, value, known)


def _given_values(
    given: argparse.Namespace, presets: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    if given.preset not in presets:
        raise OptionError(f"preset={shown(given.preset)}: must be one of {', '.join(presets)}")
    values = dict(presets[given.preset])
    if given.config is not None:
        of_file = read_options_file(given.config)
        if given.download is None and of_file.get("download", False) is not False:
            # Who passes a file on decides what is computed, not what lands outside the storage.
            raise OptionError(
                f"download={shown(of_file['download'])}: must be given on the command line, "
                "as it writes into data_root"
            )
        if "plugin" in of_file:
            raise OptionError(
                f"plugin={shown(of_file['plugin'])}: must be given on the command line, as it is "
                "executed"
            )
        values |= of_file
    for name in Study.model_fields:
        if (given_value := getattr(given, name)) is not None:
            is_list = isinstance(given_value, list)
            values[name] = " ".join(given_value) if is_list else given_value
    return values


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
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
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
