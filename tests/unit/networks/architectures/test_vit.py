"""A vision transformer's attention and blocks, by other means and by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raylot.foundation.errors import OptionError
from raylot.networks.architectures._transformer import Attention, Block
from tests.unit.networks.architectures.variants import built, output_shapes


def test_attention_by_hand() -> None:
    """One head of dimension 1, two tokens 0 and log 3: weights 1/2, 1/2 and 1/4, 3/4.

    Queries, keys and values are the tokens themselves, except that keys are tokens / log 3, so
    that the second token's scores are 0 and log 3.
    """
    attention = Attention(1, 1)
    with torch.no_grad():
        for name, parameter in attention.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
        log3 = torch.tensor(3.0).log()
        attention.key.weight /= log3
        outputs = attention(torch.stack((torch.zeros(()), log3)).view(1, 2, 1))
    assert outputs.flatten().tolist() == pytest.approx([float(log3) / 2, 0.75 * float(log3)])


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_is_that_of_pytorch(heads: int) -> None:
    torch.manual_seed(0)
    own = Attention(8, heads)
    theirs = nn.MultiheadAttention(8, heads, batch_first=True)
    parts = (own.query, own.key, own.value)
    theirs.load_state_dict(
        {
            "in_proj_weight": torch.cat([part.weight for part in parts]),
            "in_proj_bias": torch.cat([part.bias for part in parts]),
            "out_proj.weight": own.output.weight,
            "out_proj.bias": own.output.bias,
        }
    )
    inputs = torch.randn(3, 5, 8)
    expected, _ = theirs(inputs, inputs, inputs, need_weights=False)
    torch.testing.assert_close(own(inputs), expected)


def test_a_block_is_that_of_pytorch() -> None:
    torch.manual_seed(0)
    block = Block(8, 2, "gelu")
    theirs = nn.TransformerEncoderLayer(
        8, 2, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    parts = (block.attention.query, block.attention.key, block.attention.value)
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    for own, other in (
        (block.attention.output, theirs.self_attn.out_proj),
        (block.mlp.get_submodule("hidden"), theirs.linear1),
        (block.mlp.get_submodule("output"), theirs.linear2),
    ):
        other.load_state_dict(own.state_dict())
    inputs = torch.randn(3, 5, 8)
    torch.testing.assert_close(block(inputs), theirs(inputs))


def test_an_image_is_cut_into_patches() -> None:
    inside = output_shapes(built("vit", (3, 8, 12), patch_size=4, vit_dimension=16), (3, 8, 12))
    assert inside["patches"] == (16, 2, 3)
    assert inside["positions"] == inside["block4"] == (6, 16)
    assert inside["mean"] == (16,)


def test_patches_have_places() -> None:
    """Swapping two patches changes the logits by the positions alone."""
    network = built("vit", patch_size=4, vit_dimension=8, vit_depth=1, vit_heads=2)
    image = torch.rand(1, 1, 8, 8)
    swapped = image.roll(4, 3)
    assert not torch.allclose(network(image), network(swapped), atol=1e-6)
    nn.init.zeros_(network.get_parameter("positions.weight"))
    assert torch.allclose(network(image), network(swapped), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 3}, "patch_size=3: must divide the sides of the images, 8 and 8"),
        ({"vit_heads": 3}, "vit_heads=3: must divide vit_dimension, 64"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        built("vit", **options)
    assert str(caught.value) == message
