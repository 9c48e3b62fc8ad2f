"""Every method that is built in, with options under which a few steps show what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from raylot.training import Intervention
from tests.unit.interventions.trainings import make, with_batch_norm, with_group_norm

#: The method's name and what tells the case from others -> its options.
ALL: dict[str, dict[str, Any]] = {
    "l2": {"l2_strength": 0.1},
    "l2_init": {"l2_strength": 0.1},
    "l1_init": {"l1_strength": 0.1},
    "huber_init": {"huber_strength": 0.1},
    "resampled_init": {"l2_strength": 0.1},
    "wasserstein_init": {"wasserstein_strength": 0.1},
    "parseval": {"parseval_strength": 0.1},
    "spectral": {"spectral_strength": 0.1},
    "c_chain": {"churn_share": 10.0},
    "weight_clipping": {"clip_factor": 0.8},
    "weight_projection": {},
    "shrink_and_perturb per task": {},
    "shrink_and_perturb per step": {"perturb_every": "step", "shrink": 0.995},
    "shrink_and_perturb with noise": {"perturb_every": "step", "perturb_with": "noise"},
    "shrink_and_perturb with initial": {"perturb_with": "initial"},
    "pgd": {},
    "upgd": {},
    "upgd without protection": {"protect": False, "utility_decay": 0.9},
    "fire": {},
    "dash": {},
    "cbp": {"cbp_rate": 0.2, "cbp_maturity": 1},
    "snr": {"snr_every": 1, "snr_max_age": 32},
    "hare_and_tortoise": {"tortoise_decay": 0.9, "hare_interval": 2},
    "layer_reset": {},
    "optimizer_reset": {},
    "plasticity_injection": {"inject_after": 1},
    "redo": {"redo_threshold": 0.6, "redo_interval": 2},
    "reset": {},
}


def with_norm(name: str) -> Callable[..., nn.Sequential]:
    """Returns what builds a network whose normalisation the method accepts."""
    return with_group_norm if name == "plasticity_injection" else with_batch_norm


def made(name: str) -> Intervention:
    """A new method, by its name here."""
    return make(name.split()[0], **ALL[name])
