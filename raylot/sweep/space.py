"""Turns search spaces in Ray Tune's terms into points, and runs into a grid for Tune.

This needs no Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from raylot.config import StreamRun, Study, plugin_options, search_axes
from raylot.config.measurement_run import MEASURED_WITH
from raylot.config.parameters import CHOICES, ONE_OF, parameters, unused_parameters
from raylot.config.plasticity_options import FurtherMeasure
from raylot.config.search_axes import INTERVENTION, is_of_streams, options_of
from raylot.config.settings_search import SettingsSearch
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.names import FEWEST_RANDOM_MASKS

Space = Mapping[str, Any]
#: Returns the search spaces of a study: of its streams, tickets and ticket streams.
Spaces = Callable[[Study], tuple[Space, Space, Space]]
AnyRun = TypeVar("AnyRun", bound=StreamRun)

_GRID = "grid_search"


def grid(values: Iterable[Any]) -> dict[str, Any]:
    """Returns the same as ``tune.grid_search(values)``: a sweep tries every value."""
    return {_GRID: list(values)}


def study_spaces(study: Study) -> tuple[Space, Space, Space]:
    """Returns the search spaces of a study's streams, tickets and ticket streams."""
    streams = {"seed": grid(study.seeds), "shift": grid(study.shifts)}
    if not any(INTERVENTION in options_of(axis) for axis in study.searched):
        streams[INTERVENTION] = grid(study.interventions)
    tickets = {"task": grid(study.snapshots), "sparsity": grid(study.sparsities)}
    for axis, values in study.searched.items():
        of_streams = all(map(is_of_streams, options_of(axis)))
        (streams if of_streams else tickets)[axis] = grid(values)
    ticket_streams = {"subnetwork": grid(study.subnetworks)}
    return streams, tickets, ticket_streams


def spaces_of(study: Study, spaces: Spaces) -> tuple[Space, Space, Space]:
    """Returns the search spaces that a user's function makes of a study.

    Raises:
        OptionError: the function returned something else, a grid has no list of values, or tickets
            have no sparsity.
    """
    made = spaces(study)
    are_spaces = isinstance(made, tuple | list) and all(isinstance(one, Mapping) for one in made)
    if not are_spaces or len(made) != 3:
        raise OptionError(
            "spaces: must return three search spaces (of streams, tickets and ticket streams), "
            f"not {shown(made)}"
        )
    for space in made:
        for axis, value in space.items():
            _check_axis(axis, value)
    if "sparsity" not in options_in(made[1]):
        raise OptionError(
            "spaces: must have sparsity in that of tickets, as tune.grid_search(study.sparsities)"
        )
    return made


def _check_axis(axis: Any, value: Any) -> None:
    if not isinstance(axis, str):
        raise OptionError(f"spaces: {shown(axis)}: must be the name of an option")
    if not (isinstance(value, dict) and _GRID in value):
        return
    values, number = value[_GRID], len(options_of(axis))
    at = f"spaces: {axis}={shown(values)}"
    if not _is_list(values) or not len(values):
        raise OptionError(f"{at}: must be a list of one or more values in tune.grid_search(...)")
    if number > 1 and any(not _is_list(row) or len(row) != number for row in values):
        raise OptionError(f"{at}: must be rows of {number} values, one of each option")


def _is_list(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str)


def points(space: Space) -> Iterator[dict[str, Any]]:
    """Yields the points of a search space, see `raylot.config.search_axes.points`.

    Args:
        space: option name -> value or ``tune.grid_search(...)``; for options that go together
            ``zip(a,b)`` -> ``tune.grid_search([(1, 2), ...])``.

    Raises:
        OptionError: Ray Tune would draw a value, another one for each seed.
    """
    for name, value in space.items():
        if _is_drawn(value):
            raise OptionError(
                f"spaces: {name}={shown(value)}: must be a value or tune.grid_search(...), as "
                "Ray Tune would draw other values for each seed; the options "
                f"--search '{name}=loguniform(1e-4,1e-2)' --samples 20 draw the same for all"
            )
    grids = {name for name, value in space.items() if isinstance(value, dict) and _GRID in value}
    return search_axes.points(
        {name: space[name][_GRID] for name in grids},
        {name: value for name, value in space.items() if name not in grids},
    )


def _is_drawn(value: Any) -> bool:
    """Returns whether Ray Tune draws a value, or a part of it."""
    if isinstance(value, dict | list | tuple):
        return any(map(_is_drawn, value.values() if isinstance(value, dict) else value))
    return type(value).__module__.startswith("ray.")


def options_in(space: Space) -> list[str]:
    """The options that a search space has values of, each as often as it has."""
    return [name for axis in space for name in options_of(axis)]


