"""The base of all options: it reads their texts, checks their values and words mistakes."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin

import annotated_types
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from raylot.foundation import registry
from raylot.foundation.errors import OptionError, shown

#: Numbers that a range may hold: more would be a slip, as ``0-99999999999``.
_LONGEST_RANGE = 100_000

#: Names that a message lists; more would hide what it says.
_MOST_LISTED = 30

#: ``3``, ``0-9`` or ``0-40:10``.
_SPAN = re.compile("([0-9]+)(?:-([0-9]+)(?::([0-9]+))?)?")

Role = Literal["training", "extent", "search", "measurement", "verdict", "where"]

#: Role -> what options with that role decide.
ROLES: dict[Role, str] = {
    "training": "how networks are trained",
    "extent": "how much is computed",
    "search": "how tickets are searched",
    "measurement": "what is measured",
    "verdict": "what the analysis concludes",
    "where": "where and how fast all of that is computed",
}

# ------------------------------------------------------------------ reading values as users write


def parse_integers(value: Any) -> Any:
    """``"0-3,10,20-40:10"`` -> ``[0, 1, 2, 3, 10, 20, 30, 40]``; a list or a number is kept."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str):
        return value
    numbers: list[int] = []
    for part in value.replace(",", " ").split():
        span = _SPAN.fullmatch(part)
        if span is None:
            raise ValueError("neither a number nor a range")
        first, last, step = span.groups()
        span_numbers = range(int(first), int(last or first) + 1, int(step or 1))
        if not span_numbers or span_numbers[_LONGEST_RANGE:]:
            raise ValueError("a range that holds nothing, or too much")
        numbers += span_numbers
    return numbers


#: In an annotation: reads whole numbers as users write them.
Integers = BeforeValidator(parse_integers)


def parse_list(value: Any) -> Any:
    """``"0.8,0.9"`` or ``"0.8 0.9"`` -> ``["0.8", "0.9"]``; a single number becomes a list."""
    if isinstance(value, str):
        return value.replace(",", " ").split()
    return [value] if isinstance(value, int | float) else value


def parse_rounds(value: Any) -> Any:
    """``"3"`` -> ``3``; ``"0.8:3,0.9:5"`` -> ``{0.8: 3, 0.9: 5}``; ``"auto"`` -> ``None``."""
    if isinstance(value, dict):
        pairs = [(float(str(sparsity)), rounds) for sparsity, rounds in value.items()]
    elif not isinstance(value, str):
        return value
    elif value == "auto":
        return None
    elif not value.isascii() or "_" in value:  # Python's numbers can be written in more ways
        raise ValueError("no number")
    elif ":" not in value:
        return int(value)
    else:
        parts = [part.split(":") for part in parse_list(value)]
        pairs = [(float(sparsity), int(rounds)) for sparsity, rounds in parts]
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a sparsity is given twice")
    return dict(pairs)


#: How help and messages say that an option's names are not all there can be.
PLUGINS_ADD = "--plugin FILE.py adds others"


@dataclass(frozen=True)
class OneOf:
    """In an option's annotation: it takes names of one kind, as ``shift``; plugins can add some."""

    kind: str

    def names(self) -> list[str]:
        """Returns the names that are known now."""
        return registry.names(self.kind)


def named_by(field: FieldInfo) -> OneOf | None:
    """Returns the names that an option takes; None if it takes no names."""
    return next((extra for extra in field.metadata if isinstance(extra, OneOf)), None)


def option(
    default: Any,
    help: str,
    *,
    role: Role,
    accepts: str | None = None,
    off: Any = PydanticUndefined,
    common: bool = False,
    compared: bool = False,
    repeated: bool = False,
    drawn: str | None = None,
    **constraints: Any,
) -> Any:
    """Declares one option.

    Args:
        default: Its value when not given.
        help: What it does, with units.
        role: What it decides, one of `ROLES`. An option with the role ``where`` cannot change
            results, and is no part of a run's identity.
        accepts: What is accepted, in words; left out, it is derived from type and range.
        off: The value that leaves a run's identity as it was before the option existed.
        common: Whether most studies need it, so that ``--help`` shows it.
        compared: Whether a study compares its values, so that runs that differ in it alone share a
            protocol.
        drawn: The distribution from which the study ``best-settings`` draws it, as
            ``loguniform(1e-4,1e-2)``; None: it is searched only if the user asks for it.
        repeated: Whether a command line may give it several times, each time with more values.
        **constraints: pydantic's ``ge``, ``gt``, ``le``, ``lt``, ``min_length``.
    """
    extra: dict[str, Any] = {"role": role, "accepts": accepts, "off": off}
    extra |= {"common": common, "compared": compared, "repeated": repeated, "drawn": drawn}
    return Field(default, description=help, json_schema_extra=extra, **constraints)


class Options(BaseModel):
    """Base of all configuration: unknown keys are refused, values cannot be changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _as_users_mean_it(cls, values: Any) -> Any:
        """Reads ``none`` as None where that is accepted; refuses True where a number is meant."""
        if not isinstance(values, dict):
            return values
        read, fields = dict(values), cls.model_fields
        for name, value in values.items():
            if (field := fields.get(name)) is None or field.annotation is bool:
                continue
            if _holds_bool(value):
                raise ValueError(f"{name}={shown(value)}: must be {accepted(field)}")
            if value == "none" and _may_be_none(field):
                read[name] = None
        return read

    @classmethod
    def checked(cls, /, **values: Any) -> Self:
        """Builds the model; a wrong value raises `OptionError` with a one-line message."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise OptionError(explain(cls, error)) from None

    def identity(self, names: Collection[str] | None = None) -> dict[str, Any]:
        """The options that can change results, as JSON values; those that are off are left out.

        Args:
            names: the options to look at; None: all.
        """
        values = self.model_dump(mode="json", include=None if names is None else set(names))
        off_values = _off_values(type(self))
        return {
            name: value
            for name, value in values.items()
            if name in off_values and getattr(self, name) != off_values[name]
        }


