"""Masks: which weights can be pruned, which are, and how the smallest are chosen.

Masks are a dict of one boolean tensor per prunable weight, named as in
``network.named_parameters()``; True marks a survivor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    """Masks under which every weight survives.

    Raises:
        OptionError: see `check_prunable`.
    """
    check_prunable(network, prune)
    weights = prunable_weights(network, prune)
    return {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}


def left_out(network: nn.Module, masks: Masks) -> dict[str, int]:
    """Trainable weights without a mask, by name: how many.

    By default these are the weights of attention, recurrent layers and embeddings, and what modules
    have of their own.
    """
    weights = {id(p) for p in all_weights(network).values()}
    return {
        name: p.numel()
        for name, p in network.named_parameters()
        if id(p) in weights and name not in masks
    }


def remark_on_left_out(left: Mapping[str, int], masks: Masks) -> str:
    """Says which weights have no mask, and their share of all weights; empty if all have one."""
    if not left:
        return ""
    share = 1 - prunable_share(left, masks)
    names = listed_names(list(left))
    return f"not pruned: {names} ({share:.1%} of all weights); {CHOICE} chooses what is pruned"


def prunable_share(left: Mapping[str, int], masks: Masks) -> float:
    """Which share of all weights have masks, in (0, 1]; ``left`` is `left_out`."""
    prunable = sum(mask.numel() for mask in masks.values())
    return prunable / (prunable + sum(left.values()))


def remarks_on_emptied(tickets: Sequence[Masks]) -> list[str]:
    """Says of which weights nothing survives, and in how many tickets; one remark per weight."""
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
    """Survivors among a number of weights after a round.

    That is ``round(n (1 - s)^(r / R))``: each round removes the share p = 1 - (1 - s)^(1 / R) of
    the survivors. With a rate of its own a layer loses the share rate x p instead, and keeps
    ``round(n (1 - rate p)^r)``.
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
    """Masks with the lowest-scored survivors removed.

    Args:
        scores: a score per weight, in the shape of its mask; for magnitude pruning |w|.
        masks: the masks so far, the output layer's last.
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
    """One layer's mask with only its ``survivors`` highest-scored weights; ties go by index."""
    alive = mask.flatten().nonzero().squeeze(1)
    order = scores.detach().flatten()[alive].sort(stable=True).indices
    kept = torch.zeros(mask.numel(), dtype=torch.bool, device=mask.device)
    kept[alive[order[max(0, len(alive) - survivors) :]]] = True
    return kept.view_as(mask)


def random_masks_like(masks: Masks, key: RandomKey) -> Masks:
    """Random masks with exactly as many survivors in each layer."""
    result: Masks = {}
    for name, mask in masks.items():
        chosen = key.child(name).generator().permutation(mask.numel())[: int(mask.sum())]
        flat = torch.zeros(mask.numel(), dtype=torch.bool)
        flat[torch.from_numpy(chosen)] = True
        result[name] = flat.view(mask.shape).to(mask.device)
    return result


def shuffled_masks(masks: Masks, key: RandomKey) -> Masks:
    """Masks whose entries are permuted at random within each layer."""
    result: Masks = {}
    for name, mask in masks.items():
        order = torch.from_numpy(key.child(name).generator().permutation(mask.numel()))
        result[name] = mask.flatten()[order.to(mask.device)].view_as(mask)
    return result


def independent_masks(masks: Masks, density: float, key: RandomKey) -> Masks:
    """Random masks in the shape of these that keep each weight independently.

    Args:
        masks: of the network.
        density: probability with which a weight is kept, in [0, 1].
        key: of the draws.
    """
    result: Masks = {}
    for name, mask in masks.items():
        kept = key.child(name).generator().random(mask.numel()) < density
        result[name] = torch.from_numpy(kept).view(mask.shape).to(mask.device)
    return result


def zero_pruned(network: nn.Module, masks: Masks) -> None:
    """Sets a network's pruned weights to 0, in place."""
    for name, mask in masks.items():
        network.get_parameter(name).detach().masked_fill_(~mask, 0)


def density(masks: Masks) -> float:
    """Fraction of all prunable weights that survive."""
    return sum(int(m.sum()) for m in masks.values()) / sum(m.numel() for m in masks.values())
