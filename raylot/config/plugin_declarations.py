"""Reads the options that a plugin declares for what it adds."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Collection, Mapping
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from raylot.config.options import Options, Role, explain
from raylot.config.options import option as declare
from raylot.foundation import registry
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.text import one_line

#: What can have options of its own -> what these decide.
_ROLES: dict[str, Role] = {
    "shift": "training", "network": "training", "intervention": "training", "criterion": "search",
    "metric": "measurement",
}  # fmt: skip

_NAME = re.compile("[a-z][a-z0-9_]{0,49}")
#: A word that reads as no number, so that other processes know it as a word.
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,49}")


def model_of(kind: str, name: str, declared: Any, taken: Collection[str]) -> type[Options] | None:
    """Returns the model of a plugin's own options; None if it declares none.

    Args:
        kind: of what has the options.
        name: of what has the options.
        declared: a dataclass, or a pydantic model. Each of its fields is a number, a bool, or a
            ``Literal`` of words, and has a default; ``pydantic.Field`` adds range and help.
        taken: names that no option can have.

    Raises:
        OptionError: the declaration is another one, or an option's name is taken.
    """
    if declared is None:
        return None
    at = f"{kind} {name}: options={shown(getattr(declared, '__name__', declared))}"
    if not isinstance(declared, type):
        raise OptionError(f"{at}: must be a dataclass or a pydantic model")
    if issubclass(declared, BaseModel):
        fields = dict(declared.model_fields)
    elif dataclasses.is_dataclass(declared):
        hints = get_type_hints(declared, include_extras=True)
        fields = {
            field.name: FieldInfo.from_annotated_attribute(hints[field.name], field.default)
            if field.default is not dataclasses.MISSING
            else FieldInfo.from_annotation(hints[field.name])
            for field in dataclasses.fields(declared)
        }
    else:
        raise OptionError(f"{at}: must be a dataclass or a pydantic model")
    if not fields:
        raise OptionError(f"{at}: must have an option")
    own = {
        option: _field(f"{kind} {name}: option {option}", kind, option, field, taken)
        for option, field in fields.items()
    }
    annotated: dict[str, Any] = {option: (field.annotation, field) for option, field in own.items()}
    model = create_model(declared.__name__, __base__=_OwnOptions, **annotated)
    model.declared = declared
    for other, known in registry.with_options().items():
        for option in own.keys() & known.model_fields.keys():
            is_alike = repr(own[option]) == repr(known.model_fields[option])
            if other != (kind, name) and not (other[0] == kind and is_alike):
                raise OptionError(
                    f"{kind} {name}: option {option}: must have another name, as {' '.join(other)} "
                    "has it; only options of one kind that are declared alike can share a name"
                )
    try:
        model.checked()
    except OptionError as error:
        raise OptionError(f"{kind} {name}: default {error}") from None
    return model


class _OwnOptions(Options):
    """Base of the models of plugins' options."""

    #: What the plugin has declared, which may check several options together.
    declared: ClassVar[Any] = None

    @classmethod
    def accepting(cls, owner: tuple[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns all options, those that are not given at their defaults.

        Args:
            owner: kind and name of what has the options, for messages.
            values: those that are given.

        Raises:
            OptionError: a value is not accepted.
        """
        found = dict(cls.checked(**values))
        try:
            cls.declared(**found)
        except Exception as error:
            text = explain(cls, error) if isinstance(error, ValidationError) else one_line(error)
            if text.partition("=")[0] in found:  # it names the option itself
                raise OptionError(text) from None
            given = ", ".join(f"{name}={shown(value)}" for name, value in found.items())
            told = registry.describe_error(error)
            raise OptionError(f"{' '.join(owner)}: {given}: {told}") from None
        return found


def _field(
    at: str, kind: str, option: str, declared: FieldInfo, taken: Collection[str]
) -> FieldInfo:
    """Returns the declaration of one option, as `raylot.config.options.option` returns it."""
    if not _NAME.fullmatch(option):
        raise OptionError(f'{at}: must have a name of at most 50 small letters, digits and "_"')
    if option in taken:
        raise OptionError(f"{at}: must have another name, as an option or a column is called so")
    if declared.alias is not None or declared.validation_alias is not None:
        raise OptionError(f"{at}: must have no alias")
    if declared.default is PydanticUndefined:
        raise OptionError(f"{at}: must have a default")
    if not _is_accepted_type(declared.annotation):
        raise OptionError(
            f"{at}: must be an int, a float (or one of them or None), a bool, or a Literal of "
            "words that begin with a letter and are none of true, false, none, inf and nan"
        )
    field = copy.copy(declared)
    like: FieldInfo = declare(None, "", role=_ROLES[kind], common=True)
    field.json_schema_extra = like.json_schema_extra
    return field


def _is_accepted_type(annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        words = get_args(annotation)
        return all(isinstance(word, str) and _WORD.fullmatch(word) for word in words) and not (
            {word.lower() for word in words} & {"true", "false", "none", "inf", "infinity", "nan"}
        )
    if get_origin(annotation) in (Union, UnionType):
        return set(get_args(annotation)) in ({int, NoneType}, {float, NoneType})
    return annotation in (int, float, bool)