@functools.cache
def _off_values(model: type[Options]) -> dict[str, Any]:
    """Returns the options that can change results, each with the value at which it is off."""
    return {
        name: _extra(field).get("off", PydanticUndefined)
        for name, field in model.model_fields.items()
        if role_of(field) != "where"
    }


# ------------------------------------------------------------------ errors and help texts


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def is_marked(field: FieldInfo, mark: str) -> bool:
    """Whether an option was declared as ``common``, ``compared`` or ``repeated``, see `option`."""
    return bool(_extra(field).get(mark))


def role_of(field: FieldInfo) -> Role:
    """Returns the role with which an option was declared, see `option`."""
    role: Role = _extra(field)["role"]
    return role


def drawn_from(field: FieldInfo) -> str | None:
    """Returns the distribution from which an option is drawn, see `option`."""
    drawn: str | None = _extra(field).get("drawn")
    return drawn


def off_value(field: FieldInfo) -> Any:
    """Returns the value at which an option is off, see `option`; None if it has none."""
    off = _extra(field).get("off")
    return None if off is PydanticUndefined else off


def takes_several(field: FieldInfo) -> bool:
    """Whether an option takes several values, as ``--sparsities 0.8 0.9``."""
    kinds = {get_origin(part) for part in (field.annotation, *get_args(field.annotation))}
    return bool(kinds & {tuple, dict})


def accepted(field: FieldInfo) -> str:
    """Returns what an option accepts, in words: ``a number in [0, 1)``."""
    if text := _extra(field).get("accepts"):
        return str(text)
    named = named_by(field)
    if named is not None and field.annotation is not str:
        names = ", ".join(named.names()) or f"the {named.kind}s that plugins add"
        return f"one or more of {names}, each once" + ", or none" * _may_be_none(field)
    is_literal = get_origin(field.annotation) is Literal
    if choices := named.names() if named else get_args(field.annotation) * is_literal:
        return "one of " + ", ".join(map(str, choices))
    if field.annotation is bool:
        return "true or false"
    low, high = "(-inf", "inf)"
    for constraint in field.metadata:
        if isinstance(constraint, annotated_types.Ge):
            low = f"[{constraint.ge}"
        elif isinstance(constraint, annotated_types.Gt):
            low = f"({constraint.gt}"
        elif isinstance(constraint, annotated_types.Le):
            high = f"{constraint.le}]"
        elif isinstance(constraint, annotated_types.Lt):
            high = f"{constraint.lt})"
    kinds = set(get_args(field.annotation)) or {field.annotation}
    if kinds & {int, float}:
        noun = "a whole number" if int in kinds else "a number"
        return f"{noun} in {low}, {high}" + ", or none" * _may_be_none(field)
    return "a text"


def _holds_bool(value: Any) -> bool:
    """Whether a value is True or False, or lists or maps one."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple | set):
        return any(isinstance(part, bool) for part in value)
    return isinstance(value, bool)


def _may_be_none(field: FieldInfo) -> bool:
    """Whether an option may be left out, and ``none`` cannot be a text that the user means."""
    kinds = set(get_args(field.annotation))
    return type(None) in kinds and not kinds & {str, Path}


def explain(model: type[BaseModel], error: ValidationError) -> str:
    """Returns the one-line message of the first mistake among a model's values."""
    first = error.errors()[0]
    location: Iterable[Any] = first["loc"]
    name = next((str(part) for part in location), "")
    if first["type"] == "extra_forbidden":
        of_plugins = [n for own in registry.with_options().values() for n in own.model_fields]
        known = [*(n for n in model.model_fields if n != "plugin_options"), *of_plugins]
        return unknown_option(name, first["input"], known)
    field, mistake = model.model_fields.get(name), first.get("ctx", {}).get("error")
    if field is None or isinstance(mistake, OptionError):  # it names option and value itself
        return first["msg"] if mistake is None else str(mistake)
    if first["type"] == "value_error" and str(mistake).startswith("must be"):
        return f"{name}={shown(first['input'])}: {mistake}"
    return f"{name}={shown(first['input'])}: must be {accepted(field)}"


def unknown_option(name: str, value: Any, known: Iterable[str]) -> str:
    """The one-line message for an option that does not exist."""
    names = sorted(known)
    accepted = "no option is called so, built in or of a plugin that is loaded"
    if len(names) <= _MOST_LISTED:
        accepted = f"accepted: {', '.join(names)}"
    return f"{shown(name)}={shown(value)}: unknown option; {did_you_mean(name, names) or accepted}"


#: Option that is gone -> the option that does the same, and why.
_SUCCESSORS = {"shuffled_masks": ("random_masks", "masks shuffled within their layers are random")}


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """``did you mean epochs?`` if a known word is close to this one, or replaces it."""
    known = list(known)
    successor, reason = _SUCCESSORS.get(word.replace("-", "_"), ("", ""))
    for name in known:
        if name.replace("-", "_") == successor:
            return f"did you mean {name}? ({reason})"
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else None
