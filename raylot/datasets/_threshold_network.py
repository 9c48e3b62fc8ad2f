"""The network of linear threshold units that gives the targets of bit-flipping regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

#: Hidden units, and beta, of cfg/prob.json in shibhansh/loss-of-plasticity.
_UNITS, _BETA = 100, 0.7


def threshold_targets(bits: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Returns the outputs of a random network with one hidden layer of linear threshold units.

    All weights and biases are -1 or 1. With m inputs, hidden unit i is 1 where w_i x + b_i is above
    beta (m + 1) - (m - sum(w_i) + b_i) / 2, and else 0 (Dohare et al. 2024; as in the authors'
    code, lop/nets/fix_ltu_net.py of shibhansh/loss-of-plasticity, whose biases stand for the
    paper's constant input). So few units are on, and for few inputs.

    Args:
        bits: ``examples x m``, 0 or 1.
        generator: decides the network; the same one gives the same network.

    Returns:
        ``examples x 1``, float32.
    """
    import numpy as np

    def signs(*shape: int) -> np.ndarray:
        return generator.integers(2, size=shape) * 2 - 1

    inputs = bits.shape[1]
    weights, biases = signs(_UNITS, inputs), signs(_UNITS)
    of_hidden, bias = signs(_UNITS, 1), signs(1)
    thresholds = _BETA * (inputs + 1) - (inputs - weights.sum(1) + biases) / 2
    # In float32 products are fast, and exact: all are small whole numbers.
    is_on = bits.astype(np.float32) @ weights.T.astype(np.float32) + biases > thresholds
    targets: np.ndarray = is_on.astype(np.float32) @ of_hidden.astype(np.float32)
    return targets + bias.astype(np.float32)
