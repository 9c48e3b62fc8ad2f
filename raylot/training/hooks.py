"""The places of the training loop at which an intervention can act."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot.config import InterventionOptions
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.randomness import RandomKey
from raylot.networks.initialisation import reinitialised
from raylot.networks.units import HiddenLayer
from raylot.tasks import Task
from raylot.training.flat import FlatParameters


@dataclass
class Training:
    """A training under way, as an intervention sees it.

    Attributes:
        network: the network being trained; its parameters are views into ``flat.vector``.
        task: what it is trained on.
        flat: all trainable parameters as one vector, and their gradient.
        optimizer: its options and state decide each step of ``flat.vector``; its step hooks are
            not called. A learning-rate schedule sets its ``lr`` before each step.
        key: for the intervention's own draws.
        initial: the network's state at the start of its life, if known.
        step: steps taken in this training.
        inputs: the batch of this step, scaled, as ``augment`` has changed it; empty at the start
            and end of a task, when the gradient is 0.
        live: which parameters train, boolean, in the order of ``flat.vector``; None: all do.
        loss: this step's mean loss (see `raylot.training.losses`), without a method's term and
            without its graph.
        given: by name of each layer that the method observes, what its units have given to the
            next layer in this step, before it: that layer's inputs (see
            `raylot.networks.units.HiddenLayer.outputs`), without their graph; until the next step.
    """

    network: nn.Module
    task: Task
    flat: FlatParameters
    optimizer: torch.optim.Optimizer
    key: RandomKey
    initial: Mapping[str, Tensor] | None = None
    step: int = 0
    inputs: Tensor = field(default_factory=lambda: torch.empty(0))
    live: Tensor | None = None
    loss: Tensor = field(default_factory=lambda: torch.empty(0))
    given: Mapping[str, Tensor] = field(default_factory=dict)

    @functools.cached_property
    def initial_vector(self) -> Tensor:
        """``initial`` in the order of ``flat.vector``.

        Raises:
            ValueError: ``initial`` is not known.
        """
        return flat_initial(self.flat, self.initial)

    def fresh_network(self, key: RandomKey) -> nn.Module:
        """Returns a freshly initialised network, as `raylot.networks.initialisation` makes it.

        Raises:
            OptionError: the network cannot be initialised anew.
        """
        return reinitialised(self.network, key)

    def fresh_vector(self, key: RandomKey) -> Tensor:
        """Returns freshly initialised parameters in the order of ``flat.vector``."""
        return self.flat.flatten(dict(self.fresh_network(key).named_parameters()))

    def reset_optimizer(self, moved: Tensor | None = None) -> None:
        """Sets the optimizer's moments to 0, and its step count.

        Args:
            moved: where to do so: boolean, in the shape of ``flat.vector``; None: everywhere. A
                step count that all parameters share goes on, unless this is None.
        """
        for value in self.optimizer.state[self.flat.vector].values():
            if not isinstance(value, Tensor):
                continue
            if moved is None:
                value.zero_()
            elif value.dim():
                value.masked_fill_(moved, 0)


class Intervention:
    """Base of the methods that are meant to keep plasticity; does nothing itself.

    A method overrides the places where it acts. After each place, pruned weights are put back.
    Every training has a method of its own. What a method must remember from one task of a stream
    to the next is its ``state_dict``; everything else is forgotten.

    Args:
        options: how strongly a method acts.

    Attributes:
        counts_per_weight: whether Adam must count the steps of each weight by itself, so that a
            weight that starts anew moves as in its first steps; see
            `raylot.training.per_weight_adam`.
        acts_every: ``after_step`` is called after each multiple of so many steps of a training. If
            these are many, it must neither look at the batch, its loss and gradient, nor change an
            option of the optimizer: compiled engines take the steps in between at once.
    """

    counts_per_weight: ClassVar[bool] = False
    acts_every: int = 1

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Refuses a class that could not take up the state that it gives away.

        Raises:
            TypeError: it overrides only one of ``state_dict`` and ``load_state_dict``.
        """
        super().__init_subclass__(**arguments)
        own = {name for name in ("state_dict", "load_state_dict")
               if getattr(cls, name) is not getattr(Intervention, name)}  # fmt: skip
        if len(own) == 1:
            raise TypeError(
                f"{cls.__name__}: must define both state_dict and load_state_dict, or none of them"
            )

    def __init__(self, options: InterventionOptions | None = None) -> None:
        pass

    def check(self, network: nn.Module) -> None:
        """Refuses, by an OptionError, a network with which a task of a stream cannot go well.

        It is called before a sweep starts, and before each task of a stream.
        """

    def prepare(self, network: nn.Module) -> None:
        """Changes a network that a run has just built, before anybody sees or trains it.

        It may register buffers and hooks. It changes no parameter's name, shape or value.
        """

    def watch(self, training: Training) -> AbstractContextManager[object]:
        """Returns a context that is open during a training; a method may put hooks into it.

        The hooks are called in evaluations too. The context must remove them.
        """
        return contextlib.nullcontext()

    def observed_layers(self, network: nn.Module) -> Sequence[HiddenLayer]:
        """Returns the hidden layers whose outputs the method looks at in steps.

        They are in ``training.given`` then. Unlike hooks, this leaves the choice of the engine.
        """
        return ()

    def on_task_start(self, training: Training) -> None:
        """Acts before the first step of a task of a stream.

        Here and in `watch` alone may a method change the network's modules, or put hooks into them.
        """

    def loss_term(self, training: Training) -> Tensor | None:
        """Returns a scalar to add to a batch's mean loss, or None.

        It is computed in float32, whatever the training's ``precision``.
        """
        return None

    def after_gradient(self, training: Training) -> None:
        """Acts between the backward pass and the optimizer's step.

        The gradient is that of the loss as it is, not clipped yet. A step in float16 whose gradient
        overflows is left out, and this place with it.
        """

    def after_step(self, training: Training) -> None:
        """Acts after the optimizer's step; ``training.step`` includes that step."""

    def evaluation(self, training: Training) -> AbstractContextManager[None]:
        """Returns a context that is open during each evaluation of the network.

        What it changes to the network it must undo, to the last bit.
        """
        return contextlib.nullcontext()

    def on_task_end(self, training: Training) -> None:
        """Acts after a task of a stream and its evaluation, before the next snapshot."""

    def state_dict(self) -> dict[str, Tensor | int | float]:
        """Returns what the method remembers, by name; called after each task of a stream.

        The stream saves it with the network. A stream starts without a state, and so do the streams
        of tickets, every training of a ticket search, and every probe task.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up a state; called before each task of a stream but the first.

        Args:
            state: what ``state_dict`` of the task before returned; not called if that was empty.
                Tensors are copies on the network's device.
        """


