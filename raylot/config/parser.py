"""Reads command lines, and tells each mistake in one line that names what the user typed."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pydantic.fields import FieldInfo

from raylot.config.options import accepted
from raylot.foundation.errors import OptionError
from raylot.foundation.text import one_line

#: How the reason begins of a message about two options of which only one may be given.
_WITHOUT = "must be given without "


class OneLineParser(argparse.ArgumentParser):
    """A parser that raises `OptionError` where argparse prints its usage and exits.

    Args:
        fields: the declarations of options, which say what is accepted where a value is missing.
        **settings: those of argparse.
    """

    def __init__(self, fields: Mapping[str, FieldInfo] | None = None, **settings: Any) -> None:
        settings.setdefault("prog", _program())
        super().__init__(**settings, allow_abbrev=False)
        self._fields = fields or {}

    def error(self, message: str) -> NoReturn:
        if missing := re.match(r"argument --([a-z0-9-]+): expected", message):
            name = missing[1].replace("-", "_")
            field = self._fields.get(name)
            raise OptionError(f"{name}=: must be {accepted(field) if field else 'given a value'}")
        raise OptionError(f"{message} (--help lists what there is)")


def _program() -> str | None:
    """``raylot report`` for a command of raylot; None for a script, whose name argparse knows."""
    is_raylot = Path(sys.argv[0]).name in ("raylot", "__main__.py")
    return " ".join(["raylot", *sys.argv[1:2]]) if is_raylot else None


def words_of(arguments: Sequence[str] | None) -> list[str]:
    """The words of a command line; None: of this process's.

    ``--lr -1e-3`` becomes ``--lr=-1e-3``, as argparse takes the value for an option.
    """
    words: list[str] = []
    for word in sys.argv[1:] if arguments is None else arguments:
        if words and re.fullmatch(r"--[a-z0-9-]+", words[-1]) and re.match(r"-[\d.]|-inf", word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def print_error(
    error: BaseException,
    fields: Mapping[str, FieldInfo] | None = None,
    positional: Collection[str] = (),
) -> None:
    """Prints an error in one line on standard error, see `as_typed`."""
    text = str(error) if isinstance(error, OptionError) else one_line(error)
    print("error:", as_typed(text, fields, positional), file=sys.stderr)


def as_typed(
    message: str, fields: Mapping[str, FieldInfo] | None = None, positional: Collection[str] = ()
) -> str:
    """A message with the names of options as the command line has them.

    ``batch_size=0: ...`` becomes ``--batch-size=0: ...``, and names in what follows get dashes too.

    Args:
        message: the text of an `OptionError`.
        fields: the declarations of the options that the message may name.
        positional: options that are given by their place alone; ``storage`` becomes ``STORAGE``.
    """
    given, colon, reason = message.partition(": ")
    begin = re.match(r"(\w+)=", given)
    if begin is None:
        return _dashed_names(message, fields or {})
    name, value = begin[1], given[begin.end() :]
    if name in positional:
        given = f"{name.upper()}={value}"
    elif value == "True" and fields and name in fields and fields[name].annotation is bool:
        given = dashed(name)
    else:
        given = f"{dashed(name)}={value}"
    # A plugin's own words stay as they are, and so do the names that --search takes.
    is_kept = name == "plugin" or (name == "search" and not reason.startswith(_WITHOUT))
    return given + colon + (reason if is_kept else _dashed_names(reason, fields or {}))


def dashed(name: str) -> str:
    """``batch_size`` -> ``--batch-size``."""
    return f"--{name.replace('_', '-')}"


def _dashed_names(text: str, fields: Mapping[str, FieldInfo]) -> str:
    """Names of options in a sentence, where a ``_`` or ``=`` tells them from English words."""
    if not fields:
        return text
    name = re.compile(rf"(?<![\w/.=-])({'|'.join(fields)})\b(=True\b|(?==))?")

    def typed(found: re.Match[str]) -> str:
        is_option = "_" in found[1] or found[2] is not None
        return dashed(found[1]) if is_option else found[0]

    return name.sub(typed, text)
