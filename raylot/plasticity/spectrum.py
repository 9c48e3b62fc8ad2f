"""Effective ranks of a matrix, from its singular values."""

from __future__ import annotations

import torch
from torch import Tensor


def singular_values(matrix: Tensor) -> Tensor:
    """Returns singular values in float64, largest first.

    Args:
        matrix: ``rows x columns``, finite.

    Returns:
        ``min(rows, columns)`` values.
    """
    matrix = matrix.double()
    rows, columns = matrix.shape
    if rows > columns:
        # The triangular factor has the same singular values and far fewer rows: a thousandth in a
        # convolution layer.
        matrix = torch.linalg.qr(matrix, mode="r").R
    values: Tensor = torch.linalg.svdvals(matrix)
    return values


def effective_rank(values: Tensor) -> float:
    """Returns exp of the entropy of the normalised singular values (Roy & Vetterli 2007).

    Args:
        values: singular values of a matrix.

    Returns:
        From 1 to their number; 0 for a matrix of zeros.
    """
    total = values.sum()
    if total == 0:
        return 0.0
    shares = values[values > 0] / total
    return float(torch.exp(-(shares * shares.log()).sum()))


def numerical_rank(values: Tensor, rounding: float) -> int:
    """Returns how many singular values are above rounding.

    Args:
        values: singular values of a matrix, largest first.
        rounding: the share of the largest one below which rounding decides, in [0, 1).

    Returns:
        From 1 to their number; 0 for a matrix of zeros.
    """
    return int((values > rounding * values[0]).sum())


def stable_rank(values: Tensor) -> float:
    """Returns the squared Frobenius norm over the squared spectral norm.

    Args:
        values: singular values of a matrix.

    Returns:
        From 1 to the matrix's rank; 0 for a matrix of zeros.
    """
    largest = values.max()
    if largest == 0:
        return 0.0
    return float((values / largest).square().sum())


def srank(values: Tensor, delta: float = 0.01) -> int:
    """Returns how many singular values hold 1 - delta of their sum (Kumar et al. 2021).

    The code of Dohare et al. (2024) computes this of hidden units and calls it the stable rank.
    `stable_rank` here is what the name means in linear algebra.

    Args:
        values: singular values of a matrix, largest first.
        delta: the share left out, in (0, 1).

    Returns:
        From 1 to their number; 0 for a matrix of zeros.
    """
    held = values.cumsum(0)
    if held[-1] == 0:
        return 0
    return int((held < (1 - delta) * held[-1]).sum()) + 1
