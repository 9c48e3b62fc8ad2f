"""The study that looks for good settings: what it searches, on which seeds, how long."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from raylot.config.distributions import Distribution
from raylot.config.options import Integers, Options, drawn_from, option
from raylot.config.parameters import kind_with, options_used
from raylot.config.runs import StreamRun
from raylot.config.search_axes import (
    INTERVENTION,
    as_typed,
    checked_axis,
    is_of_streams,
    options_of,
    parse_search,
)
from raylot.config.study import Study
from raylot.datasets import facts_of
from raylot.foundation.errors import OptionError, shown

#: Option -> the distribution from which it is searched unless the user says otherwise.
DISTRIBUTIONS = {
    name: drawn for name, field in StreamRun.model_fields.items() if (drawn := drawn_from(field))
}

#: Settings that are tried per intervention if neither their number nor a budget is given.
_TRIALS = 16

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def _own_range(name: str, drawn: str) -> Any:
    return checked_axis(name, parse_search(f"{name}={drawn}")[name])


def _parse_time(value: Any) -> Any:
    """``"90s"`` -> ``90.0``; also m, h and d."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([smhd])\s*", value)
    if found is None or not float(found[1]):
        raise ValueError("no time with its unit, or none at all")
    return float(found[1]) * _SECONDS[found[2]]


class ChoosingOptions(Options, title="how settings are chosen"):
    """Options that say how far settings are searched."""

    choosing_seeds: Annotated[tuple[int, ...], Integers, Field(min_length=1)] = option(
        "0-2", "seeds on which settings are tried and the best is chosen; none of the seeds on "
        "which it is reported", common=True,
        accepts="whole numbers from 0, each once, as 0-2", role="training",
    )  # fmt: skip
    trials: int | None = option(
        None, f"settings to try per intervention; none given: {_TRIALS}, or with a budget as many "
        "as it allows", common=True, ge=1, le=100_000, role="extent",
    )  # fmt: skip
    budget: Annotated[float | None, BeforeValidator(_parse_time)] = option(
        None, "time in which settings are tried, shared out evenly among the interventions; "
        "earlier commands on the storage count, training on the seeds reported does not",
        common=True, accepts="a time greater than 0 with its unit, as 90s, 30m, 2h or 1d",
        gt=0, le=31_536_000, role="extent",
    )  # fmt: skip


class SettingsSearch(ChoosingOptions, Study):
    """A study that searches, for each intervention, the setting with the best accuracy."""

    @model_validator(mode="after")
    def _draws_are_asked_for(self) -> Self:
        """Here ``trials`` and ``budget`` say how many settings are drawn."""
        if self.samples is not None:
            raise OptionError(f"samples={self.samples}: must be given as trials here")
        for axis, given in self._axes.items():
            if len(options_of(axis)) > 1:
                raise OptionError(f"{as_typed(axis, given)}: must be single options here, not zip")
            if not is_of_streams(axis):
                raise OptionError(
                    f"{as_typed(axis, given)}: must be an option that decides how networks are "
                    "trained; tickets are not searched here"
                )
            self._check_use(axis)
        return self

    @model_validator(mode="after")
    def _tune_searches(self) -> Self:
        if self.local:
            raise OptionError(
                "local=True: must be given to another study, as Ray Tune searches here"
            )
        if self.share is not None:
            raise OptionError(
                f"share={self.share}: must be given to another study, as each setting tried here "
                "follows from all before it"
            )
        return self

    def _check_use(self, axis: str) -> None:
        """Refuses a searched parameter that not all searched values of its choice use.

        The best settings might use it in no row, and no study would then take it.
        """
        kind = kind_with(axis)
        if kind is None or kind not in self._axes:
            return
        for name in map(str, self._values_of(kind)):
            if axis not in options_used(kind, name):
                raise OptionError(
                    f"{as_typed(axis, self._axes[axis])}: must be used by every {kind} that is "
                    f"searched, and {name} does not use it; search them one by one"
                )

    def _check_runs(self) -> None:
        """Says of a range that the study itself has how to give another one."""
        try:
            super()._check_runs()
        except OptionError as error:
            name = str(error).removeprefix("search=").partition("=")[0]
            drawn = DISTRIBUTIONS.get(name)
            if drawn is None or self._axes.get(name) != _own_range(name, drawn):
                raise
            raise OptionError(
                f"{error}; {name} is searched from {drawn} unless a range of its own is given, as "
                f"search={name}=..., or one value, as {name}=..."
            ) from None

    @model_validator(mode="after")
    def _seeds_can_be_added(self) -> Self:
        """Here none are added: the study that takes the best settings can do so."""
        for name in ("until_width", "max_seeds", "seeds_per_step"):
            value = getattr(self, name)
            if value != type(self).model_fields[name].default:
                raise OptionError(
                    f"{name}={shown(value)}: must be given to the study that takes best.yaml, as "
                    "this one adds no seeds"
                )
        return self

    @model_validator(mode="after")
    def _settings_have_accuracies(self) -> Self:
        if facts_of(self).is_regression:
            raise OptionError(
                f"dataset={self.dataset}: must have classes here, as settings are compared by "
                "accuracy"
            )
        return self

    @model_validator(mode="after")
    def _chosen_and_reported_apart(self) -> Self:
        both = sorted({*self.choosing_seeds} & {*self.seeds})
        told = ",".join(map(str, self.choosing_seeds))
        if len({*self.choosing_seeds}) < len(self.choosing_seeds):
            raise OptionError(f"choosing_seeds={told}: must have each seed once")
        if both:
            raise OptionError(
                f"choosing_seeds={told}: must share no seed with seeds, on which the best settings "
                f"are reported; both have {', '.join(map(str, both))}"
            )
        if max(self.choosing_seeds) > max(self.seeds):
            raise OptionError(
                f"choosing_seeds={told}: must be smaller than the largest of seeds, "
                f"{max(self.seeds)}, as until_width adds those after it in the study that takes "
                "best.yaml"
            )
        return self

    @functools.cached_property
    def _searched(self) -> dict[str, tuple[Any, ...]]:
        """The extremes of each distribution: if runs with these are valid, so are all."""
        return {
            axis: given.extremes if isinstance(given, Distribution) else given
            for axis, given in self._axes.items()
        }

    def space(self, intervention: str) -> Mapping[str, Distribution]:
        """Returns what is searched with an intervention: option -> its distribution."""
        used = options_used(INTERVENTION, intervention)
        space = {
            axis: given if isinstance(given, Distribution) else Distribution("choice", given)
            for axis, given in self._axes.items()
            if kind_with(axis) != INTERVENTION or axis in used
        }
        return space or {"lr": Distribution("choice", (self.lr,))}  # nothing is searched

    def most_trials(self, intervention: str) -> float:
        """Returns how many settings are tried with an intervention at most; may be endless."""
        size = 1.0
        for distribution in self.space(intervention).values():
            size *= distribution.size
        asked = self.trials or (_TRIALS if self.budget is None else float("inf"))
        return min(size, asked)

    def choosing_runs(self, intervention: str, options: Mapping[str, Any]) -> list[StreamRun]:
        """Returns the streams of one setting, one for each choosing seed and shift.

        They have a snapshot of task 0 whatever is asked for, so that they can end after any task.
        """
        snapshots = tuple(sorted({0, *self.snapshots}))
        own = {"intervention": intervention, "snapshots": snapshots, **options}
        return [
            self.stream_run(**own, seed=seed, shift=shift)
            for shift in self.shifts
            for seed in self.choosing_seeds
        ]
