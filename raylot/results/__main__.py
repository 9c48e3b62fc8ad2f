"""Looks after a storage's tables: ``python -m raylot.results compact STORAGE``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

import pyarrow as pa

from raylot.options import OptionError
from raylot.results.compaction import compact_each
from raylot.storage import Storage


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message} (--help says what there is)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line asks for.

    Returns:
        The exit status: 0, or 2 after an error, told in one line on standard error.
    """
    parser = _Parser(prog="python -m raylot.results", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "gathers the small files of ended runs in few large ones; safe while a sweep runs"
    compacting = commands.add_parser("compact", help=text, description=text, allow_abbrev=False)
    compacting.add_argument("storage", metavar="STORAGE", help="folder or URI, as given to a sweep")
    try:
        given = parser.parse_args(arguments)
        _compact(Storage(given.storage))
    except (OptionError, OSError, pa.ArrowException) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


def _compact(storage: Storage) -> None:
    if not storage.exists("tables"):
        raise OptionError(
            f"storage={storage.root}: must be the folder or URI of a raylot storage (it has no "
            "tables)"
        )
    print(f"{'table':<20}{'files before':>14}{'after':>10}")
    changed = False
    for table in compact_each(storage):
        print(f"{table.table:<20}{table.before:>14,}{table.after:>10,}", flush=True)
        changed |= table.before != table.after
    print("Done." if changed else "There was nothing to do.")


if __name__ == "__main__":
    sys.exit(main())
