"""The steps of optimizers on parts of flat arrays, one gradient at a time.

Arrays are flat and positions unsigned, as views of rows and tests of signs would cost as much as
the arithmetic. `compilation` makes numba's cache see changes of this file.
"""

from __future__ import annotations

import math

import numpy as np

from raylot.training.fast.compilation import part

RELAXED = {"contract", "reassoc", "arcp", "afn", "nsz"}

#: Which rule takes a step. The first two keep two moments, the last two one, SGD none.
ADAM, ADAMW, SGD, MOMENTUM, NESTEROV = range(5)

_F, _U = np.float32, np.uint64


@part()
def constants(rule, options):
    """Returns what `update` needs to know of the options, as float32.

    They are the decay that is added to the gradient, the one that shrinks weights, the kept and the
    new share of both moments, epsilon, and a penalty's pull and kind.
    """
    lr, mean_kept, square_kept, epsilon, decay, pull, kind = options
    shrinks = rule == ADAMW
    return (
        _F(0.0 if shrinks else decay), _F(lr * decay if shrinks else 0.0),
        _F(mean_kept), _F(1 - mean_kept), _F(square_kept), _F(1 - square_kept),
        _F(epsilon), _F(pull), _F(kind),
    )  # fmt: skip


@part()
def rates(rule, options, step):
    """Returns the learning rate over Adam's first bias correction, and 1 over its second's root."""
    lr, mean_kept, square_kept = options[0], options[1], options[2]
    if rule >= SGD:
        return _F(lr), _F(1)
    rate = lr / (1 - mean_kept**step)
    return _F(rate), _F(1 / math.sqrt(1 - square_kept**step))


@part()
def update(
    rule, weights, mean, square, masked, keep, at, size, gradient, rate, root, hyper
):  # fmt: skip
    """Takes a step for [at, at + size), as torch.optim does.

    If ``masked``, weights outside ``keep`` do not move, and their moments stay 0.
    """
    if rule == SGD:
        _sgd(weights, masked, keep, at, size, gradient, rate, hyper)
    elif rule >= MOMENTUM:
        _momentum(rule, weights, mean, masked, keep, at, size, gradient, rate, hyper)
    else:
        if hyper[1] > 0:
            _shrink(weights, masked, keep, at, size, hyper[1])
        _adam(weights, mean, square, masked, keep, at, size, gradient, rate, root, hyper)


@part(fastmath=RELAXED)
def _adam(weights, mean, square, masked, keep, at, size, gradient, rate, root, hyper):
    decay, _, _, mean_share, square_kept, square_share, epsilon, _, _ = hyper
    for j in range(_U(size)):
        k = _U(at) + j
        g = gradient[j] + decay * weights[k]
        if masked and not keep[k]:
            g = _F(0)
        m = mean[k] + (g - mean[k]) * mean_share
        v = square[k] * square_kept + g * g * square_share
        mean[k] = m
        square[k] = v
        weights[k] -= rate * m / (math.sqrt(v) * root + epsilon)


@part(fastmath=RELAXED)
def _shrink(weights, masked, keep, at, size, share):
    """Takes a share off weights."""
    for j in range(_U(size)):
        k = _U(at) + j
        if not masked or keep[k]:
            weights[k] -= share * weights[k]


@part(fastmath=RELAXED)
def _sgd(weights, masked, keep, at, size, gradient, rate, hyper):
    decay = hyper[0]
    for j in range(_U(size)):
        k = _U(at) + j
        g = gradient[j] + decay * weights[k]
        if masked and not keep[k]:
            g = _F(0)
        weights[k] -= rate * g


@part(fastmath=RELAXED)
def _momentum(rule, weights, mean, masked, keep, at, size, gradient, rate, hyper):
    decay, kept = hyper[0], hyper[2]
    for j in range(_U(size)):
        k = _U(at) + j
        g = gradient[j] + decay * weights[k]
        if masked and not keep[k]:
            g = _F(0)
        m = mean[k] * kept + g
        mean[k] = m
        weights[k] -= rate * (g + kept * m if rule == NESTEROV else m)
