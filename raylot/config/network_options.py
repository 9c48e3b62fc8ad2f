"""Options that choose the network, and those that some networks have."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raylot.config.naming import NamingOptions
from raylot.config.options import Integers, OneOf, Options, option


class Mlp(Options):
    """Options of ``mlp``."""

    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1, le=65536)], ...], Integers, Field(min_length=1)
    ] = option(
        (64,), "units of each hidden layer, first to last", common=True,
        accepts="one or more whole numbers in [1, 65536], as 256 or 100,100",
        role="training",
    )  # fmt: skip


class Stages(Options):
    """Options of the small ``vgg`` and ``resnet``."""

    width: int = option(
        16, "channels of the first stage; each later one doubles them",
        ge=1, le=4096, off=16, role="training",
    )  # fmt: skip


class WidthScale(Options):
    """The option of networks whose sizes a paper gives."""

    width_scale: float = option(
        1.0, "factor of the published numbers of units and channels; each is rounded, and 1 at "
        "least", gt=0, le=16, off=1.0, role="training",
    )  # fmt: skip


class Transformer(Options):
    """Options of ``vit``."""

    patch_size: int = option(
        4, "height and width of the patches into which an image is cut",
        ge=1, le=256, off=4, role="training",
    )  # fmt: skip
    vit_depth: int = option(4, "transformer blocks", ge=1, le=64, off=4, role="training")
    vit_heads: int = option(
        4, "attention heads of each block; they share the dimension",
        ge=1, le=64, off=4, role="training",
    )  # fmt: skip
    vit_dimension: int = option(
        64, "numbers by which a block describes a patch; its hidden layer has 4 times as many "
        "units", ge=1, le=4096, off=64, role="training",
    )  # fmt: skip


class Normalised(Options):
    """The option of networks that can have a norm between a layer and its activation."""

    norm: Literal["none", "batch", "layer", "group"] = option(
        "none", "normalisation after each hidden layer, before its activation", off="none",
        role="training",
    )  # fmt: skip


class Activated(Options):
    """The option that all built-in networks have."""

    activation: Literal[
        "relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "crelu", "fourier", "prelu"
    ] = option(
        "relu", "activation of hidden units; crelu (ReLU of z and of -z) and fourier (sin z and "
        "cos z) put out two numbers per unit, prelu learns each unit's leak",
        off="relu", role="training",
    )  # fmt: skip


_PUBLISHED = (WidthScale, Normalised, Activated)

#: Network -> the models of its options.
DECLARED: dict[str, tuple[type[Options], ...]] = {
    "mlp": (Mlp, Normalised, Activated),
    "lenet": (Normalised, Activated),
    "vgg": (Stages, Normalised, Activated),
    "resnet": (Stages, Normalised, Activated),
    "lenet_300_100": _PUBLISHED,
    "conv2": _PUBLISHED,
    "conv4": _PUBLISHED,
    "conv6": _PUBLISHED,
    "vgg11": _PUBLISHED,
    "vgg16": _PUBLISHED,
    "resnet18": _PUBLISHED,
    "resnet20": _PUBLISHED,
    "vit": (Transformer, Activated),
}

#: Built-in networks that accept inputs of any shape; all others accept images.
PERCEPTRONS = ("mlp", "lenet_300_100")


class NetworkOptions(
    Mlp, Stages, WidthScale, Transformer, Normalised, Activated, NamingOptions, title="network"
):
    """Options that choose the network."""

    network: Annotated[str, OneOf("network")] = option("mlp", "architecture", role="training")
    initialisation: Literal[
        "pytorch", "kaiming_uniform", "kaiming_normal", "glorot_uniform", "glorot_normal",
        "orthogonal", "signed_constant",
    ] = option(
        "pytorch", "how the first weights of linear and convolution layers are drawn; all but "
        "pytorch, which leaves it to the layers, start their biases at 0",
        off="pytorch", role="training",
    )  # fmt: skip
