"""Checks, before a sweep starts, that interventions can act on the networks of its runs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import nn

from raylot import interventions, networks
from raylot.config import DataOptions, InterventionOptions, NetworkOptions, StreamRun
from raylot.config.parameters import options_used
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.sweep.plugin_networks import refusing
from raylot.training import Intervention
from raylot.training.hooks import overrides

#: Options that decide the network on which a method acts.
_OF_NETWORKS = (*NetworkOptions.model_fields, *DataOptions.model_fields, "intervention")


def check_methods_on_networks(runs: Iterable[StreamRun]) -> None:
    """Builds each network with which a run's method may not go, and asks the method.

    Raises:
        OptionError: it refuses the network; in the words of its ``check``.
    """
    different = {
        (_network_of(run), _dose_of(run)): run for run in runs if run.intervention != "none"
    }
    built: dict[object, nn.Module] = {}
    for (chosen, _), run in different.items():
        at = f"interventions={run.intervention}:"
        with refusing(f"{at} cannot be made"):
            method = interventions.make(run)
        if method is None:
            continue
        if run.engine == "fast" and overrides(method, "watch"):
            raise OptionError(
                "engine=fast: must be auto or generic with "
                f"interventions={run.intervention}, which may put hooks into the network"
            )
        if not overrides(method, "check"):
            continue
        if chosen not in built:
            with refusing(f"{at} cannot act on network {run.network}"):
                built[chosen] = _built(run, method)
        with refusing(f"{at} cannot act on network {run.network}"):
            _ask(method, built[chosen])


def _network_of(run: StreamRun) -> tuple[object, ...]:
    return tuple(getattr(run, name) for name in _OF_NETWORKS)


def _dose_of(run: StreamRun) -> tuple[object, ...]:
    used = options_used("intervention", run.intervention)
    return tuple(getattr(run, name) for name in used if name in InterventionOptions.model_fields)


def _built(run: StreamRun, method: Intervention) -> nn.Module:
    key = RandomKey((run.seed, "network"))
    return networks.build(run, run.facts.shape, run.facts.outputs, key, method.prepare)


def _ask(method: Intervention, network: nn.Module) -> None:
    try:
        method.check(network)
    except OptionError as error:  # a run has one method where a study has several
        raise OptionError(re.sub("^intervention=", "interventions=", str(error))) from None
