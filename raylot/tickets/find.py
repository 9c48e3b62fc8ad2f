"""Searches winning tickets of any network, in one call and without Ray."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from raylot.config import SeedOptions, TicketSearchOptions
from raylot.config.parameters import options_used
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.networks.copies import copied
from raylot.networks.prunable import Prunable
from raylot.tasks import Task
from raylot.tasks.task import check_task
from raylot.tickets.found import Tickets
from raylot.tickets.search import TicketSearch
from raylot.training import check_network


@torch.inference_mode(False)
@torch.enable_grad()
def find_tickets(
    network: nn.Module,
    task: Task,
    *,
    sparsity: float,
    rounds: int | None = None,
    count: int = 10,
    prune: Prunable = None,
    masked: str = "zero",
    scope: str = "layer",
    epochs: int = 10,
    batch_size: int = 32,
    drop_last: bool = False,
    optimizer: str = "adam",
    lr: float = 1e-3,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    schedule: str = "constant",
    warmup: float = 0.0,
    step_factor: float = 0.1,
    step_at: Sequence[float] = (0.5, 0.75),
    augment: str = "none",
    crop_padding: int = 4,
    label_smoothing: float = 0.0,
    clip_norm: float | None = None,
    precision: str = "float32",
    criterion: str = "magnitude",
    criterion_options: Mapping[str, Any] | None = None,
    rewind_steps: int = 0,
    output_rate: float = 1.0,
    early_bird: float | None = None,
    early_bird_epochs: int = 5,
    untrained_masks: int = 1,
    random_masks: int | None = None,
    random_density: float | None = None,
    rewired_masks: int = 0,
    reinit_tickets: int = 0,
    supermasks: int = 0,
    tolerance: float = 0.01,
    seed: int = 0,
    device: str = "auto",
    engine: str = "auto",
) -> Tickets:
    """Searches winning tickets of a network on a task by iterative magnitude pruning.

    Warns if the network begins without a finite loss, or if a layer is pruned away entirely.

    Args:
        network: any module from inputs to logits (``examples x classes``), with float32 parameters,
            in the state to start from; left unchanged. Every training starts from a copy of it. If
            the network is in training mode, parts in evaluation mode (a frozen batch normalisation,
            for instance) stay in it; if it is in evaluation mode, all of it is trained.
        task: training and test split.
        sparsity: fraction of the prunable weights removed in the end, in [0, 1).
        rounds: pruning rounds, at least 1; None: 20% of the survivors per round, or what the
            criterion's authors take where it scores before training (1, with ``"synflow"`` 100).
        count: tickets, at least 1; they differ only in data order.
        prune: which weights can be pruned: their names, with wildcards as in ``"*.weight"`` or
            ``["*.weight", "*.in_proj_weight"]``, or a function of a weight's name and the weight
            that returns True or False. Biases and norms are never pruned. None: the weights of
            linear and convolution layers; a warning then names the weights that this leaves out,
            such as those of attention, recurrent layers and embeddings.
        masked: ``"zero"``: pruned weights are 0 (Frankle & Carbin 2019); ``"freeze"``: they stay
            at their value in the network given (or after ``rewind_steps``) (Zhou et al. 2019).
        scope: prune the same fraction of each ``"layer"``, or the smallest weights of all
            (``"global"``).
        epochs: passes over the training split in every training.
        batch_size: examples per step; the last batch of an epoch may be smaller.
        drop_last: whether to leave such a smaller batch out.
        optimizer: ``"adam"``, ``"adamw"``, ``"sgd"`` or ``"rmsprop"``, fresh for every training.
        lr: learning rate.
        momentum: momentum of sgd and rmsprop.
        nesterov: whether sgd's momentum is Nesterov's.
        weight_decay: added to the gradient; with adamw, weights shrink by ``lr`` times it instead.
        schedule: of the learning rate in every training: ``"constant"``, ``"cosine"`` (falling to
            0) or ``"step"``; after ``rewind_steps`` it starts over.
        warmup: share of a training's steps over which the learning rate first rises to ``lr``.
        step_factor: factor of the learning rate at each of ``step_at``, with schedule ``"step"``.
        step_at: shares of a training's steps after which it falls.
        augment: random changes of training images: ``"none"``, ``"flip"``, ``"crop"`` or
            ``"flip_crop"``.
        crop_padding: pixels added on each side before cutting.
        label_smoothing: share of each label's probability that is spread evenly over all outputs.
        clip_norm: largest norm of the gradient of all live weights; None: any.
        precision: ``"float32"``, ``"bfloat16"`` or, on a GPU, ``"float16"``: how steps compute.
        criterion: what is pruned first: weights small after training (``"magnitude"``), that
            grew least (``"magnitude_increase"``), that moved least (``"movement"``), any
            (``"random"``), or as another criterion in docs/criteria.md scores them (as ``"snip"``),
            or a plugin's, by its name: see `raylot.plugins.criterion` and `raylot.plugins.load`.
        criterion_options: options that the criterion has of its own, with their values.
        rewind_steps: weights are rewound to their values after so many training steps.
        output_rate: rate at which the last layer is pruned per round, as a share of the others'.
        early_bird: a training that ends by pruning stops once the masks of its latest epochs differ
            in less than this share of all weights; the dense one goes on. None: it never does.
        early_bird_epochs: epochs in a row whose masks it compares.
        untrained_masks: how many masks of the network's own largest magnitudes to train for
            comparison, at most ``count``; they differ only in data order.
        random_masks: how many random masks of the same layer densities to train for comparison;
            None: as many as tickets. With fewer than 3 it is not judged which tickets win.
        random_density: random masks keep each weight with this probability instead.
        rewired_masks: how many random masks to train in which each unit keeps its ticket's number
            of incoming and outgoing weights, at most ``count``.
        reinit_tickets: how many tickets to train from a fresh initialisation, which each module's
            ``reset_parameters`` draws.
        supermasks: how many tickets to evaluate without any training, at most ``count``.
        tolerance: see `Tickets.wins`.
        seed: decides all data orders and random masks.
        device: ``"auto"`` (a GPU if there is one), ``"cpu"`` (one thread) or ``"cuda"``.
        engine: how networks are trained: ``"generic"`` (any network), ``"fast"`` (ReLU MLPs
            on the CPU), ``"stacked"`` (all tickets as one computation) or ``"auto"`` (the
            fastest that applies); results differ by rounding.

    Raises:
        OptionError: an option is out of its range, or the engine cannot train such a network. Or
            the network cannot be trained, has nothing to prune, computes a weight to be pruned from
            other parameters (as weight and spectral norm do), or cannot be initialised anew for
            reinit_tickets.
    """
    given = dict(criterion_options or {})
    for name in given.keys() - {*options_used("criterion", criterion)}:
        raise OptionError(f"criterion_options={name}: must be an option of criterion {criterion}")
    options = TicketSearchOptions.checked(
        **given,
        sparsity=sparsity, rounds=rounds, tickets=count, masked=masked, scope=scope,
        epochs=epochs, batch_size=batch_size, drop_last=drop_last, optimizer=optimizer, lr=lr,
        momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, schedule=schedule,
        warmup=warmup, step_factor=step_factor, step_at=step_at, augment=augment,
        crop_padding=crop_padding, label_smoothing=label_smoothing, clip_norm=clip_norm,
        precision=precision, criterion=criterion,
        rewind_steps=rewind_steps, output_rate=output_rate,
        early_bird=early_bird, early_bird_epochs=early_bird_epochs,
        untrained_masks=untrained_masks, random_masks=random_masks,
        random_density=random_density, rewired_masks=rewired_masks,
        reinit_tickets=reinit_tickets, supermasks=supermasks, tolerance=tolerance,
        device=device, engine=engine,
    )  # fmt: skip
    check_task(task)
    target = choose_device(device)
    SeedOptions.checked(seed=seed)
    task = task.to(target)
    check_network(network, task, options)
    search = TicketSearch(
        copied(network).to(target),
        task,
        options,
        RandomKey((seed, "tickets")),
        prunable=prune,
    )
    told = search.remarks()
    for remark in told:
        warnings.warn(remark, stacklevel=4)
    rows: list[dict[str, Any]] = []
    with _one_thread():
        while search.rounds_left:
            rows += [row for row, _ in search.train_round()]
        for control in search.controls:
            rows += [row for row, _ in search.train_control(control)]
    for remark in search.remarks():
        if remark not in told:
            warnings.warn(remark, stacklevel=4)
    untrained = [search.untrained_masks(ticket) for ticket in search.tickets]
    return Tickets.from_rows(
        search.masks,
        rows,
        options,
        untrained=untrained,
        chain=search.chain,
        left_out=search.left_out,
    )


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Uses one thread, as trials do: with matrices this small, threads mostly wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_device(device: str) -> torch.device:
    """Returns a device; ``"auto"`` is the GPU if there is one, else the CPU.

    Raises:
        OptionError: PyTorch finds no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise OptionError("device=cuda: must be auto or cpu, as PyTorch finds no GPU here")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)
