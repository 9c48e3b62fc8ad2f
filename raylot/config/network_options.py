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


class Convolutions(Options):
    """Options of ``vgg`` and ``resnet``."""

    width: int = option(
        16, "channels of the first stage; each later one doubles them",
        ge=1, le=4096, off=16, role="training",
    )  # fmt: skip
    norm: Literal["none", "batch", "layer"] = option(
        "none", "normalisation after each convolution", off="none",
        role="training",
    )  # fmt: skip


#: Network -> the models of its options.
DECLARED: dict[str, tuple[type[Options], ...]] = {
    "mlp": (Mlp,),
    "vgg": (Convolutions,),
    "resnet": (Convolutions,),
}


class NetworkOptions(Mlp, Convolutions, NamingOptions, title="network"):
    """Options that choose the network."""

    network: Annotated[str, OneOf("network")] = option(
        "mlp", "architecture; those built in have ReLU activations", role="training"
    )
