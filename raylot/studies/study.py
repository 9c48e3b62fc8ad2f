"""A study as Python asks for it: the command line's options, presets and messages."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr, ValidationError

from raylot import config
from raylot.config.options import explain, is_marked
from raylot.config.parameters import help_of
from raylot.config.presets import PRESETS, preset_with, unknown_preset
from raylot.config.search_axes import INTERVENTION, options_of
from raylot.foundation.errors import OptionError


class Study(config.Study):
    """A study: the streams, tickets and measures to compute, and what they may use.

    ``Study(seeds=range(3), tasks=11)`` asks for what a command line with ``--seeds 0-2 --tasks 11``
    asks for. Values may be Python's own (numbers, lists, ranges, arrays) or texts as typed on the
    command line (``seeds="0-9"``). Options that are not given have the preset's values; some have
    other defaults in ``raylot sweep NAME``, as its three interventions: see its ``--help``.

    Args:
        preset: the values to start from, ``"default"`` or ``"original"``.
        **options: listed below, with the values of the default preset.

    Raises:
        OptionError: in one line, an option does not exist or its value is not accepted.
    """

    _preset: str = PrivateAttr("default")

    def __init__(self, preset: str = "default", **options: Any) -> None:
        if preset not in list(PRESETS):  # a list may be asked for a value that has no hash
            raise OptionError(unknown_preset(preset))
        given = {name: _plain(value) for name, value in options.items()}
        try:
            super().__init__(**preset_with(PRESETS[preset], given))
        except ValidationError as error:
            raise OptionError(explain(type(self), error)) from None
        self._preset = preset

    def __repr__(self) -> str:
        """The preset, and the options in which the study differs from it."""
        standard = dict(Study(self._preset))
        parts = [] if self._preset == "default" else [repr(self._preset)]
        searched = {name for axis in self.searched for name in options_of(axis)}
        if INTERVENTION in searched:
            searched.add("interventions")
        parts += [
            f"{name}={_python(value)}"
            for name, value in self
            if name != "plugin_options" and value != standard[name] and name not in searched
        ]
        parts += [f"{name}={_python(value)}" for name, value in self.own_options.items()]
        return f"Study({', '.join(parts)})"

    __str__ = __repr__


def _python(value: Any) -> str:
    """Returns Python's text for an option's value; many evenly spaced numbers as a range."""
    if isinstance(value, tuple) and len(value) > 5 and isinstance(value[0], int):
        first, second, *_, last = value
        spaced = range(first, last + 1, second - first)
        if tuple(spaced) == value:
            return repr(spaced)
    return repr(str(value) if isinstance(value, Path) else value)


def _plain(value: Any) -> Any:
    """Turns arrays and numbers of numpy, also in a mapping, into Python's own."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


def _listed_options() -> str:
    """Describes all options, those that most studies need first."""
    fields = sorted(Study.model_fields.items(), key=lambda item: not is_marked(item[1], "common"))
    lines = ["    Options:"]
    for name, field in fields:
        default = PRESETS["default"].get(name, field.default)
        default = ",".join(map(str, default)) if isinstance(default, tuple) else default
        text = f"{name}: {help_of(name, field)} (default: {default})"
        lines += textwrap.wrap(text, 100, initial_indent=8 * " ", subsequent_indent=12 * " ")
    return "\n".join(lines)


Study.__doc__ = f"{Study.__doc__}\n{_listed_options()}\n"
