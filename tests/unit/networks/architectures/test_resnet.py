"""Residual networks: blocks by hand, and depth."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raylot.networks.architectures._parts import Style
from raylot.networks.architectures._residual import BasicBlock, PaddedShortcut


@pytest.mark.parametrize(("value", "expected"), [(2.0, 0.0), (1.0, 2.0), (0.25, 4.25)])
def test_a_basic_block_by_hand(value: float, expected: float) -> None:
    block = BasicBlock(1, 1, stride=1, style=Style())
    nn.init.dirac_(block.conv1.weight).data *= 2  # 2 x - 1, on every pixel
    nn.init.dirac_(block.conv2.weight).data *= -3  # -3 x + 4
    nn.init.constant_(block.conv1.bias, -1)
    nn.init.constant_(block.conv2.bias, 4)
    # 2 -> ReLU(3) -> -5, + 2 = -3 -> 0;  1 -> 1 -> 1, + 1 = 2;  1/4 -> ReLU(-1/2) -> 4, + 1/4
    assert block(torch.full((1, 1, 2, 3), value)).unique().tolist() == [expected]


def test_a_shortcut_projects_every_other_pixel() -> None:
    block = BasicBlock(1, 2, stride=2, style=Style())
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(block.shortcut.conv.weight, 3)
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert block(image).tolist() == [[[[0.0, 6.0], [24.0, 30.0]]] * 2]


def test_a_padded_shortcut_takes_every_other_pixel_and_adds_channels_of_zero() -> None:
    block = BasicBlock(1, 3, stride=2, style=Style(), pads=True)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    image = torch.arange(9.0).view(1, 1, 3, 3)
    taken = [[0.0, 2.0], [6.0, 8.0]]
    assert block(image).tolist() == [[taken, *[[[0.0, 0.0]] * 2] * 2]]


def test_shortcuts_have_no_parameters_unless_the_channels_become_fewer() -> None:
    """A block of CReLU puts out twice its channels, so that the next one needs a convolution."""
    crelu = Style(activation="crelu")
    kinds = [
        type(BasicBlock(inputs, outputs, stride, style, pads=True).shortcut)
        for inputs, outputs, stride, style in (
            (4, 4, 1, Style()), (4, 8, 2, Style()), (8, 8, 2, crelu), (8, 4, 1, crelu)
        )
    ]  # fmt: skip
    assert kinds == [nn.Identity, PaddedShortcut, PaddedShortcut, nn.Sequential]
