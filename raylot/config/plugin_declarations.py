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

#: What can have options of its own -> what these decide.
_ROLES: dict[str, Role] = {
    "shift": "training", "network": "training", "intervention": "training", "criterion": "search",
    "metric": "measurement",
}  # fmt: skip

_NAME = re.compile("[a-z][a-z0-9_]{0,49}")
_WORD = re.compile(r"[A-Za-z0-9_.+-]{1,50}")


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
            if other != (kind, name) and repr(own[option]) != repr(known.model_fields[option]):
                raise OptionError(
                    f"{kind} {name}: option {option}: must have another name, or be declared as "
                    f"that of {' '.join(other)} is"
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
    def accepting(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns all options, those that are not given at their defaults.

        Raises:
            OptionError: a value is not accepted.
        """
        found = dict(cls.checked(**values))
        try:
            cls.declared(**found)
        except ValidationError as error:
            raise OptionError(explain(cls, error)) from None
        except ValueError as error:
            raise OptionError(str(error)) from None
        return found


def _field(
    at: str, kind: str, option: str, declared: FieldInfo, taken: Collection[str]
) -> FieldInfo:
    """Returns the declaration of one option, as `raylot.config.options.option` returns it."""
    if not _NAME.fullmatch(option):
        raise OptionError(f'{at}: must have a name of at most 50 small letters, digits and "_"')
    if option in taken:
        raise OptionError(f"{at}: must have another name, as an option or a column is called so")
    if declared.default is PydanticUndefined:
        raise OptionError(f"{at}: must have a default")
    if not _is_accepted_type(declared.annotation):
        raise OptionError(
            f"{at}: must be an int, a float (or one of them or None), a bool, or a Literal of words"
        )
    field = copy.copy(declared)
    like: FieldInfo = declare(None, "", role=_ROLES[kind], common=True)
    field.json_schema_extra = like.json_schema_extra
    return field


def _is_accepted_type(annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        words = get_args(annotation)
        return all(isinstance(word, str) and _WORD.fullmatch(word) for word in words)
    if get_origin(annotation) in (Union, UnionType):
        return set(get_args(annotation)) in ({int, NoneType}, {float, NoneType})
    return annotation in (int, float, bool)
