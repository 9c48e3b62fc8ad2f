"""What the scripts in this folder share: options from the command line, errors in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

import pyarrow as pa
from rich.console import Console

from raylot.options import OptionError, Options, accepted

AnyOptions = TypeVar("AnyOptions", bound=Options)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message} (--help lists the options)")


def parse(
    model: type[AnyOptions], description: str | None, arguments: Sequence[str] | None
) -> AnyOptions:
    """Reads options as ``--name VALUE``, and a first option called ``storage`` by its place.

    Raises:
        OptionError: an option does not exist or its value is not accepted.
    """
    parser = _Parser(description=description, allow_abbrev=False)
    for name, field in model.model_fields.items():
        text = f"{field.description}: {accepted(field)}".replace("%", "%%")
        if name == "storage":
            parser.add_argument(name, metavar="STORAGE", help=text)
        else:
            parser.add_argument(
                f"--{name}", metavar=name.upper(), help=f"{text} (default: {field.default})"
            )
    given = vars(parser.parse_args(arguments))
    return model.checked(**{name: value for name, value in given.items() if value is not None})


def run(main: Callable[[], None]) -> int:
    """Runs a script's main function; what the user can mend is told in one line on stderr.

    Returns:
        The exit code: 0, or 2 after an error.
    """
    try:
        main()
    except (OptionError, OSError, pa.ArrowException) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


def terminal() -> Console:
    """Where results are printed: at most 80 columns wide, plain text if piped."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = min(console.width, 80)
    return console
