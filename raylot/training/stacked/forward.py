"""The forward pass of several networks of one architecture at once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from raylot.networks.chain import flattens_examples


def stacked_logits(network: nn.Module, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Returns logits of several networks, each on its own inputs: ``members x examples x classes``.

    Linear layers become batched matrix products, convolutions grouped ones.

    Args:
        network: computes the logits; its own parameters are not used.
        parameters: all parameters by name, each ``members x ...``.
        inputs: ``members x examples x ...``, scaled.

    Raises:
        RuntimeError: the network draws random numbers, or does what `torch.vmap` cannot do.
    """
    if _is_perceptron(network, parameters, inputs):
        return _perceptron_logits(network, parameters, inputs)

    def logits(own: Mapping[str, Tensor], examples: Tensor) -> Tensor:
        outputs: Tensor = torch.func.functional_call(network, dict(own), (examples,))
        return outputs

    stacked: Tensor = torch.vmap(logits)(dict(parameters), inputs)
    return stacked


def _is_perceptron(network: nn.Module, parameters: Mapping[str, Tensor], inputs: Tensor) -> bool:
    """Whether a network is a sequence of linear layers and ReLUs on flat or flattened inputs."""
    if type(network) is not nn.Sequential:
        return False
    layers = dict(network.named_children())  # a layer in two places occurs once
    linear = [name for name, layer in layers.items() if type(layer) is nn.Linear]
    return (
        (inputs.dim() == 3 or type(network[0]) is nn.Flatten)
        and len(layers) == len(network)
        and all(type(m) in (nn.Linear, nn.ReLU) or flattens_examples(m) for m in network)
        and parameters.keys() == {f"{n}.{kind}" for n in linear for kind in ("weight", "bias")}
    )


def _perceptron_logits(
    network: nn.Module, parameters: Mapping[str, Tensor], inputs: Tensor
) -> Tensor:
    """Computes logits without `torch.vmap`, which would give transposed gradients of weights.

    Examples are columns here, so a weight's gradient has the memory layout of the weight. That
    saves a slow copy of all parameters in each step.
    """
    columns = inputs.flatten(2).transpose(1, 2)
    for name, layer in network.named_children():
        if isinstance(layer, nn.Linear):
            weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
            columns = torch.baddbmm(bias.unsqueeze(2), weight, columns)
        elif isinstance(layer, nn.ReLU):
            columns = columns.relu()
    return columns.transpose(1, 2)
