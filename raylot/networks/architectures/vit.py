"""A small vision transformer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from raylot.config import NetworkOptions
from raylot.foundation.errors import OptionError
from raylot.networks.architectures._parts import image_shape
from raylot.networks.architectures._transformer import Block, Positions


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    """A small vision transformer (Dosovitskiy et al. 2021).

    An image is cut into patches, each of which a linear map (``patches``, a convolution) makes a
    token; positions are added that are learnt; then come blocks, a last layer normalisation, the
    mean over all tokens in place of a class token (Beyer et al. 2022), and a linear output. Its
    layers are named ``patches``, ``block1.attention.query``, ``.key``, ``.value`` and ``.output``,
    ``block1.mlp.hidden``, ``block1.mlp.output``, ``block2...`` and ``output``. The activation is
    that of the blocks' perceptrons; the paper has ``"gelu"``.

    Raises:
        OptionError: the inputs are not images, patches do not cover them exactly, or the heads
            cannot share the dimension.
    """
    channels, height, width = image_shape("vit", input_shape)
    size, dimension = options.patch_size, options.vit_dimension
    if height % size or width % size:
        raise OptionError(
            f"patch_size={size}: must divide the sides of the images, {height} and {width}"
        )
    if dimension % options.vit_heads:
        raise OptionError(f"vit_heads={options.vit_heads}: must divide vit_dimension, {dimension}")
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        patches=nn.Conv2d(channels, dimension, size, size),
        tokens=Tokens(),
        positions=Positions(height // size * (width // size), dimension),
    )
    for number in range(1, options.vit_depth + 1):
        layers[f"block{number}"] = Block(dimension, options.vit_heads, options.activation)
    layers["norm"] = nn.LayerNorm(dimension)
    layers["mean"] = MeanToken()
    layers["output"] = nn.Linear(dimension, classes)
    return nn.Sequential(layers)


class Tokens(nn.Module):
    """Turns ``examples x channels x height x width`` into ``examples x tokens x channels``."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(2).mT


class MeanToken(nn.Module):
    """Takes the mean over the tokens of each example."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.mean(1)