class Penalty(Intervention):
    """Base of methods that add strength x (sum over parameters of a function of d) to the loss.

    d is the distance of a trainable parameter from its centre. Compiled engines compute the
    gradient themselves, except in a subclass with a ``loss_term`` of its own.

    Attributes:
        strength: of the penalty, without the factor 1/2; only ``after_step`` may change it.
        to_initial: whether the centre is the network's initial state; if not, it is 0.
        function: ``"square"``: d^2; ``"absolute"``: |d|; ``"huber"``: d^2 / 2 up to |d| = 1, and
            |d| - 1/2 beyond.
    """

    strength: float
    to_initial: bool = False
    function: Literal["square", "absolute", "huber"] = "square"

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Refuses an unknown function.

        Raises:
            TypeError: ``function`` is not one of the three.
        """
        super().__init_subclass__(**arguments)
        if cls.function not in ("square", "absolute", "huber"):
            raise TypeError(
                f"{cls.__name__}: function must be square, absolute or huber, not {cls.function!r}"
            )

    def loss_term(self, training: Training) -> Tensor | None:
        distance: Tensor = training.flat.vector
        if self.to_initial:
            distance = distance - training.initial_vector
        match self.function:
            case "square":
                total = distance.square().sum()
            case "absolute":
                total = distance.abs().sum()
            case "huber":
                total = F.huber_loss(distance, torch.zeros_like(distance), reduction="sum")
        return self.strength * total


def flat_initial(flat: FlatParameters, initial: Mapping[str, Tensor] | None) -> Tensor:
    """Returns a network's initial state in the order of ``flat.vector``.

    Raises:
        ValueError: it is not known.
    """
    if initial is None:
        raise ValueError("initial: must be given, as this intervention draws weights to it")
    return flat.flatten(initial).to(flat.vector)


def action_interval(method: Intervention) -> int:
    """Returns the steps after each of which ``after_step`` is called.

    Raises:
        OptionError: the method's ``acts_every`` is no whole number from 1.
    """
    every: object = method.acts_every
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        kind = type(method).__name__
        raise OptionError(f"acts_every={shown(every)}: of {kind}; must be a whole number from 1")
    return every


def overrides(method: Intervention, place: str) -> bool:
    """Whether a method acts at a place, by its class or by itself."""
    return getattr(getattr(method, place), "__func__", None) is not getattr(Intervention, place)
