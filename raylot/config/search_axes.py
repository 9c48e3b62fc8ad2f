"""The axes of a search: each is an option, or several options together, with its values.

An axis is named ``lr``, or ``zip(lr,batch_size)`` for options whose values go together.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from pydantic import create_model
from pydantic.fields import FieldInfo

from raylot.config import plugin_options
from raylot.config.distributions import Distribution, as_text
from raylot.config.naming import NamingOptions
from raylot.config.options import accepted, did_you_mean, role_of
from raylot.config.parameters import kind_with, options_used
from raylot.config.runs import StreamRun
from raylot.config.ticket_runs import TicketsRun
from raylot.foundation.errors import OptionError

#: ``NAME=`` or ``zip(NAME,NAME)=``, at the start or after what separates values.
_AXIS = re.compile(r"(?:^|[\s,]+)(zip\([^()=]*\)|[\w-]+)=")
_ZIP = re.compile(r"zip\((.*)\)", re.DOTALL)
_CALL = re.compile(r"\s*(\w+)\s*\((.*)\)\s*", re.DOTALL)

#: Parentheses within parentheses that a value may have.
_DEEPEST = 3

#: Options of a search that are no axis -> the option that takes several of their values.
_LISTED = {
    "seed": "seeds", "shift": "shifts", "intervention": "interventions", "sparsity": "sparsities",
    "task": "snapshots",
}  # fmt: skip

#: The one of them that may go together with others: its methods then have values of their own.
INTERVENTION = "intervention"

#: Stands in a row for a parameter that the row's intervention does not use.
UNUSED = "-"

#: Others that are no axis: a study has one data set, and the rest is filled in.
_NOT_SEARCHED = {"dataset", "data_digest", "plugins", "plugin_options", "versions"}

#: A part of a text: a word, or what parentheses hold.
Part = str | tuple[Any, ...]


# ------------------------------------------------------------------ reading what users write


def parse_search(value: Any) -> Any:
    """``"lr=1e-3,1e-2 momentum=uniform(0,0.9)"`` -> axis -> its values, or a distribution that is
    not checked yet; values stay text."""
    if isinstance(value, str):
        before, *rest = _AXIS.split(value)
        if before.strip():
            raise ValueError("values of no option")
        pairs = list(zip(rest[::2], map(_read_values, rest[1::2]), strict=True))
    elif isinstance(value, dict):
        pairs = [(str(name), _plain_values(values)) for name, values in value.items()]
    else:
        return value
    found = {_plain_name(name): values for name, values in pairs}
    names = [name for axis in found for name in options_of(axis)]
    if not pairs or len(found) < len(pairs) or len({*names}) < len(names):
        raise ValueError("no option, or one given twice")
    return found


def _plain_name(axis: str) -> str:
    """``zip( lr, batch-size )`` -> ``zip(lr,batch_size)``."""
    axis = axis.replace("-", "_")
    together = _ZIP.fullmatch(axis)
    return zipped(together[1].replace(",", " ").split()) if together else axis


def _plain_values(values: Any) -> Any:
    """Reads the values of a mapping: a text as the command line's, a single value as a list."""
    if isinstance(values, str):
        return _read_values(values)
    if isinstance(values, list | tuple | range):
        return [_part(one) if isinstance(one, str) else one for one in values]
    return values if isinstance(values, Distribution) else [values]


def _read_values(text: str) -> list[Part] | Distribution:
    """``1e-3,1e-2``, ``grid(1e-3,1e-2)`` or ``loguniform(1e-4,1e-2)``."""
    call = _CALL.fullmatch(text)
    if call is None:
        return _split(text)
    arguments = _split(call[2])
    return arguments if call[1] == "grid" else Distribution(call[1], tuple(arguments))


def _split(text: str, deepest: int = _DEEPEST) -> list[Part]:
    """Splits at commas and blanks outside of parentheses: ``64,(100,100)``."""
    parts, begin, depth = [], 0, 0
    for place, character in enumerate(f"{text},"):
        depth += (character == "(") - (character == ")")
        if not 0 <= depth <= deepest:
            raise ValueError("parentheses that do not match")
        if depth == 0 and (character == "," or character.isspace()):
            parts.append(text[begin:place])
            begin = place + 1
    if depth:
        raise ValueError("parentheses that do not match")
    return [_part(part, deepest) for part in parts if part]


def _part(text: str, deepest: int = _DEEPEST) -> Part:
    """A word as it is; what stands in parentheses as a tuple."""
    is_tuple = text.startswith("(") and text.endswith(")")
    return tuple(_split(text[1:-1], deepest - 1)) if is_tuple else text


