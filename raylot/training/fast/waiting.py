"""Rows of the first layer that wait, as long as their pixels do not occur.

A row without a gradient moves only by its moments. Such steps wait until the row is needed, and
are then taken at once. By momentum, a weight moves by its moment times the sum over steps j of
rate b^j. By Adam, with moments m and v, it moves by the sum of
rate_j b1^j m / (b2^(j/2) root_j sqrt(v) + epsilon). The factor of sqrt(v) changes slowly once
root, the bias correction, does. Its harmonic mean makes the sum exact if one term of the
denominator dominates, and good to 1 in 50,000 otherwise.
"""

from __future__ import annotations

import math

import numpy as np

from raylot.training.fast.compilation import part
from raylot.training.fast.updates import MOMENTUM, NESTEROV, RELAXED, SGD

#: From this step of Adam on, rows without a gradient may wait.
PUT_OFF_FROM = 1000

_F, _U = np.float32, np.uint64


@part()
def may_wait(rule, hyper, step):
    """Whether rows without a gradient may wait: nothing but moments moves them."""
    is_still = hyper[0] == hyper[1] == hyper[7] == 0
    return is_still and (rule >= SGD or step > PUT_OFF_FROM)


@part(fastmath=RELAXED)
def put_off(rule, late, ends, options, rate, root):
    """Notes one more waiting step for each row without a gradient.

    ``late`` has four rows: per pixel, b1^j and b2^j after j steps, the sum of rate_j b1^j, and the
    sum of rate_j b1^j over the factor. Momentum's b2 and root are 1.
    """
    mean_kept, square_kept = _F(options[1]), _F(options[2])
    if rule == NESTEROV:
        rate *= mean_kept
    start = 0
    for p in range(late.shape[1]):
        if start == ends[p]:
            late[0, p] *= mean_kept
            late[1, p] *= square_kept
            if late[0, p] > 0:
                late[2, p] += rate * late[0, p]
                late[3, p] += rate * late[0, p] / (math.sqrt(late[1, p]) * root)
        start = ends[p]


@part()
def catch_up(rule, late, counts, everywhere, first, first_mean, first_square, units, epsilon):
    """Takes the waiting steps of the rows of pixels that occur, or of all rows."""
    for p in range(late.shape[1]):
        if late[0, p] < _F(1) and (everywhere or counts[p] > 0):
            if rule >= MOMENTUM:
                _glide(first, first_mean, p * units, units, late[0, p], late[2, p])
            else:
                factor = late[2, p] / late[3, p] if late[3, p] > 0 else _F(1)
                _move_on(
                    first, first_mean, first_square, p * units, units,
                    late[0, p], late[1, p], late[2, p], factor, epsilon,
                )  # fmt: skip
            late[0, p] = late[1, p] = _F(1)
            late[2, p] = late[3, p] = _F(0)


@part(fastmath=RELAXED)
def _move_on(weights, mean, square, at, size, mean_kept, square_kept, rate, factor, epsilon):
    """Takes several steps of Adam without a gradient for [at, at + size)."""
    for j in range(_U(size)):
        k = _U(at) + j
        weights[k] -= rate * mean[k] / (math.sqrt(square[k]) * factor + epsilon)
        mean[k] *= mean_kept
        square[k] *= square_kept


@part(fastmath=RELAXED)
def _glide(weights, mean, at, size, kept, rate):
    """Takes several steps by momentum alone for [at, at + size)."""
    for j in range(_U(size)):
        k = _U(at) + j
        weights[k] -= rate * mean[k]
        mean[k] *= kept
