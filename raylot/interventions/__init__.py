"""Methods that are meant to keep a network plastic, one file each, which is named like the method.

Each file's `make` builds the method from the run's options. A method acts at the places of the
training loop that `raylot.training.Intervention` names. What acts between two tasks acts at the
end of the first, so that a snapshot is the network with which the next task begins; only `dash`
must see the next task. A method may keep a state from task to task (see
`raylot.training.Intervention.state_dict`).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from raylot.config import InterventionOptions
from raylot.foundation import registry
from raylot.foundation.names import BUILT_IN
from raylot.interventions._state import load_state as load_state
from raylot.interventions._state import state_tensors as state_tensors
from raylot.training import Intervention

Build = Callable[[InterventionOptions], Intervention]

INTERVENTIONS: dict[str, Build] = {
    name: import_module(f"{__name__}.{name}").make
    for name in BUILT_IN["intervention"]
    if name != "none"
}


def make(options: InterventionOptions) -> Intervention | None:
    """Makes the intervention that options name; None for ``"none"``.

    Raises:
        TypeError: a plugin's function returned no intervention.
    """
    name = options.intervention
    if name == "none":
        return None
    build: Build = INTERVENTIONS.get(name) or registry.get("intervention", name)
    intervention = build(options)
    registry.check_returned("intervention", name, intervention, Intervention)
    return intervention