# ------------------------------------------------------------------ axes


def options_of(axis: str) -> tuple[str, ...]:
    """``lr`` -> ``("lr",)``; ``zip(lr,batch_size)`` -> ``("lr", "batch_size")``."""
    together = _ZIP.fullmatch(axis)
    return tuple(together[1].split(",")) if together else (axis,)


def zipped(names: Iterable[str]) -> str:
    """Names the axis of options that go together: ``zip(lr,batch_size)``."""
    return f"zip({','.join(names)})"


def searchable() -> list[str]:
    """The options that can be searched: those that decide how one network is trained, or how its
    tickets are searched."""
    left_out = _NOT_SEARCHED | _LISTED.keys()
    declared = TicketsRun.model_fields | plugin_options.fields()
    return [
        name for name, field in declared.items()
        if role_of(field) in ("training", "search") and name not in left_out
    ]  # fmt: skip


def field_of(name: str) -> FieldInfo:
    """The declaration of an option that can be searched, built in or a plugin's."""
    return TicketsRun.model_fields.get(name) or plugin_options.fields()[name]


def is_of_streams(name: str) -> bool:
    """Whether an option decides how streams are trained, and not how tickets are searched."""
    if name in TicketsRun.model_fields:
        return name in StreamRun.model_fields
    field = plugin_options.fields().get(name)
    return field is not None and role_of(field) == "training"


def checked_axis(axis: str, given: Any) -> tuple[Any, ...] | Distribution:
    """Reads the values of an axis as the options themselves read each of them.

    Raises:
        OptionError: an option cannot be searched, or one does not accept a value.
    """

    def refuse(what: str) -> NoReturn:
        raise OptionError(f"{as_typed(axis, given)}: {what}")

    names = options_of(axis)
    for name in names:
        if name not in searchable() and not (name == INTERVENTION and len(names) > 1):
            refuse(_why_not(name))
    if len(names) == 1 and axis != names[0]:
        refuse("zip must have two or more options")
    rows = f"rows of {len(names)} values, one of each option, as (a,b),(c,d)"
    if isinstance(given, Distribution):
        if len(names) > 1:
            refuse(f"must be {rows}")
        try:
            made = Distribution.checked(given.name, given.arguments)
        except OptionError as error:
            refuse(str(error))
        ends = tuple(_read_draw(axis, made, value) for value in made.extremes)
        return Distribution(made.name, ends) if made.name == "choice" else made
    if len(names) > 1:
        if any(not isinstance(row, list | tuple) or len(row) != len(names) for row in given):
            refuse(f"must be {rows}")
        values = tuple(
            tuple(_read(name, value) for name, value in _filled_in(names, row)) for row in given
        )
        what = rows
    else:
        values = tuple(_read(axis, value) for value in given)
        what = accepted(field_of(axis))
    if not values or len(set(values)) < len(values):
        refuse(f"must be one or more values, each once: {what}")
    return values


def _filled_in(names: Sequence[str], row: Sequence[Any]) -> list[tuple[str, Any]]:
    """Pairs options with the values of a row; one that its intervention does not use, written as
    `UNUSED`, gets its default."""
    pairs = list(zip(names, row, strict=True))
    method = str(dict(pairs).get(INTERVENTION))
    used = options_used(INTERVENTION, method)
    return [
        (name, field_of(name).default)
        if value == UNUSED and kind_with(name) == INTERVENTION and name not in used
        else (name, value)
        for name, value in pairs
    ]


def as_typed(axis: str, values: Any) -> str:
    """How messages name what is searched: ``search=lr=0.001,0.01``."""
    if isinstance(values, Distribution):
        return f"search={axis}={values}"
    return f"search={axis}={','.join(map(as_text, values))}"


def _why_not(name: str) -> str:
    if name == INTERVENTION:
        return "must be given as an option of its own, interventions, or within zip(...)"
    if name in _LISTED or name in _LISTED.values():
        return f"must be given as an option of its own, {_LISTED.get(name, name)}"
    if plugin_options.kind_of(name) == "metric":
        return "must be given as an option of its own; another command measures another value"
    known = searchable()
    hint = did_you_mean(name, known) or f"accepted: {', '.join(known)}"
    return f"must be an option that decides how networks are trained or tickets searched; {hint}"


