"""Shared by all analyses: options from the command line, and errors in one line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

import pyarrow as pa
from rich.console import Console

from raylot.config.options import Options, accepted, option
from raylot.config.parser import joined_negatives
from raylot.foundation.errors import OptionError
from raylot.foundation.printing import print_any_text
from raylot.foundation.text import one_line

AnyOptions = TypeVar("AnyOptions", bound=Options)


class StorageOptions(Options):
    """The options of every analysis."""

    storage: str = option(
        ..., "storage of a sweep", accepts="folder or URI, as given to the sweep"
    )  # fmt: skip


class _Parser(argparse.ArgumentParser):
    def __init__(self, model: type[Options], description: str | None) -> None:
        super().__init__(description=description, allow_abbrev=False)
        self._model = model

    def error(self, message: str) -> NoReturn:
        if missing := re.match(r"argument --(\w+): expected", message):
            what = accepted(self._model.model_fields[missing[1]])
            raise OptionError(f"{missing[1]}=: must be {what}")
        raise OptionError(f"{message} (--help lists the options)")


def parse(
    model: type[AnyOptions], description: str | None, arguments: Sequence[str] | None
) -> AnyOptions:
    """Reads options as ``--name VALUE``, and a first option called ``storage`` by its place.

    Raises:
        OptionError: an option does not exist or its value is not accepted.
    """
    parser = _Parser(model, description)
    for name, field in model.model_fields.items():
        text = f"{field.description}: {accepted(field)}".replace("%", "%%")
        if name == "storage":
            parser.add_argument(name, metavar="STORAGE", help=text)
        else:
            parser.add_argument(
                f"--{name}", metavar=name.upper(), help=f"{text} (default: {field.default})"
            )
    words = joined_negatives(sys.argv[1:] if arguments is None else arguments)
    given = vars(parser.parse_args(words))
    return model.checked(**{name: value for name, value in given.items() if value is not None})


def run(main: Callable[[], None]) -> int:
    """Runs a script's main function, and prints an error that the user can mend as one line on
    stderr.

    Returns:
        The exit code: 0, 2 after an error, or 130 after Ctrl-C.
    """
    print_any_text()
    try:
        main()
    except KeyboardInterrupt:
        return 130
    except (OptionError, OSError, pa.ArrowException) as error:
        # As it is called on the command line.
        text = re.sub(r"^(?!storage=)(?=\w+=)", "--", str(error))
        print("error:", one_line(re.sub("^storage=", "STORAGE=", text)), file=sys.stderr)
        return 2
    return 0


def terminal() -> Console:
    """Returns the console for results: at most 80 columns wide, plain text if piped."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = min(console.width, 80)
    return console
