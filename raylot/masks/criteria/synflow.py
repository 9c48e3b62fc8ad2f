"""Weights that carry the least of the synaptic flow go first; no data are looked at."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from raylot.masks.context import PruningContext
from raylot.networks.activations import CReLU, Fourier, PReLU

#: What is left out of the flow. Beside norms, these are nonlinearities: without them the network is
#: the product of its weights, as ReLUs leave positive flow as it is anyway.
_LEFT_OUT = (
    nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.ReLU, nn.LeakyReLU,
    nn.PReLU, PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Tanh, nn.Sigmoid,
)  # fmt: skip


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns |dR/d|w| x |w|| before training (Tanaka et al. 2020, SynFlow).

    R = 1' (product over layers of |W|) 1: the sum of the outputs for an input of ones, with the
    absolute value of each weight, biases and pruned weights at 0, and without nonlinearities and
    norms. An activation with several numbers per unit passes on the unit's flow as each of them. R
    is computed in float64, as a product over layers leaves the range of float32 soon. A weight
    without a way to the outputs has the score 0.
    """
    network = copy.deepcopy(context.network).double().eval()
    for module in network.modules():
        if isinstance(module, _LEFT_OUT):
            module.register_forward_hook(lambda module, inputs, outputs: inputs[0])
        elif isinstance(module, CReLU | Fourier):  # both numbers of a unit pass its flow on
            module.register_forward_hook(
                lambda module, inputs, outputs: torch.cat([inputs[0]] * module.copies, module.dim)
            )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(parameter.abs() if parameter.ndim > 1 else torch.zeros_like(parameter))
            if name in context.masks:
                parameter.mul_(context.masks[name])
    device = context.task.train_labels.device
    ones = torch.ones(1, *context.task.input_shape, dtype=torch.float64, device=device)
    weights = {name: network.get_parameter(name) for name in context.masks}
    slopes = torch.autograd.grad(
        network(ones).sum(), list(weights.values()), allow_unused=True, materialize_grads=True
    )
    return {
        name: (slope * w.detach()).abs()
        for (name, w), slope in zip(weights.items(), slopes, strict=True)
    }
