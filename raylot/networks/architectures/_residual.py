"""Residual networks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from raylot.networks.architectures._parts import Style, conv3x3, head, image_shape


def residual_network(
    network: str,
    input_shape: Sequence[int],
    stages: Sequence[int],
    blocks: int,
    classes: int,
    style: Style,
    pads: bool = False,
) -> nn.Sequential:
    """Returns a residual network for small images (He et al. 2016).

    A 3x3 convolution, then stages of basic blocks, all but the first with stride 2; then the mean
    over all positions and a linear output. Its layers are named ``conv1``,
    ``stage1.block1.conv1``, ``stage1.block1.conv2``, ``stage1.block2.conv1``, ... and ``output``.

    Args:
        network: its name in messages.
        input_shape: ``channels x height x width``, of any size.
        stages: channels of each stage.
        blocks: basic blocks of each stage.
        classes: number of outputs.
        style: what stands between the layers.
        pads: see `BasicBlock`.

    Raises:
        OptionError: the inputs are not images.
    """
    channels, _, _ = image_shape(network, input_shape)
    layers = style.hidden("conv1", conv3x3(channels, stages[0], style), 1)
    inputs = stages[0] * style.copies
    for number, outputs in enumerate(stages, start=1):
        stage: OrderedDict[str, nn.Module] = OrderedDict()
        for depth in range(1, blocks + 1):
            stride = 2 if number > 1 and depth == 1 else 1
            stage[f"block{depth}"] = BasicBlock(inputs, outputs, stride, style, pads)
            inputs = outputs * style.copies
        layers[f"stage{number}"] = nn.Sequential(stage)
    return nn.Sequential(layers | head(inputs, classes))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around both (He et al. 2016).

    ``activation2(norm2(conv2(activation1(norm1(conv1(x))))) + shortcut(x))``. The shortcut is x
    itself where the shape stays; a 1x1 convolution with its norm where it changes (their option
    B); or, if the block pads, every other position and further channels of 0 (their option A). An
    activation that puts out two numbers per unit leaves the next block twice as many channels as
    its sum has, and these always need the convolution.

    Args:
        inputs: channels of x.
        outputs: channels of both convolutions.
        stride: of the first convolution.
        style: what stands between the layers.
        pads: whether the shortcut is option A where there are no more inputs than outputs.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, style: Style, pads: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, style, stride)
        self.norm1 = style.normalisation(self.conv1)
        self.activation1 = style.activated(outputs)
        self.conv2 = conv3x3(outputs * style.copies, outputs, style)
        self.norm2 = style.normalisation(self.conv2)
        self.activation2 = style.activated(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            if pads and inputs <= outputs:
                self.shortcut = PaddedShortcut(stride, outputs - inputs)
            else:
                conv = nn.Conv2d(inputs, outputs, 1, stride, bias=style.bias)
                norm = style.normalisation(conv)
                self.shortcut = nn.Sequential(OrderedDict(conv=conv, norm=norm))

    def chain(self) -> list[nn.Module]:
        """Returns the modules that follow one another, see `raylot.networks.chain`."""
        return [self.conv1, self.norm1, self.activation1, self.conv2]

    def forward(self, inputs: Tensor) -> Tensor:
        # The shortcut goes first: metrics name an activation after the layer computed just before.
        shortcut = self.shortcut(inputs)
        hidden = self.activation1(self.norm1(self.conv1(inputs)))
        outputs: Tensor = self.activation2(self.norm2(self.conv2(hidden)) + shortcut)
        return outputs


class PaddedShortcut(nn.Module):
    """Takes every ``stride``-th position, and adds channels of 0 behind those that are there.

    Args:
        stride: distance of the positions taken.
        further: how many channels are added.
    """

    def __init__(self, stride: int, further: int) -> None:
        super().__init__()
        self.stride, self.further = stride, further

    def forward(self, inputs: Tensor) -> Tensor:
        taken = inputs[:, :, :: self.stride, :: self.stride]
        return F.pad(taken, (0, 0, 0, 0, 0, self.further))
