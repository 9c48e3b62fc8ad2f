"""Options of one training: the optimizer, what shapes its steps, and how many steps there are."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from raylot.config.options import Options, option, parse_list

#: A place in a training, as a share of its steps.
_Place = Annotated[float, Field(gt=0, lt=1)]


class Momentum(Options):
    """Options of ``sgd`` and ``rmsprop``."""

    momentum: float = option(0.0, "momentum", ge=0, lt=1, role="training")


class Nesterov(Options):
    """Options of ``sgd``."""

    nesterov: bool = option(
        False, "Nesterov's momentum, with momentum greater than 0", off=False, role="training"
    )


class OptimizerChoice(Momentum, Nesterov):
    """Which optimizer moves the weights."""

    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = option(
        "adam", "optimizer; all as in torch.optim", role="training"
    )
    lr: float = option(
        1e-3, "learning rate", common=True, gt=0, le=100, role="training",
        drawn="loguniform(1e-4,3e-2)",
    )  # fmt: skip
    weight_decay: float = option(
        0.0, "weight decay, added to the gradient as torch.optim does; adamw instead shrinks "
        "weights by lr times it in each step (decoupled)", ge=0, le=100, role="training",
    )  # fmt: skip

    @model_validator(mode="after")
    def _momentum_has_its_optimizer(self) -> Self:
        if self.momentum and self.optimizer not in ("sgd", "rmsprop"):
            raise ValueError(
                f"momentum={self.momentum}: must be 0 unless optimizer is sgd or rmsprop"
            )
        if self.nesterov and self.optimizer != "sgd":
            raise ValueError(f"optimizer={self.optimizer}: must be sgd with nesterov")
        if self.nesterov and not self.momentum:
            raise ValueError(f"momentum={self.momentum}: must be greater than 0 with nesterov")
        return self


class Steps(Options):
    """Options of the schedule ``step``."""

    step_factor: float = option(
        0.1, "factor of the learning rate at each of step_at", gt=0, le=1, off=0.1,
        role="training",
    )  # fmt: skip
    step_at: Annotated[tuple[_Place, ...], BeforeValidator(parse_list), Field(min_length=1)] = (
        option(
            (0.5, 0.75), "shares of each training's steps after which it falls",
            accepts="one or more numbers in (0, 1), each once, as 0.5,0.75", off=(0.5, 0.75),
            role="training",
        )
    )  # fmt: skip

    @field_validator("step_at")
    @classmethod
    def _each_place_once(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(value)) < len(value):
            raise ValueError("given twice")
        return tuple(sorted(value))


class ScheduleChoice(Steps):
    """How the learning rate changes within each training."""

    schedule: Literal["constant", "cosine", "step"] = option(
        "constant", "learning rate over each training on one task: lr throughout, falling to 0 "
        "along half a cosine, or falling in steps", off="constant", role="training",
    )  # fmt: skip
    warmup: float = option(
        0.0, "share of each training's steps over which the learning rate first rises linearly "
        "to lr", ge=0, le=1, off=0.0, role="training",
    )  # fmt: skip


class Crop(Options):
    """Options of the augmentations ``crop`` and ``flip_crop``."""

    crop_padding: int = option(
        4, "pixels of value 0 added on each side before cutting, at most the image's smaller side",
        ge=1, le=4096, off=4, role="training",
    )  # fmt: skip


#: Optimizer, schedule or augmentation -> the models of its options.
DECLARED: dict[str, dict[str, tuple[type[Options], ...]]] = {
    "optimizer": {"sgd": (Momentum, Nesterov), "rmsprop": (Momentum,)},
    "schedule": {"step": (Steps,)},
    "augment": {"crop": (Crop,), "flip_crop": (Crop,)},
}


class AugmentationChoice(Crop):
    """How training images are changed at random."""

    augment: Literal["none", "flip", "crop", "flip_crop"] = option(
        "none", "changes of each training image, drawn anew in each epoch, as the network sees it "
        "(after the shift): mirrored left to right with probability 1/2, cut to its size at a "
        "random place after padding, or both", off="none", role="training",
    )  # fmt: skip


#: Options of `OptimizerOptions` that are off by default and that only some engines know.
_EXTRAS = ("schedule", "warmup", "label_smoothing", "clip_norm", "augment", "precision")


class OptimizerOptions(AugmentationChoice, ScheduleChoice, OptimizerChoice):
    """How weights move: the optimizer, and what shapes its steps."""

    label_smoothing: float = option(
        0.0, "share of each label's probability that the loss spreads evenly over all outputs "
        "(Szegedy et al. 2016)", ge=0, lt=1, off=0.0, role="training",
    )  # fmt: skip
    clip_norm: float | None = option(
        None, "largest norm of the gradient of all live weights, to which longer ones are "
        "shortened; none: any", gt=0, le=1e6, off=None, role="training",
    )  # fmt: skip
    precision: Literal["float32", "bfloat16", "float16"] = option(
        "float32", "numbers with which a training step computes (weights and evaluations stay in "
        "float32); float16 scales its loss against underflow, and needs a GPU", off="float32",
        role="training",
    )  # fmt: skip

    @property
    def extras(self) -> list[str]:
        """The options in use that are off by default and that only some engines know."""
        fields = type(self).model_fields
        return [name for name in _EXTRAS if getattr(self, name) != fields[name].default]


class TrainingOptions(OptimizerOptions, title="training"):
    """How one network is trained on one task."""

    epochs: int = option(
        10, "passes over each task's training split", common=True, ge=1, le=100_000, role="training"
    )
    batch_size: int = option(32, "examples per training step", ge=1, le=1_000_000, role="training")
    drop_last: bool = option(
        False, "leave out the last batch of an epoch if it is smaller than batch_size", off=False,
        role="training",
    )  # fmt: skip
    device: Literal["auto", "cpu", "cuda"] = option(
        "auto", "where to train; auto is a GPU if the trial was granted one", role="where"
    )
    engine: Literal["auto", "generic", "fast", "stacked"] = option(
        "auto", "how networks are trained: by a loop for any network, by compiled code for ReLU "
        "MLPs on the CPU, or all tickets of a search as one computation, for GPUs; "
        "results differ by rounding; auto takes the fastest that applies", role="where",
    )  # fmt: skip

    @model_validator(mode="after")
    def _device_has_the_precision(self) -> Self:
        if self.precision == "float16" and self.device == "cpu":
            raise ValueError("precision=float16: must be float32 or bfloat16 with device=cpu")
        return self
