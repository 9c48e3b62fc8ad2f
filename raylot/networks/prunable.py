"""Chooses the weights of a network that can be pruned."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence

from torch import nn

from raylot.foundation import registry
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.names import module_label
from raylot.networks.chain import OUTPUTS_FIRST

#: Which weights can be pruned: names, with wildcards as in ``"*.in_proj_weight"``, or a function of
#: a weight's name and the weight; None: the weights of linear and convolution layers.
Prunable = str | Sequence[str] | Callable[[str, nn.Parameter], bool] | None

#: Linear and convolution layers.
LAYERS = (*OUTPUTS_FIRST, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

#: How messages name the argument by which a user chooses.
CHOICE = "prune= (of find_tickets, or of @plugins.network)"

#: Normalisations whose gains can have several dimensions.
_NORMS = (nn.LayerNorm, nn.RMSNorm)

#: How many weights a message names.
_NAMED = 5


def prunable_weights(network: nn.Module, prune: Prunable = None) -> dict[str, nn.Parameter]:
    """Returns the trainable weights that can be pruned, by name; never biases or norms.

    A tied weight, which has several names, occurs once, under its first name; ``prune`` may give
    any of them.

    Raises:
        OptionError: there are none, or ``prune`` does not choose weights of this network.
    """
    chosen = {id(p) for p in _chosen(network, prune)}
    weights = {name: p for name, p in network.named_parameters() if id(p) in chosen}
    if not weights and prune is None:
        others = listed_names(list(all_weights(network)))
        hint = f"; {CHOICE} chooses others of its weights: {others}" if others else ""
        raise OptionError(
            f"network: must have at least one trainable linear or convolution layer to prune{hint}"
        )
    if not weights:
        raise OptionError(f"prune={_shown(prune)}: must choose at least one trainable weight")
    return weights


def all_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Returns all trainable parameters of two or more dimensions, without biases and norms.

    These are the weights of layers of any kind, embeddings, and modules' own parameters, each by
    all its names.
    """
    norms = {id(p) for m in network.modules() if isinstance(m, _NORMS) for p in m.parameters()}
    return {
        name: p
        for name, p in network.named_parameters(remove_duplicate=False)
        if p.requires_grad
        and p.dim() > 1
        and id(p) not in norms
        and not name.rpartition(".")[2].startswith("bias")
    }


def _chosen(network: nn.Module, prune: Prunable) -> list[nn.Parameter]:
    weights = all_weights(network)
    if prune is None:
        layers = [m for m in network.modules() if isinstance(m, LAYERS) and owns_weight(m)]
        of_layers = {id(layer.weight) for layer in layers}
        return [p for p in weights.values() if id(p) in of_layers]
    if callable(prune):
        return [p for name, p in weights.items() if _chooses(prune, name, p)]
    patterns = [prune] if isinstance(prune, str) else prune
    if not isinstance(patterns, Sequence) or not all(isinstance(part, str) for part in patterns):
        raise OptionError(
            f"prune={shown(prune)}: must be names of weights, as *.in_proj_weight, or a function "
            "of name and weight"
        )
    for pattern in patterns:
        if not fnmatch.filter(weights, pattern):
            raise OptionError(
                f"prune={shown(pattern)}: must match one of the trainable weights: "
                + listed_names(list(weights))
            )
    return [weights[name] for pattern in patterns for name in fnmatch.filter(weights, pattern)]


def _chooses(prune: Callable[[str, nn.Parameter], bool], name: str, weight: nn.Parameter) -> bool:
    try:
        return bool(prune(name, weight))
    except Exception as error:
        raise OptionError(
            f"prune={_shown(prune)}: must be a function that takes a weight's name and the weight, "
            f"and returns True or False; of {name}: {registry.describe_error(error)}"
        ) from None


def owns_weight(layer: nn.Module) -> bool:
    """Whether a layer's weight is a parameter, and not computed from other parameters."""
    return "weight" in dict(layer.named_parameters(recurse=False))


def check_prunable(network: nn.Module, prune: Prunable = None) -> None:
    """Refuses to prune layers that compute their weight from other parameters.

    No mask on those parameters would fix the weight.

    Raises:
        OptionError: such a layer would be pruned; or see `prunable_weights`.
    """
    for name, module in network.named_modules() if prune is None else ():
        if isinstance(module, LAYERS) and not owns_weight(module) and _trains_weight(module):
            raise OptionError(_parametrised(module_label(name, module)))
    for name in prunable_weights(network, prune):
        layer, computes_another, _ = f".{name}".partition(".parametrizations.")
        if computes_another:
            raise OptionError(
                _parametrised(module_label(layer[1:], network.get_submodule(layer[1:])))
            )


def _trains_weight(layer: nn.Module) -> bool:
    return any(p.requires_grad for name, p in layer.named_parameters() if name != "bias")


def _parametrised(layer: str) -> str:
    return (
        f"network: {layer} computes its weight from other parameters (as weight and spectral norm "
        "do), so it cannot be pruned; remove the parametrisation first (torch.nn.utils.parametrize"
        f".remove_parametrizations), or leave the layer out with {CHOICE}"
    )


def _shown(prune: Prunable) -> str:
    return getattr(prune, "__name__", "a function") if callable(prune) else shown(prune)


def listed_names(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
