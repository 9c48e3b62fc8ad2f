"""A job's parameters, moments and masks, as compiled code takes them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from raylot.config import OptimizerOptions
from raylot.training.fast import kernels, updates
from raylot.training.fast.layout import Layout, aligned
from raylot.training.fast.reasons import is_penalty, linear_layers
from raylot.training.flat import FlatParameters
from raylot.training.hooks import action_interval, flat_initial, overrides
from raylot.training.job import TrainingJob

#: Adam's other options, as in torch.optim.Adam.
_BETAS, _EPSILON = (0.9, 0.999), 1e-8

#: Names of the moments that a rule keeps, as in torch.optim.
_MOMENTS = {
    updates.ADAM: ("exp_avg", "exp_avg_sq"),
    updates.ADAMW: ("exp_avg", "exp_avg_sq"),
    updates.SGD: (),
    updates.MOMENTUM: ("momentum_buffer",),
    updates.NESTEROV: ("momentum_buffer",),
}

_KINDS = {"square": kernels.SQUARE, "huber": kernels.HUBER, "absolute": kernels.ABSOLUTE}

#: Up to this density, kernels walk a list of the first layer's survivors instead of all weights.
_LISTED_DENSITY = 0.4

#: Unit indices in that list have 16 bits.
_MOST_LISTED_UNITS = 2**16


class State:
    """A job's parameters, the optimizer's moments, masks and counts, as the kernels take them.

    Kernels do not see the moments of pruned weights and of units that take no part. These stay in
    the flat vectors in which the moments came, and only decay.
    """

    def __init__(self, job: TrainingJob) -> None:
        self._job = job
        layers = linear_layers(job.network)
        assert layers is not None, "why_not says so"
        self._flat = FlatParameters(job.network)
        self._named = dict(job.network.named_parameters())
        self._kept_masks: dict[str, Tensor] | None = None
        if job.masks is not None:
            self._kept_masks = self._flat.unflatten(self._flat.flatten_masks(job.masks))
            if job.masked == "zero":
                for name, mask in self._kept_masks.items():
                    self._named[name].detach().masked_fill_(~mask, 0)
        penalty = job.intervention if is_penalty(job.intervention) else None
        self._penalty = penalty
        self._kind = kernels.SQUARE if penalty is None else _KINDS[penalty.function]
        # Decay, a penalty and old moments move weights without a gradient of the examples.
        is_still = not job.optimizer_state and not job.optimizer.weight_decay and penalty is None
        self.layout = Layout.of(job.network, layers, job.masks, compact=is_still)
        self.widths = self.layout.widths
        self.steps = 0
        acts = job.intervention is not None and overrides(job.intervention, "after_step")
        self._acts_every = action_interval(job.intervention) if job.intervention and acts else None
        self.rule = _rule(job.optimizer)
        #: The centre to which a penalty draws; empty if that is 0.
        self._first_centre = self._rest_centre = np.empty(0, np.float32)
        if penalty is not None and penalty.to_initial:
            centre = self._flat.unflatten(flat_initial(self._flat, job.initial))
            self._first_centre, self._rest_centre = self._split(centre)
        measured = job.gradient_magnitudes
        self._lists = False
        self.load(job.optimizer_state or {})
        self.first_magnitude = np.zeros(self.first.shape if measured else 0, np.float32)
        self.rest_magnitude = np.zeros(self.rest.shape if measured else 0, np.float32)

    def load(self, optimizer_state: Mapping[str, Tensor]) -> None:
        """Takes over the network's parameters as they are now, and an optimizer's state."""
        self._begun, self._steps_before = self.steps, int(optimizer_state.get("step", 0))
        self._moments = {
            name: (
                optimizer_state[name].clone()
                if optimizer_state
                else torch.zeros_like(self._flat.gradient)
            )
            for name in _MOMENTS[self.rule]
        }
        self.first, self.rest = self._split(self._named)
        moments = [
            self._split(self._flat.unflatten(moment))
            if optimizer_state
            else (aligned(self.first.size), np.zeros_like(self.rest))
            for moment in self._moments.values()
        ]
        nothing = np.empty(0, np.float32)
        moments += [(nothing, nothing)] * (2 - len(moments))
        (self.first_mean, self.rest_mean), (self.first_square, self.rest_square) = moments
        self._set_masks(self._kept_masks)
        if self._lists:
            self.list_survivors()

    def _split(self, tensors: Mapping[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        return self.layout.first(tensors), self.layout.rest(tensors)

    def _pairs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Both parts of each moment that the rule keeps."""
        pairs = [(self.first_mean, self.rest_mean), (self.first_square, self.rest_square)]
        return pairs[: len(self._moments)]

    def _set_masks(self, survivors: dict[str, Tensor] | None) -> None:
        self.rest_keep = np.ones(len(self.rest), dtype=np.bool_)
        self.keep = np.empty(0, dtype=np.bool_)
        self.mask_kind = kernels.NO_MASK
        self._survivors: Tensor | None = None
        self._fixed: dict[str, tuple[Tensor, Tensor]] = {}
        if survivors is not None:
            self._survivors = self._flat.flatten(survivors)
            # Frozen weights may be denormal, and count as 0 during training.
            self._fixed = {
                name: (survivors[name], self._named[name].detach().clone())
                for name in self._job.masks or ()
            }
            self.keep, self.rest_keep = self._split(survivors)
            self.mask_kind = kernels.DENSE_MASK
            for first, rest in self._pairs():
                first[~self.keep] = 0
                rest[~self.rest_keep] = 0
        self._places = np.empty(0, dtype=np.intp)
        self.list_starts, self.columns = np.zeros(1, np.int64), np.empty(0, np.uint16)
        self.listed = self.listed_mean = self.listed_square = np.empty(0, np.float32)
        self.listed_centre = self.listed

    def list_survivors(self) -> None:
        """Lists the first layer's survivors for the kernels, if they are few.

        SGD does without, as it walks only the rows of pixels that occur.
        """
        self._lists = True
        units = self.widths[0]
        are_few = self.mask_kind != kernels.NO_MASK and self.keep.mean() <= _LISTED_DENSITY
        if not are_few or units > _MOST_LISTED_UNITS or self.rule == updates.SGD:
            return
        self.mask_kind = kernels.SURVIVOR_LIST
        (self._places,) = self.keep.nonzero()
        self.columns = (self._places % units).astype(np.uint16)
        per_row = self.keep.reshape(-1, units).sum(1)
        self.list_starts = np.concatenate([[0], per_row.cumsum()]).astype(np.int64)
        self.listed, self.listed_mean = self.first[self._places], self.first_mean[self._places]
        if len(self.first_square):
            self.listed_square = self.first_square[self._places]
        if len(self._first_centre):
            self.listed_centre = self._first_centre[self._places]

    @property
    def options(self) -> tuple[float, float, float, float, float, float, float]:
        """Learning rate, what is kept of moments, epsilon, decay, and a penalty's pull and kind."""
        options = self._job.optimizer
        return (
            options.lr,
            *self._kept,
            _EPSILON,
            options.weight_decay,
            self._pull,
            float(self._kind),
        )

    @property
    def _pull(self) -> float:
        """The factor in a penalty's gradient, which the method may change when it acts."""
        if self._penalty is None:
            return 0.0
        return (2 if self._kind == kernels.SQUARE else 1) * self._penalty.strength

    @property
    def _kept(self) -> tuple[float, float]:
        """The share of each moment that a step keeps; 1 for one that there is not."""
        is_adam = self.rule in (updates.ADAM, updates.ADAMW)
        return _BETAS if is_adam else (self._job.optimizer.momentum, 1.0)

    @property
    def step(self) -> int:
        """Steps that Adam has taken, in earlier trainings too; SGD does not remember those."""
        return self._steps_before + self.steps - self._begun

    @property
    def examples_left(self) -> int | None:
        """How many examples the remaining steps take; None without a limit."""
        if self._job.max_steps is None:
            return None
        return (self._job.max_steps - self.steps) * self._job.batch_size

    def parts(self, examples: int) -> Iterator[slice]:
        """Splits so many examples of an epoch after each step at which the method acts.

        Each part is to be trained and counted before the next is asked for. There is none for more
        steps than the job has.
        """
        begin, left = 0, self.examples_left
        end = examples if left is None else min(examples, left)
        while begin < end:
            stop = end
            if self._acts_every is not None:
                steps = self._acts_every - self.steps % self._acts_every
                stop = min(end, begin + steps * self._job.batch_size)
            yield slice(begin, stop)
            begin = stop

    @property
    def is_time_to_act(self) -> bool:
        """Whether the method acts after the latest step."""
        return self._acts_every is not None and self.steps % self._acts_every == 0

    def count(self, examples: int) -> None:
        """Counts the steps that so many examples took."""
        self.steps += math.ceil(examples / self._job.batch_size)

    def store(self) -> None:
        """Gives the network its trained parameters."""
        self.layout.store(self.first, self.rest, self._named)
        for name, (survives, fixed) in self._fixed.items():
            weight = self._named[name].detach()
            torch.where(survives, weight, fixed, out=weight)

    def optimizer_state(self) -> dict[str, Tensor]:
        """Returns the state as torch.optim keeps it for a flat vector of all parameters."""
        if self.mask_kind == kernels.SURVIVOR_LIST:
            self.first_mean[self._places] = self.listed_mean
            if len(self.first_square):
                self.first_square[self._places] = self.listed_square
        counts_steps = self.rule in (updates.ADAM, updates.ADAMW)
        state = {"step": torch.tensor(float(self.step))} if counts_steps else {}
        kept = self._kept[: len(self._moments)]
        for (name, old), share, (first, rest) in zip(
            self._moments.items(), kept, self._pairs(), strict=True
        ):
            decayed = old * share ** (self.steps - self._begun)
            new = self._unsplit(first, rest)
            state[name] = (
                new if self._survivors is None else torch.where(self._survivors, new, decayed)
            )
        return state

    def gradient_magnitudes(self) -> dict[str, Tensor] | None:
        """Returns the mean |gradient| of every parameter, if the job asks for it."""
        if not self._job.gradient_magnitudes:
            return None
        total = self._unsplit(self.first_magnitude, self.rest_magnitude)
        return self._flat.unflatten(total / max(1, self.steps))

    def _unsplit(self, first: np.ndarray, rest: np.ndarray) -> Tensor:
        vector = torch.zeros_like(self._flat.gradient)
        self.layout.store(first, rest, self._flat.unflatten(vector))
        return vector

    def arguments_of_first(self) -> tuple[np.ndarray, ...]:
        return (
            self.first, self.first_mean, self.first_square, self._first_centre,
            self.first_magnitude,
        )  # fmt: skip

    def arguments_of_rest(self) -> tuple[np.ndarray | bool, ...]:
        return (
            self.rest, self.rest_mean, self.rest_square, self._rest_centre, self.rest_magnitude,
            self.rest_keep, self._job.gradient_magnitudes,
        )  # fmt: skip


def _rule(options: OptimizerOptions) -> int:
    """Returns which rule of `updates` an optimizer follows."""
    if options.optimizer == "adamw":
        return updates.ADAMW
    if options.optimizer == "adam":
        return updates.ADAM
    if not options.momentum:
        return updates.SGD
    return updates.NESTEROV if options.nesterov else updates.MOMENTUM
