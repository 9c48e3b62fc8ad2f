"""A small residual network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._parts import NORMS, conv3x3, head, image_shape


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    return resnet(input_shape, options.width, classes, options.norm)


def resnet(
    input_shape: Sequence[int], width: int, classes: int, norm: str = "none"
) -> nn.Sequential:
    """A small residual network (He et al. 2016, as for CIFAR, with one block per stage).

    A 3x3 convolution, then three stages of one basic block each with ``width``, ``2 width`` and
    ``4 width`` channels, the later two with stride 2; then the mean over all positions and a
    linear output. Its layers are named ``conv1``, ``stage1.block1.conv1``,
    ``stage1.block1.conv2``, ``stage2.block1.conv1``, ... and ``output``. See `BasicBlock` for the
    shortcuts.

    Args:
        input_shape: ``channels x height x width``, of any size.
        width: channels of the first stage.
        classes: number of outputs.
        norm: as in `vgg`; He et al. have ``"batch"``.

    Raises:
        OptionError: the inputs are not images.
    """
    channels, _, _ = image_shape("resnet", input_shape)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=conv3x3(channels, width, norm), norm1=NORMS[norm](width), relu1=nn.ReLU()
    )
    channels = width
    for stage in (1, 2, 3):
        outputs = width * 2 ** (stage - 1)
        block = BasicBlock(channels, outputs, 2 if stage > 1 else 1, norm)
        layers[f"stage{stage}"] = nn.Sequential(OrderedDict(block1=block))
        channels = outputs
    return nn.Sequential(layers | head(channels, classes))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around both (He et al. 2016).

    ``relu2(norm2(conv2(relu1(norm1(conv1(x))))) + shortcut(x))``, where the shortcut is x itself,
    or a 1x1 convolution with its norm where the shape changes (their option B).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, norm: str) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, norm, stride)
        self.norm1 = NORMS[norm](outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = conv3x3(outputs, outputs, norm)
        self.norm2 = NORMS[norm](outputs)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=norm == "none")
            self.shortcut = nn.Sequential(OrderedDict(conv=conv, norm=NORMS[norm](outputs)))

    def chain(self) -> list[nn.Module]:
        """Returns the modules inside that follow one another; see `raylot.networks.chain`."""
        return [self.conv1, self.norm1, self.relu1, self.conv2]

    def forward(self, inputs: Tensor) -> Tensor:
        # The shortcut goes first: metrics name an activation after the layer computed just before.
        shortcut = self.shortcut(inputs)
        hidden = self.relu1(self.norm1(self.conv1(inputs)))
        outputs: Tensor = self.relu2(self.norm2(self.conv2(hidden)) + shortcut)
        return outputs
