"""Trains a pruned convolutional network without the channels that cannot reach its output.

A channel (or hidden unit) whose outgoing weights are all pruned to 0, or lead to such channels
only, changes nothing, and no gradient reaches it. So a smaller network is trained in its place, and
its weights are written back: the same training up to rounding.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raylot.networks.chain import flattens_examples, in_order
from raylot.networks.copies import copied
from raylot.networks.hooked import has_hooks
from raylot.training import generic
from raylot.training.flat import Masks
from raylot.training.job import TrainingJob, TrainingResult
from raylot.training.memory_format import has_convolutions_on_cpu

#: What may stand between layers: it looks at each channel by itself, and draws nothing.
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
_BETWEEN = (
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity, *_POOLS,
)  # fmt: skip

Layer = nn.Conv2d | nn.Linear


def train(job: TrainingJob) -> TrainingResult:
    """Trains a job by the generic engine, in a smaller network where that is the same."""
    chain = _chain(job)
    if chain is None:
        return generic.train(job)
    kept = _kept(job, chain)
    if all(units.numel() == len(layer.weight) for units, layer in zip(kept, chain, strict=True)):
        return generic.train(job)
    return _Smaller(job, chain, kept).train()


def _chain(job: TrainingJob) -> list[Layer] | None:
    """Returns the layers of a job's network if channels may be left out; else None."""
    network = job.network
    if (
        not job.masks
        or not has_convolutions_on_cpu(network)
        # Each of these moves or looks at weights that no gradient reaches.
        or job.optimizer.weight_decay
        or job.optimizer_state
        or job.intervention is not None
        or job.gradient_magnitudes
        or job.gradient_products
        or job.after_epoch is not None
        or has_hooks(network)
    ):
        return None
    modules = list(in_order(network))
    layers = [m for m in modules if isinstance(m, nn.Conv2d | nn.Linear)]
    owned = [id(p) for layer in layers for p in layer.parameters()]
    fits = (
        all(_is_known(module) for module in modules)
        and _flattens_once(modules)
        and len(set(owned)) == len(owned)  # no layer or weight in two places
        and {id(p) for p in network.parameters()} == set(owned)
        and all(p.requires_grad and p.is_contiguous() for p in network.parameters())
        and all(
            following.weight.shape[1] % len(layer.weight) == 0
            for layer, following in itertools.pairwise(layers)
        )
    )
    weights = dict(network.named_parameters())
    masked = all(n in weights and weights[n].shape == m.shape for n, m in job.masks.items())
    return layers if fits and masked else None


def _is_known(module: nn.Module) -> bool:
    if type(module) is nn.Conv2d:
        return module.groups == 1
    return type(module) in (nn.Linear, *_BETWEEN) or flattens_examples(module)


def _flattens_once(modules: Sequence[nn.Module]) -> bool:
    """Whether images become vectors right before the first linear layer, and stay vectors.

    Only then are a linear layer's inputs the channels of the layer before, flattened.
    """
    on_images = [
        type(module) in (nn.Conv2d, *_POOLS) or flattens_examples(module) for module in modules
    ]
    is_linear = [type(module) is nn.Linear for module in modules]
    if sum(map(flattens_examples, modules)) != 1 or not any(is_linear):
        return False
    last = max(at for at, found in enumerate(on_images) if found)
    return flattens_examples(modules[last]) and last < is_linear.index(True)


def _kept(job: TrainingJob, chain: Sequence[Layer]) -> list[Tensor]:
    """Returns the channels of each layer that reach the output, or one if none does: int64."""
    names = {id(p): name for name, p in job.network.named_parameters()}
    kept = [torch.arange(len(chain[-1].weight))]
    for layer, below in zip(chain[:0:-1], chain[-2::-1], strict=True):
        used = torch.ones_like(layer.weight, dtype=torch.bool)
        mask = (job.masks or {}).get(names[id(layer.weight)])
        if mask is not None:
            used = mask if job.masked == "zero" else mask | (layer.weight != 0)
        reached = used[kept[0]].any(0).view(len(below.weight), -1).any(1)
        kept.insert(0, reached.nonzero().flatten() if bool(reached.any()) else torch.tensor([0]))
    return kept


class _Smaller:
    """A job whose network has fewer channels, and where its parameters stand in the whole one."""

    def __init__(self, job: TrainingJob, chain: Sequence[Layer], kept: Sequence[Tensor]) -> None:
        self._job = job
        names = {id(p): name for name, p in job.network.named_parameters()}
        #: Per parameter, in their order: which entries of the flattened whole one the smaller one
        #: has, in its shape.
        self._places: dict[str, Tensor] = {}
        inputs = torch.arange(chain[0].weight.shape[1])
        for number, (layer, outputs) in enumerate(zip(chain, kept, strict=True)):
            if number:
                # A flattened channel is a run of inputs.
                run = layer.weight.shape[1] // len(chain[number - 1].weight)
                inputs = (kept[number - 1][:, None] * run + torch.arange(run)).flatten()
            index = torch.arange(layer.weight.numel()).view(layer.weight.shape)
            self._places[names[id(layer.weight)]] = index[outputs][:, inputs]
            if layer.bias is not None:
                self._places[names[id(layer.bias)]] = outputs
        self._places = {name: self._places[name] for name, _ in job.network.named_parameters()}
        self._network = copied(job.network)
        for name, parameter in job.network.named_parameters():
            owner, _, own_name = name.rpartition(".")
            setattr(
                self._network.get_submodule(owner), own_name,
                nn.Parameter(self._part(name, parameter)),
            )  # fmt: skip

    @torch.no_grad()
    def train(self) -> TrainingResult:
        job = self._job
        masks: Masks = {name: self._part(name, mask) for name, mask in (job.masks or {}).items()}
        with torch.enable_grad():
            result = generic.train(dataclasses.replace(job, network=self._network, masks=masks))
        for name, whole in job.network.named_parameters():
            if job.masked == "zero" and job.masks and name in job.masks:
                whole.masked_fill_(~job.masks[name], 0)
            whole.view(-1)[self._places[name]] = self._network.get_parameter(name)
        job.network.train(self._network.training)
        state = {name: self._whole(each) for name, each in result.optimizer_state.items()}
        return dataclasses.replace(result, optimizer_state=state)

    def _part(self, name: str, whole: Tensor) -> Tensor:
        return whole.detach().flatten()[self._places[name]]

    def _whole(self, moments: Tensor) -> Tensor:
        """Returns an optimizer's vector for all parameters; it is 0 where no gradient came."""
        if not moments.dim():
            return moments
        parts = moments.split([places.numel() for places in self._places.values()])
        whole = []
        for (name, places), part in zip(self._places.items(), parts, strict=True):
            spread = torch.zeros(self._job.network.get_parameter(name).numel(), dtype=part.dtype)
            spread[places.flatten()] = part
            whole.append(spread)
        return torch.cat(whole)
