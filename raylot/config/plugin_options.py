"""Options that plugins declare for what they add: what there is, and values written as text.

A run holds those that it uses in one text, ``plugin_options``, as
``intervention:clipped:clip_at=0.1,intervention:clipped:mode=soft``: tables have the same columns
whatever plugins declare, and another process can read it without the plugin.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import field_validator, model_validator
from pydantic.fields import FieldInfo

from raylot.config.options import Options
from raylot.config.options import option as declare
from raylot.foundation import registry

#: Who has an option: a kind and a name, as ``("intervention", "clipped")``.
Owner = tuple[str, str]

_PART = re.compile(r"([a-z]+):([a-z][a-z0-9_]*):([a-z][a-z0-9_]*)=([A-Za-z0-9_.+-]+)")


# ------------------------------------------------------------------ what is declared


def fields() -> dict[str, FieldInfo]:
    """Returns the declarations of all plugins' options."""
    models = registry.with_options().values()
    return {name: field for model in models for name, field in model.model_fields.items()}


def owners(option: str) -> list[Owner]:
    """Returns what has an option, as ``[("intervention", "clipped")]``."""
    models = registry.with_options()
    return [owner for owner, model in models.items() if option in model.model_fields]


def kind_of(option: str) -> str | None:
    """Returns the kind of what has an option, as ``intervention``; None if nothing has it."""
    return next((kind for kind, _ in owners(option)), None)


def names_of(owner: Owner) -> tuple[str, ...]:
    """Returns the names of the options that something of a plugin has."""
    model = registry.options_of(*owner)
    return () if model is None else tuple(model.model_fields)


# ------------------------------------------------------------------ values as text


def parsed(text: str | None) -> dict[Owner, dict[str, Any]]:
    """Reads a text of options: owner -> option -> value.

    Values of a plugin that this process has not loaded are numbers where they look like some.

    Raises:
        ValueError: it is no such text.
    """
    found: dict[Owner, dict[str, Any]] = {}
    for part in text.split(",") if text else ():
        if (of := _PART.fullmatch(part)) is None:
            raise ValueError(f"{part!r} is no kind:name:option=value")
        kind, name, option, value = of.groups()
        found.setdefault((kind, name), {})[option] = _read((kind, name), option, value)
    return found


def _read(owner: Owner, option: str, value: str) -> Any:
    model = registry.options_of(*owner)
    if model is not None and option in model.model_fields:
        return getattr(model.checked(**{option: value}), option)
    if value in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[value]
    for number in (int, float):
        try:
            return number(value)
        except ValueError:
            continue
    return value


def text_of(values: Mapping[Owner, Mapping[str, Any]]) -> str | None:
    """Writes options as `parsed` reads them, sorted; None if there are none."""
    parts = [
        f"{kind}:{name}:{option}={value_text(value)}"
        for (kind, name), own in values.items()
        for option, value in own.items()
    ]
    return ",".join(sorted(parts)) or None


def value_text(value: Any) -> str:
    """Returns a value as a user writes it: ``0.1``, ``true``, ``none``."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def checked_text(text: str | None) -> str | None:
    """Returns the same options, checked, in the one way in which runs write them.

    Raises:
        OptionError: a value is not accepted.
        ValueError: it is no text of options.
    """
    return text_of(parsed(text))


def joined(text: str | None, given: str | None) -> str | None:
    """Returns the options of two texts; those of ``given`` where both have one."""
    values = parsed(text)
    for owner, own in parsed(given).items():
        values[owner] = values.get(owner, {}) | own
    return text_of(values)


def taken_up(values: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Moves the values of plugins' options into ``plugin_options``.

    Args:
        values: options as a user gives them; others than plugins' stay.
        known: the options that are built in.

    Raises:
        OptionError: a plugin's option does not accept its value.
    """
    others = values.keys() - known
    if others - fields().keys():
        registry.load_installed()
    given = {option: owners(option) for option in sorted(others)}
    own = text_of(
        {
            owner: {
                option: getattr(
                    registry.options_of(*owner).checked(**{option: values[option]}), option
                )
                for option, of in given.items()
                if owner in of
            }
            for owner in {owner for of in given.values() for owner in of}
        }
    )
    if own is None:
        return dict(values)
    kept = {name: value for name, value in values.items() if not given.get(name)}
    return {**kept, "plugin_options": joined(kept.get("plugin_options"), own)}


def in_use(text: str | None, used: Iterable[Owner]) -> str | None:
    """Returns all options of what a run uses: those given in a text, others at their defaults.

    Raises:
        OptionError: values are not accepted together.
    """
    there = parsed(text)
    found: dict[Owner, Mapping[str, Any]] = {}
    for owner in used:
        given = there.get(owner, {})
        model = registry.options_of(*owner)
        found[owner] = given if model is None else model.accepting(owner, given)
    return text_of(found)


def value_in(text: str | None, option: str) -> Any:
    """Returns the value of an option in a text, else its default.

    Raises:
        KeyError: no plugin that this process has loaded has such an option, and the text lacks it.
    """
    for own in parsed(text).values():
        if option in own:
            return own[option]
    return fields()[option].default


# ------------------------------------------------------------------ options that hold them


class WithPluginOptions(Options):
    """Base of options beside which plugins' options stand; these are read as attributes too."""

    plugin_options: str | None = declare(
        None, "options of plugins, as kind:name:option=value; filled in", off=None, role="training"
    )

    if not TYPE_CHECKING:  # a type checker would then accept any attribute

        def __getattr__(self, name: str) -> Any:
            with suppress(AttributeError):
                return super().__getattr__(name)
            try:
                return value_in(self.__dict__.get("plugin_options"), name)
            except KeyError:
                told = f"{type(self).__name__!r} object has no attribute {name!r}"
                raise AttributeError(told) from None

    @model_validator(mode="before")
    @classmethod
    def _options_of_plugins_are_taken_up(cls, values: Any) -> Any:
        known = cls.model_fields.keys()
        if not isinstance(values, dict) or values.keys() <= known:
            return values
        return taken_up(values, known)

    @field_validator("plugin_options")
    @classmethod
    def _options_of_plugins_are_accepted(cls, value: str | None) -> str | None:
        return checked_text(value)
