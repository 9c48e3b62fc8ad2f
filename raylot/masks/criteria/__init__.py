"""Pruning criteria, one file each, which is named like the criterion.

A criterion scores all prunable weights; of the survivors, those with the lowest scores are pruned.
Each file's ``score`` is what `raylot.plugins.criterion` would register. When it scores, and in how
many rounds, stands in `raylot.config.criterion_options`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from raylot.foundation import registry
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.names import BUILT_IN
from raylot.masks.context import PruningContext
from raylot.training.repeatable import exact_convolutions, own_random_state

CRITERIA: dict[str, Callable[[PruningContext], dict[str, Tensor]]] = {
    name: import_module(f"{__name__}.{name}").score for name in BUILT_IN["criterion"]
}


def score(name: str, context: PruningContext) -> Mapping[str, Tensor]:
    """Returns a criterion's scores, in the names and shapes of ``context.masks``.

    Raises:
        OptionError: a plugin's scores have other names or shapes, are no floats, or are not finite
            for survivors, though the training has not diverged; or it is a plugin's that this
            process has not loaded.
        TypeError: a plugin's criterion returned no dict.
    """
    scores: dict[str, Any]
    built_in = CRITERIA.get(name)
    # The criterion may draw with PyTorch's global generator, as dropout does.
    device = context.task.train_labels.device
    with own_random_state(device, context.key), exact_convolutions(), torch.enable_grad():
        if built_in is not None:
            return built_in(context)
        scores = registry.get("criterion", name).function(context.copied())
    registry.check_returned("criterion", name, scores, dict)
    odd = sorted(scores.keys() ^ context.masks.keys(), key=str)
    if odd:
        raise OptionError(
            f"criterion {name}: must return scores by the names {', '.join(context.masks)}; "
            f"{shown(odd[0])} is {'missing' if odd[0] in context.masks else 'another one'}"
        )
    return {n: _checked(f"criterion {name}: must return", n, scores[n], context) for n in scores}


def _checked(must_return: str, name: str, scores: object, context: PruningContext) -> Tensor:
    """Returns the scores of one weight, detached and on its device."""
    mask = context.masks[name]
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        given = scores.dtype if isinstance(scores, Tensor) else type(scores).__name__
        raise OptionError(f"{must_return} a tensor of floats for {name}, not {given}")
    if scores.shape != mask.shape:
        shapes = f"{tuple(mask.shape)}, not {tuple(scores.shape)}"
        raise OptionError(f"{must_return} scores of {name} in its shape {shapes}")
    scores = scores.detach().to(mask.device)
    bad = int((~scores[mask].isfinite()).sum())
    if bad and not context.diverged:
        raise OptionError(f"{must_return} finite scores; {bad} survivors of {name} have others")
    return scores
