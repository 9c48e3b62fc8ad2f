"""Masks, how pruning shrinks them, and masks made by chance.

Masks are a dict of one boolean tensor per prunable weight, named as in
``network.named_parameters()``. True marks a survivor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from raylot.foundation.randomness import RandomKey
from raylot.networks.prunable import (
    CHOICE,
    Prunable,
    all_weights,
    check_prunable,
    listed_names,
    prunable_weights,
)
from raylot.training import Masks


def full_masks(network: nn.Module, prune: Prunable = None) -> Masks:
    """Returns masks under which every weight survives.

    Raises:
        OptionError: see `check_prunable`.
    """
    check_prunable(network, prune)
    weights = prunable_weights(network, prune)
    return {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}


def left_out(network: nn.Module, masks: Masks) -> dict[str, int]:
    """Counts the trainable weights without a mask, by the parameter's name.

    By default these are the weights of attention, recurrent layers and embeddings, and modules' own
    parameters.
    """
    weights = {id(p) for p in all_weights(network).values()}
    return {
        name: p.numel()
        for name, p in network.named_parameters()
        if id(p) in weights and name not in masks
    }


def remark_on_left_out(left: Mapping[str, int], masks: Masks) -> str:
    """Says which weights have no mask, and their share of all weights; empty if there are none."""
    if not left:
        return ""
    share = 1 - prunable_share(left, masks)
    names = listed_names(list(left))
    return f"not pruned: {names} ({share:.1%} of all weights); {CHOICE} chooses what is pruned"


def prunable_share(left: Mapping[str, int], masks: Masks) -> float:
    """Returns the share of all weights that have masks, in (0, 1]; ``left`` is `left_out`."""
    prunable = sum(mask.numel() for mask in masks.values())
    return prunable / (prunable + sum(left.values()))


def remarks_on_emptied(tickets: Sequence[Masks]) -> list[str]:
    """Names the weights that are pruned away entirely, and in how many tickets; a remark each."""
    remarks = []
    for name in tickets[0]:
        emptied = sum(not masks[name].any() for masks in tickets)
        if emptied:
            where = f" in {emptied} of {len(tickets)} tickets" if len(tickets) > 1 else ""
            remarks.append(f"{name}: pruned away entirely{where}")
    return remarks


def survivor_count(
    weights: int, sparsity: float, round_index: int, rounds: int, rate: float = 1.0
) -> int:
    """Returns how many of a number of weights survive after a round.

    That is ``round(n (1 - s)^(r / R))``: each round removes the share p = 1 - (1 - s)^(1 / R) of
    the survivors. With a ``rate``, each round removes the share rate x p instead, and
    ``round(n (1 - rate p)^r)`` weights survive.
    """
    if rate == 1:
        kept: float = (1 - sparsity) ** (round_index / rounds)
    else:
        kept = (1 - rate * (1 - (1 - sparsity) ** (1 / rounds))) ** round_index
    return round(weights * kept)


def prune(
    scores: Mapping[str, Tensor], masks: Masks, sparsity: float, round_index: int, rounds: int,
    scope: str = "layer", output_rate: float = 1.0,
) -> Masks:  # fmt: skip
    """Returns masks without the survivors that have the lowest scores.

    Args:
        scores: a score per weight, in the shapes of the masks; for magnitude pruning |w|.
        masks: the masks so far; the output layer's mask comes last.
        sparsity: the fraction to be removed after the last round, in [0, 1).
        round_index: this round, from 1.
        rounds: all rounds.
        scope: ``"layer"`` keeps ``survivor_count`` of each layer, ``"global"`` of all together.
        output_rate: with ``"layer"``, the output layer's rate per round as a share of the others'
            (Frankle & Carbin 2019 take 0.5); the overall density is then above 1 - sparsity.

    Equal scores go by index: the earlier weight is removed first. A weight that was removed
    stays removed.
    """
    if scope == "layer":
        output = list(masks)[-1]
        return {
            name: keep_highest(
                scores[name],
                mask,
                survivor_count(
                    mask.numel(), sparsity, round_index, rounds,
                    output_rate if name == output else 1.0,
                ),
            )
            for name, mask in masks.items()
        }  # fmt: skip
    everything = torch.cat([mask.flatten() for mask in masks.values()])
    all_scores = torch.cat([scores[name].flatten() for name in masks])
    kept = keep_highest(
        all_scores, everything, survivor_count(everything.numel(), sparsity, round_index, rounds)
    )
    parts = kept.split([mask.numel() for mask in masks.values()])
    return {
        name: part.view_as(mask) for (name, mask), part in zip(masks.items(), parts, strict=True)
    }


def keep_highest(scores: Tensor, mask: Tensor, survivors: int) -> Tensor:
    """Returns one layer's mask with the ``survivors`` highest scores only; ties go by index."""
    alive = mask.flatten().nonzero().squeeze(1)
    order = scores.detach().flatten()[alive].sort(stable=True).indices
    kept = torch.zeros(mask.numel(), dtype=torch.bool, device=mask.device)
    kept[alive[order[max(0, len(alive) - survivors) :]]] = True
    return kept.view_as(mask)


def magnitude_masks(weights: Mapping[str, Tensor], like: Masks) -> Masks:
    """Returns masks of the largest |w| of each layer, as many as other masks keep there.

    Args:
        weights: values by name, in the shapes of the masks; others are ignored.
        like: decides how many weights of each layer survive.
    """
    return {
        name: keep_highest(weights[name].abs(), torch.ones_like(mask), int(mask.sum()))
        for name, mask in like.items()
    }


def random_masks_like(masks: Masks, key: RandomKey) -> Masks:
    """Returns random masks with exactly as many survivors in each layer."""

    def draw(mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        drawn = np.zeros_like(mask)
        drawn[generator.permutation(len(mask))[: mask.sum()]] = True
        return drawn

    return _drawn(masks, key, draw)


def independent_masks(masks: Masks, density: float, key: RandomKey) -> Masks:
    """Returns random masks that keep each weight independently of the others.

    Args:
        masks: any masks of the network.
        density: probability with which a weight is kept, in [0, 1].
        key: decides the draws.
    """
    return _drawn(masks, key, lambda mask, generator: generator.random(len(mask)) < density)


def _drawn(
    masks: Masks, key: RandomKey, draw: Callable[[np.ndarray, np.random.Generator], np.ndarray]
) -> Masks:
    """Draws a mask for each layer, from its own mask, flat, and a generator of its own."""
    drawn = {
        name: draw(mask.cpu().numpy().ravel(), key.child(name).generator())
        for name, mask in masks.items()
    }
    return {n: torch.from_numpy(drawn[n]).view(m.shape).to(m.device) for n, m in masks.items()}


def zero_pruned(network: nn.Module, masks: Masks) -> None:
    """Sets a network's pruned weights to 0, in place."""
    for name, mask in masks.items():
        network.get_parameter(name).detach().masked_fill_(~mask, 0)


def density(masks: Masks) -> float:
    """Returns the fraction of all prunable weights that survive."""
    return sum(int(m.sum()) for m in masks.values()) / sum(m.numel() for m in masks.values())


def live_vector(parameters: Mapping[str, Tensor], masks: Masks) -> Tensor:
    """Returns 1 for surviving weights and parameters without a mask, 0 for pruned weights.

    Returns:
        One vector for all parameters in order, of their type and on their device.
    """
    return torch.cat(
        [
            (masks[name].to(p) if name in masks else torch.ones_like(p)).flatten()
            for name, p in parameters.items()
        ]
    ).detach()
