"""Shared by all analyses: options from the command line, and errors in one line."""

from __future__ import annotations

import os
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import TypeVar

import pyarrow as pa
from rich.console import Console

from raylot.config.options import Options, accepted, option
from raylot.config.parser import OneLineParser, print_error, words_of
from raylot.foundation.errors import OptionError
from raylot.foundation.text import escape_unencodable_output

AnyOptions = TypeVar("AnyOptions", bound=Options)

#: The exit status of a process whose output nobody reads any more, as shells have it.
BROKEN_PIPE_STATUS = 141


class StorageOptions(Options):
    """The options of every analysis."""

    storage: str = option(
        ..., "storage of a sweep", accepts="folder or URI, as given to the sweep", role="where"
    )  # fmt: skip


def parse(
    model: type[AnyOptions], description: str | None, arguments: Sequence[str] | None
) -> AnyOptions:
    """Reads options as ``--name VALUE``; ``storage`` is positional.

    Raises:
        OptionError: an option does not exist or its value is not accepted.
    """
    parser = OneLineParser(
        model.model_fields, description=description, formatter_class=RawDescriptionHelpFormatter
    )
    if parser.prog == "raylot analyse":
        parser.prog += " " + model.__module__.rpartition(".")[2]
    for name, field in model.model_fields.items():
        text = f"{field.description}: {accepted(field)}".replace("%", "%%")
        if name == "storage":
            parser.add_argument(name, metavar="STORAGE", help=text)
        else:
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                metavar=name.upper(),
                help=f"{text} (default: {field.default})",
            )
    given = vars(parser.parse_args(words_of(arguments)))
    return model.checked(**{name: value for name, value in given.items() if value is not None})


def run(main: Callable[[], int | None]) -> int:
    """Runs a command's main function; what the user can mend is told in one line on stderr.

    Returns:
        The exit status: what the function returned, or 0; 2 after an error; 130 after Ctrl-C; 141
        if nobody reads the output.
    """
    escape_unencodable_output()
    try:
        return status_of(main)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        stop_printing()
        return BROKEN_PIPE_STATUS


def status_of(main: Callable[[], int | None]) -> int:
    """As `run`, but lets Ctrl-C and a broken pipe through."""
    try:
        return main() or 0
    except BrokenPipeError:
        raise
    except (OptionError, OSError, pa.ArrowException) as error:
        print_error(error, positional=["storage"])
        return 2


def stop_printing() -> None:
    """Lets Python end quietly when nobody reads its output any more, as after ``| head``."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def terminal() -> Console:
    """Returns the console for results: at most 80 columns wide, plain text if piped."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = min(console.width, 80)
    return console
