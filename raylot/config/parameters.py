"""Which options a data set, shift, network, intervention or optimizer uses."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from typing import Any, get_args

from pydantic.fields import FieldInfo

from raylot.config import (
    criterion_options,
    data_options,
    intervention_options,
    network_options,
    plugin_options,
    shift_options,
    training_options,
)
from raylot.config.options import Options
from raylot.foundation import registry
from raylot.foundation.names import BUILT_IN

#: Option that chooses one of several -> the models of the options that each of them has. A plugin
#: declares such a model too: see `raylot.config.plugin_declarations`.
DECLARED: dict[str, Mapping[str, tuple[type[Options], ...]]] = {
    "dataset": data_options.DECLARED,
    "shift": shift_options.DECLARED,
    "network": network_options.DECLARED,
    "intervention": intervention_options.DECLARED,
    **training_options.DECLARED,
    "criterion": criterion_options.DECLARED,
}

#: What a plugin uses beside the options of its own.
_OF_PLUGINS: dict[str, tuple[type[Options], ...]] = {"shift": (shift_options.Course,)}

#: What one run has one of, and what can have parameters or options of its own.
ONE_OF = tuple(DECLARED)

#: Those that a stream has too.
CHOICES = tuple(kind for kind in ONE_OF if kind != "criterion")

#: Those whose parameters are doses: a study compares several values of them.
DOSED = ("shift", "intervention")


def _fields_of(models: tuple[type[Options], ...]) -> dict[str, FieldInfo]:
    return {name: field for model in models for name, field in model.model_fields.items()}


@functools.cache
def declared(kind: str) -> dict[str, FieldInfo]:
    """The parameters of a kind of choice, as ``shift`` or ``optimizer``, and their declarations."""
    return _fields_of(tuple(itertools.chain(*DECLARED[kind].values())))


@functools.cache
def parameters(kind: str) -> tuple[str, ...]:
    """The parameters of a kind of choice, as ``shift`` or ``optimizer``."""
    return tuple(declared(kind))


def parameters_used(kind: str, name: str) -> tuple[str, ...]:
    """The built-in parameters that one of a kind uses: a data set, shift, network, optimizer ...

    A plugin's that declares options of its own uses those of every shift alone, as ``period``;
    one that declares none may read every parameter of its kind.
    """
    return _parameters_used(kind, name, registry.options_of(kind, name) is not None)


@functools.cache
def _parameters_used(kind: str, name: str, has_own: bool) -> tuple[str, ...]:
    if name in BUILT_IN.get(kind, (name,)):
        return tuple(_fields_of(DECLARED[kind].get(name, ())))
    return tuple(_fields_of(_OF_PLUGINS.get(kind, ()))) if has_own else parameters(kind)


def options_used(kind: str, name: str) -> tuple[str, ...]:
    """The same as `parameters_used`, and a plugin's options of its own."""
    return (*parameters_used(kind, name), *plugin_options.names_of((kind, name)))


def kind_with(option: str) -> str | None:
    """Returns what has an option as a parameter: ``optimizer`` of ``momentum``; None: nothing."""
    kinds = (kind for kind in ONE_OF if option in parameters(kind))
    return next(kinds, plugin_options.kind_of(option))


def help_of(option: str, field: FieldInfo) -> str:
    """An option's help, which begins with what uses it, if not all of a kind do."""
    kind = kind_with(option)
    whose = [name for name, models in DECLARED.get(kind or "", {}).items()
             if option in _fields_of(models)]  # fmt: skip
    whose += [name for _, name in plugin_options.owners(option)]
    others = [name for name in _built_in(kind) if name not in whose] if kind else []
    told = f"all but {others[0]}" if len(others) == 1 else ", ".join(whose) * bool(others)
    return ": ".join(filter(None, [told, field.description]))


def _built_in(kind: str) -> tuple[str, ...]:
    field = training_options.OptimizerOptions.model_fields.get(kind)
    return BUILT_IN[kind] if field is None else get_args(field.annotation)


def unused_parameters(choices: Mapping[Any, Any]) -> Mapping[str, Any]:
    """Maps each parameter that no choice uses to its default.

    Args:
        choices: the chosen data set, shift, network, optimizer ..., by their kind; of a search its
            criterion too.
    """
    kinds = tuple(kind for kind in ONE_OF if kind in choices)
    return _unused(kinds, tuple(parameters_used(kind, choices[kind]) for kind in kinds))


@functools.cache
def _unused(
    kinds: tuple[str, ...], used_by_choices: tuple[tuple[str, ...], ...]
) -> Mapping[str, Any]:
    used = set(itertools.chain(*used_by_choices))
    return {
        name: declared(kind)[name].default
        for kind in kinds
        for name in parameters(kind)
        if name not in used
    }
