"""Architectures, by name, with PyTorch's default initialisation from a given key.

All put out logits. Every ReLU is a module of its own, so that its output can be observed.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from raylot.config import NetworkOptions
from raylot.foundation import registry
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.networks.copies import copied
from raylot.networks.initialisation import remember_build
from raylot.networks.prunable import Prunable

#: Normalisation of a number of channels, by its name in `raylot.config.NetworkOptions`.
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),
}


def mlp(input_shape: Sequence[int], hidden: Sequence[int], classes: int) -> nn.Sequential:
    """A ReLU multilayer perceptron on flattened inputs.

    Its layers are named ``hidden1``, ``hidden2``, ... and ``output``.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    width = math.prod(input_shape)
    for depth, units in enumerate(hidden, start=1):
        layers[f"hidden{depth}"] = nn.Linear(width, units)
        layers[f"relu{depth}"] = nn.ReLU()
        width = units
    layers["output"] = nn.Linear(width, classes)
    return nn.Sequential(layers)


def lenet(input_shape: Sequence[int], classes: int) -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998) with ReLU and max pooling, as is customary today.

    Two convolutions of 5x5 with 6 and 16 channels, each followed by 2x2 max pooling, then 120 and
    84 hidden units. Its layers are named ``conv1``, ``conv2``, ``hidden1``, ``hidden2``,
    ``output``.

    The first convolution keeps the image's size, as the original did for 28x28 digits on a frame
    of 32x32. The second one is unpadded as there, except on images with a side below 12: on their
    small maps it keeps the size too.

    Args:
        input_shape: ``channels x height x width``, of any size.
        classes: number of outputs.

    Raises:
        OptionError: inputs are no such images.
    """
    channels, height, width = _image_shape("lenet", input_shape)
    padding = 2 if min(height, width) < 12 else 0
    last_height, last_width = (
        math.ceil((math.ceil(side / 2) + 2 * padding - 4) / 2) for side in (height, width)
    )
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 6, 5, padding=2),
            relu1=nn.ReLU(),
            pool1=_halve(),
            conv2=nn.Conv2d(6, 16, 5, padding=padding),
            relu2=nn.ReLU(),
            pool2=_halve(),
            flatten=nn.Flatten(),
            hidden1=nn.Linear(16 * last_height * last_width, 120),
            relu3=nn.ReLU(),
            hidden2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            output=nn.Linear(84, classes),
        )
    )


def vgg(input_shape: Sequence[int], width: int, classes: int, norm: str = "none") -> nn.Sequential:
    """A small VGG (Simonyan & Zisserman 2015): stacks of 3x3 convolutions.

    Three stages of two convolutions each, with ``width``, ``2 width`` and ``4 width`` channels and
    2x2 max pooling in between; then the mean over all positions and a linear output. Its layers
    are named ``stage1.conv1``, ``stage1.conv2``, ``stage2.conv1``, ... and ``output``.

    Args:
        input_shape: ``channels x height x width``, of any size.
        width: channels of the first stage.
        classes: number of outputs.
        norm: after each convolution, before its ReLU: ``"none"``, ``"batch"`` normalisation, or
            ``"layer"`` normalisation (over channels and positions; a gain and bias per channel).
            Convolutions have biases only with ``"none"``; elsewhere the norm has them.

    Raises:
        OptionError: inputs are no such images.
    """
    channels, _, _ = _image_shape("vgg", input_shape)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage in (1, 2, 3):
        outputs = width * 2 ** (stage - 1)
        if stage > 1:
            layers[f"pool{stage - 1}"] = _halve()
        layers[f"stage{stage}"] = nn.Sequential(
            OrderedDict(
                conv1=_conv3x3(channels, outputs, norm),
                norm1=NORMS[norm](outputs),
                relu1=nn.ReLU(),
                conv2=_conv3x3(outputs, outputs, norm),
                norm2=NORMS[norm](outputs),
                relu2=nn.ReLU(),
            )
        )
        channels = outputs
    return nn.Sequential(layers | _head(channels, classes))


def resnet(
    input_shape: Sequence[int], width: int, classes: int, norm: str = "none", blocks: int = 1
) -> nn.Sequential:
    """A small residual network (He et al. 2016, as for CIFAR: 6 blocks + 2 layers deep).

    A 3x3 convolution, then three stages of basic blocks with ``width``, ``2 width`` and
    ``4 width`` channels, the later two starting with stride 2; then the mean over all positions
    and a linear output. Its layers are named ``conv1``, ``stage1.block1.conv1``,
    ``stage1.block1.conv2``, ``stage2.block1.conv1``, ... and ``output``. See `BasicBlock` for the
    shortcuts.

    Args:
        input_shape: ``channels x height x width``, of any size.
        width: channels of the first stage.
        classes: number of outputs.
        norm: as in `vgg`; He et al. have ``"batch"``.
        blocks: basic blocks per stage.

    Raises:
        OptionError: inputs are no such images.
    """
    channels, _, _ = _image_shape("resnet", input_shape)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=_conv3x3(channels, width, norm), norm1=NORMS[norm](width), relu1=nn.ReLU()
    )
    channels = width
    for stage in (1, 2, 3):
        outputs = width * 2 ** (stage - 1)
        in_stage: OrderedDict[str, nn.Module] = OrderedDict()
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            in_stage[f"block{block}"] = BasicBlock(channels, outputs, stride, norm)
            channels = outputs
        layers[f"stage{stage}"] = nn.Sequential(in_stage)
    return nn.Sequential(layers | _head(channels, classes))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around both (He et al. 2016).

    ``relu2(norm2(conv2(relu1(norm1(conv1(x))))) + shortcut(x))``, where the shortcut is x itself,
    or a 1x1 convolution with its norm where the shape changes (their option B).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, norm: str) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inputs, outputs, norm, stride)
        self.norm1 = NORMS[norm](outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = _conv3x3(outputs, outputs, norm)
        self.norm2 = NORMS[norm](outputs)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=norm == "none")
            self.shortcut = nn.Sequential(OrderedDict(conv=conv, norm=NORMS[norm](outputs)))

    def forward(self, inputs: Tensor) -> Tensor:
        # The shortcut goes first: metrics name an activation after the layer computed just before.
        shortcut = self.shortcut(inputs)
        hidden = self.relu1(self.norm1(self.conv1(inputs)))
        outputs: Tensor = self.relu2(self.norm2(self.conv2(hidden)) + shortcut)
        return outputs


def _image_shape(network: str, input_shape: Sequence[int]) -> tuple[int, int, int]:
    if len(input_shape) != 3:
        raise OptionError(
            f"network={network}: must be mlp for inputs of shape {tuple(input_shape)}; "
            f"{network} accepts images, (channels, height, width)"
        )
    channels, height, width = input_shape
    return channels, height, width


def _halve() -> nn.MaxPool2d:
    """Maps of odd size keep their last row and column, so that even 1x1 can be halved."""
    return nn.MaxPool2d(2, ceil_mode=True)


def _conv3x3(inputs: int, outputs: int, norm: str, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=norm == "none")


def _head(channels: int, classes: int) -> OrderedDict[str, nn.Module]:
    return OrderedDict(
        pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), output=nn.Linear(channels, classes)
    )


Architecture = Callable[[Sequence[int], NetworkOptions, int], nn.Module]

NETWORKS: dict[str, Architecture] = {
    "mlp": lambda shape, options, classes: mlp(shape, options.hidden, classes),
    "lenet": lambda shape, options, classes: lenet(shape, classes),
    "vgg": lambda shape, options, classes: vgg(shape, options.width, classes, options.norm),
    "resnet": lambda shape, options, classes: resnet(shape, options.width, classes, options.norm),
}


def build(
    options: NetworkOptions, input_shape: Sequence[int], classes: int, key: RandomKey
) -> nn.Module:
    """A freshly initialised network; the key alone decides its weights.

    Raises:
        OptionError: the network is not made for inputs of that shape.
        TypeError: the network is a plugin's and returned no module.
    """
    make: Architecture = (
        NETWORKS.get(options.network) or registry.get("network", options.network).function
    )

    def built(key: RandomKey) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(key.torch_seed())
            network = make(input_shape, options, classes)
        registry.check_returned("network", options.network, network, nn.Module)
        return network

    network = built(key)
    remember_build(network, built)
    return network


def prunable(options: NetworkOptions) -> Prunable:
    """Which parameters of a network can be pruned, if its plugin says so; see
    `raylot.networks.prunable`."""
    added: registry.AddedNetwork | None = registry.find("network", options.network)
    return None if added is None else added.prune


def with_state(network: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """A copy of a network, with the parameters and buffers of another state.

    Everything that a state dict does not hold (plain attributes, buffers that are not persistent,
    the modes of modules) is as in the network given.
    """
    changed = copied(network)
    changed.load_state_dict(state)
    return changed
