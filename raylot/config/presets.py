"""Named sets of options to start from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from raylot.config.options import did_you_mean, parse_rounds
from raylot.config.parameters import parameters, parameters_used
from raylot.config.search_axes import INTERVENTION, options_of, parse_search
from raylot.config.study import SearchOptions
from raylot.foundation.errors import OptionError, shown

PRESETS: dict[str, dict[str, Any]] = {
    # Small enough for a laptop; with this learning rate, the options' own defaults (raw pixels, 64
    # units, 31 tasks) lose plasticity with each of seeds 0 to 4.
    "default": {
        "lr": 0.005,
        "epochs": 4,
        "search_task": "probe",
        "reinit_tickets": 2,
        "rounds": 3,
    },
    # The protocol of "Loss of Plasticity and Winning Lottery Tickets" (ETH Zürich, 2024-2025;
    # GitHub: benny-lo/loss-of-plasticity). Its random masks are as dense as its sparsest
    # tickets only, so they cannot tell which tickets win: that is not judged.
    "original": {
        "dataset": "mnist",
        "scaling": "raw",
        "shifts": "permuted_pixels",
        "hidden": "256",
        "optimizer": "adam",
        "lr": 0.001,
        "batch_size": 32,
        "epochs": 10,
        "tasks": 501,
        "snapshots": "0-:50",
        "tickets": 10,
        "random_masks": 10,
        "random_density": 0.05,
        "scope": "layer",
        "masked": "freeze",
        "sparsities": "0.8,0.9,0.95",
        "rounds": "0.8:3,0.9:5,0.95:10",
        "plastic_task": "unshifted",
        "plastic_scaling": "standardize",
        "plastic_density": "overall",
        "ticket_tasks": 100,
        "subnetworks": "ticket",
        "stream_sparsities": "highest",
        "seeds": "0",
    },
}


def unknown_preset(name: Any) -> str:
    """The one-line message for a preset that does not exist."""
    hint = did_you_mean(shown(name), PRESETS)
    told = f"preset={shown(name)}: must be one of {', '.join(PRESETS)}"
    return f"{told}; {hint}" if hint else told


def preset_with(preset: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a preset's options, overridden by those that are given.

    An option that is searched has no value of the preset's. The preset's search goes on beside a
    given one, with what is not given or searched there, and of interventions' parameters those that
    a chosen one uses; ``search=none`` gives it up. If fewer sparsities are given, the preset's
    table of rounds keeps theirs alone; if fewer tickets are given, the preset has no more
    re-initialised ones.

    Raises:
        OptionError: sparsities are given that are none, or that the preset's table of rounds lacks.
    """
    values = {**preset, **given}
    axes: Any = None if "search" in given else {}
    with suppress(ValueError, KeyError):  # what cannot be read is refused later
        axes = parse_search(given["search"])
    searched = {n for axis in axes for n in options_of(axis)} if isinstance(axes, dict) else set()
    if INTERVENTION in searched:
        searched |= {"interventions"}
    if "search" in preset and isinstance(axes, dict):
        unused = {*parameters("intervention")}
        if "interventions" not in searched:
            given_or_not = {n: values[n] for n in ("interventions",) if n in values}
            chosen = SearchOptions.checked(**given_or_not).interventions
            unused -= {name for one in chosen for name in parameters_used("intervention", one)}
        left_out = unused | given.keys() | searched
        own = {
            axis: given_there
            for axis, given_there in parse_search(preset["search"]).items()
            if not left_out.issuperset(options_of(axis))
        }
        values["search"] = {**own, **axes} or None
        searched |= {name for axis in own for name in options_of(axis)}
        if INTERVENTION in searched:
            searched |= {"interventions"}
    values = {n: value for n, value in values.items() if n in given or n not in searched}
    if "reinit_tickets" in preset.keys() - given.keys():
        # Without tickets the preset's number fits; a later check refuses what is no number.
        with suppress(KeyError, TypeError, ValueError):
            values["reinit_tickets"] = min(preset["reinit_tickets"], int(values["tickets"]))
    table = parse_rounds(preset.get("rounds"))
    if isinstance(table, dict) and "rounds" not in given:
        wanted = SearchOptions.checked(sparsities=values["sparsities"]).sparsities
        if lacking := [shown(sparsity) for sparsity in sorted({*wanted} - table.keys())]:
            raise OptionError(
                f"sparsities={shown(values['sparsities'])}: must go with rounds=N, as the preset's "
                f"{preset['rounds']} lacks {', '.join(lacking)}"
            )
        values["rounds"] = {s: count for s, count in table.items() if s in wanted}
    return values