def distinct(runs: Iterable[AnyRun]) -> list[AnyRun]:
    """Returns each run once, as wide as it is asked for: a search space may repeat runs."""
    found: dict[str, AnyRun] = {}
    for run in runs:
        known = found.get(run.run_id)
        found[run.run_id] = run.widened(known.extent) if known else run
    return list(found.values())


def remarks(study: Study, runs: Sequence[StreamRun]) -> list[str]:
    """Says which parameters of a study change nothing, and what it leaves unknown.

    A search for good settings leaves nothing unknown, as it asks about accuracies alone.
    """
    unused = [*_on_unused(study, runs), *_on_measures(study)]
    unknown = () if isinstance(study, SettingsSearch) else _on_unknown(study)
    return [*unused, *dict.fromkeys(_on_idle(runs)), *unknown]


def _on_measures(study: Study) -> Iterator[str]:
    left_out = [name for name in get_args(FurtherMeasure) if name not in (study.measures or ())]
    for measured in left_out:
        for name in MEASURED_WITH[measured]:
            value = getattr(study, name)
            if name != "probe_size" and value != type(study).model_fields[name].default:
                reason = f"of the measure {measured}, which is not asked for"
                yield f"{name}={value}: {reason}, so it changes nothing"


def _on_idle(runs: Sequence[StreamRun]) -> Iterator[str]:
    """Says which methods do not act in streams of this length; a longer one may be asked for."""
    for run in runs:
        steps = f"the stream's {run.training_steps:,} training steps"
        tasks = f"the stream's {run.tasks} tasks"
        match run.intervention:
            case "plasticity_injection" if run.inject_after >= run.tasks:
                yield f"inject_after={run.inject_after}: not below {tasks}, so nothing is injected"
            case "snr" if run.snr_every > run.tasks:
                yield f"snr_every={run.snr_every}: above {tasks}, so no threshold of snr changes"
            case "hare_and_tortoise" if run.hare_interval > run.training_steps:
                yield f"hare_interval={run.hare_interval}: above {steps}, so no hare is set back"
            case "cbp" if run.cbp_maturity >= run.training_steps:
                yield f"cbp_maturity={run.cbp_maturity}: not below {steps}, so no unit is replaced"


def _on_unknown(study: Study) -> Iterator[str]:
    if len(study.snapshots) == 1:
        yield (
            f"snapshots={study.snapshots[0]}: what changes along a stream will not be known, as "
            "that takes two snapshots or more"
        )
    if not study.probe_tasks:
        yield "probe_tasks=0: how well snapshots learn unseen tasks will not be known"
    masks = study.tickets if study.random_masks is None else study.random_masks
    if masks == 0:
        yield "random_masks=0: whether tickets are better than chance will not be known"
    elif study.random_density is not None:
        yield (
            f"random_density={study.random_density:g}: whether tickets are better than chance will "
            "be known at that density alone (random_density=none: at every one)"
        )
    elif study.random_masks is not None and masks < FEWEST_RANDOM_MASKS:
        yield (
            f"random_masks={masks}: which tickets win will not be known, as that "
            f"takes {FEWEST_RANDOM_MASKS}"
        )


def _on_unused(study: Study, runs: Sequence[StreamRun]) -> list[str]:
    together = {tuple(getattr(run, kind) for kind in CHOICES) for run in runs}
    unused = [unused_parameters(dict(zip(CHOICES, names, strict=True))) for names in together]
    chosen = {(kind, one) for kind in ONE_OF for one in study.chosen(kind)}
    chosen |= {("metric", name) for name in study.metrics or ()}
    return [
        f"{name}: used by none of the chosen {kind}s, so it changes nothing"
        for kind in CHOICES
        for name in parameters(kind)
        if getattr(study, name) != StreamRun.model_fields[name].default
        and all(name in one for one in unused)
        and not (name == "classes_per_task" and study.probe_classes)
    ] + [
        f"{name}: used by nothing that this study uses, so it changes nothing"
        for name in study.own_options
        if chosen.isdisjoint(plugin_options.owners(name))
    ]


def split(
    runs: Sequence[StreamRun], searched: set[str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns the options that all runs share, and for each run those that are searched or vary;
    without parameters that a run does not use, so that no logger shows them."""
    first = runs[0]
    known: dict[frozenset[str], frozenset[str]] = {}  # many runs use the same options
    used = []
    for run in runs:
        own = frozenset(type(run).model_fields.keys() - unused_parameters(run.__dict__))
        used.append(known.setdefault(own, own))
    varied = {
        name for name in set().union(*used)
        if name in searched or any(
            name not in of_run or run.__dict__[name] != first.__dict__[name]
            for run, of_run in zip(runs, used, strict=True)
        )
    }  # fmt: skip
    shared = first.model_dump(mode="json", include=set(used[0] - varied))
    each = zip(runs, used, strict=True)
    return shared, [run.model_dump(mode="json", include=set(varied & own)) for run, own in each]