@functools.cache
def _alone(name: str) -> type[NamingOptions]:
    """A model of one option, which checks its value without looking at others."""
    field = TicketsRun.model_fields[name]
    fields: dict[str, Any] = {name: (field.annotation, field)}
    return create_model("Searched", __base__=NamingOptions, **fields)


def _read(name: str, value: Any) -> Any:
    model = _alone(name) if name in TicketsRun.model_fields else NamingOptions
    try:
        return getattr(model.checked(**{name: value}), name)
    except OptionError as error:
        raise OptionError(f"search={error}") from None


def _read_draw(name: str, given: Distribution, value: Any) -> Any:
    try:
        return _read(name, value)
    except OptionError as error:
        told = str(error).removeprefix("search=")
        raise OptionError(f"{as_typed(name, given)}: draws {told}") from None


# ------------------------------------------------------------------ draws and points


def with_draws(axes: Mapping[str, Any], samples: int, seed: int) -> dict[str, tuple[Any, ...]]:
    """Draws the values of distributions: each axis with its values, or rows of them.

    All that is drawn forms one axis: draw number i of each option goes with draw number i of the
    others. It depends on the seed, the option's name and i alone, so that more samples leave the
    first ones as they are.
    """
    drawn = {axis: given for axis, given in axes.items() if isinstance(given, Distribution)}
    found = {axis: given for axis, given in axes.items() if axis not in drawn}
    if not drawn:
        return found
    from raylot.foundation.randomness import RandomKey  # with numpy, which a mistake need not await

    def value(name: str, number: int) -> Any:
        share = RandomKey((seed, "search", name, number)).generator().random()
        return _read_draw(name, drawn[name], drawn[name].draw(share))

    rows = list(dict.fromkeys(tuple(value(name, i) for name in drawn) for i in range(samples)))
    if len(drawn) == 1:
        return {**found, next(iter(drawn)): tuple(value for (value,) in rows)}
    return {**found, zipped(drawn): tuple(rows)}


def points(axes: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the points of a grid in Ray Tune's order: the first name in the alphabet changes
    fastest. (Tune copies the whole grid for every point, which takes hours for 100,000 seeds.)

    A parameter that a point's shift, network, intervention or optimizer does not use is left out
    of it. Points that are then the same are yielded once.

    Args:
        axes: an option -> its values, or several as ``zip(a,b)`` -> rows of values.
        fixed: options with one value.
    """
    order = sorted(axes, reverse=True)
    names = [options_of(axis) for axis in order]
    rows = [
        [dict(zip(own, value if len(own) > 1 else (value,), strict=True)) for value in axes[axis]]
        for axis, own in zip(order, names, strict=True)
    ]
    there = {*fixed, *itertools.chain(*names)}
    kinds = {name: kind for name in there if (kind := kind_with(name)) in there}

    @functools.cache
    def firsts(axis: int, unused: frozenset[str]) -> set[int]:
        """The rows of which no earlier one has the same values of the options that are used."""
        used = [name for name in names[axis] if name not in unused]
        seen: dict[str, int] = {}
        for index, row in enumerate(rows[axis]):
            seen.setdefault(repr([row[name] for name in used]), index)
        return set(seen.values())

    choosing = [axis for axis, own in enumerate(names) if not {*own}.isdisjoint(kinds.values())]

    def point_of(indices: Iterable[tuple[int, int]]) -> dict[str, Any]:
        return dict(fixed) | {n: v for axis, index in indices for n, v in rows[axis][index].items()}

    def with_choice(chosen: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], frozenset[str]]]:
        """The rows of all points with one shift, network, ..., and what these leave unused."""
        choice = dict(zip(choosing, chosen, strict=True))
        point = point_of(choice.items())
        unused = frozenset(
            name for name, kind in kinds.items()
            if name not in fixed and name not in options_used(kind, str(point[kind]))
        )  # fmt: skip
        taken = []
        for axis, own in enumerate(rows):
            offered: Iterable[int] = [choice[axis]] if axis in choice else range(len(own))
            if not unused.isdisjoint(names[axis]):
                offered = [index for index in offered if index in firsts(axis, unused)]
            taken.append(offered)
        for indices in itertools.product(*taken):
            yield indices, unused

    # Choice by choice, as most points of the whole product would be left out: it grows with the
    # parameters of all methods together.
    choices = itertools.product(*(range(len(rows[axis])) for axis in choosing))
    parts = map(with_choice, choices)
    for indices, unused in heapq.merge(*parts, key=lambda part: part[0]):
        point = point_of(enumerate(indices))
        yield {name: value for name, value in point.items() if name not in unused}
