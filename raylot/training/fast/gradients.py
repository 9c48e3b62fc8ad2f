"""Compiled gradients: a batch's loss and its gradient, in a flat vector of all parameters.

The vector is that of `raylot.training.flat`: weight (``outputs x inputs``) and bias of each layer,
first to last. Optimizers and methods act on it between two batches.

If few inputs of a batch are not 0, only these are walked, as in `kernels`. That needs the first
layer's weights pixel-major, so they are transposed first, and their gradient afterwards.
"""

from __future__ import annotations

import numpy as np

from raylot.training.fast.compilation import Kernel, part
from raylot.training.fast.propagation import (
    backward_rest,
    forward_rest,
    group_by_pixel,
    rectify,
    score,
)
from raylot.training.fast.vectors import add_rows, transpose

_F = np.float32


@part()
def _list_nonzero(inputs, starts, where, values, ends, most):
    """Lists pixel and value of a batch's nonzero inputs; says whether they are at most so many.

    Example e has the entries [starts[e], starts[e + 1]). ``ends`` counts those of each pixel.
    """
    ends[:] = 0
    at = 0
    for b in range(inputs.shape[0]):
        row = inputs[b]
        starts[b] = at
        if at + row.shape[0] > where.shape[0]:
            return False
        for p in range(row.shape[0]):
            where[at] = p
            values[at] = row[p]
            is_set = row[p] != 0
            at += is_set
            ends[p] += is_set
    starts[inputs.shape[0]] = at
    return at <= most


@part()
def _smooth(logits, labels, deltas, smoothing):
    """Spreads a share of each label's probability over all classes; returns what losses gain."""
    batch, classes = logits.shape
    share = _F(smoothing / batch)
    gain = 0.0
    for b in range(batch):
        total = 0.0
        for j in range(classes):
            total += logits[b, j]
            deltas[b, j] -= share / _F(classes)
        deltas[b, labels[b]] += share
        gain += logits[b, labels[b]] - total / classes
    return smoothing * gain


def _forward(
    inputs, labels, targets, shown, smoothing, widths, vector,
    activations, deltas, most, turned, rows, starts, where, values, ends,
):  # fmt: skip
    batch, pixels = inputs.shape
    units = widths[0]
    size = pixels * units
    rest = vector[size:]
    is_sparse = most > 0 and _list_nonzero(inputs, starts, where, values, ends, most)
    if is_sparse:
        width = turned.shape[0] // pixels
        transpose(vector, pixels, units, pixels, turned, width)
        for b in range(batch):
            rows[:width] = _F(0)
            add_rows(rows, 0, turned, width, where, values, starts[b], starts[b + 1])
            for j in range(units):
                activations[b * units + j] = rows[j] + rest[j]
    else:
        hidden = activations[: batch * units].reshape(batch, units)
        np.dot(inputs, vector[:size].reshape(units, pixels).T, hidden)
        for b in range(batch):
            for j in range(units):
                hidden[b, j] += rest[j]
    rectify(activations[: batch * units])
    forward_rest(activations, rest, widths, batch)
    before = batch * np.sum(widths[:-1])
    end = before + batch * widths[-1]
    outputs = activations[before:end].reshape(batch, widths[-1])
    errors = deltas[before:end].reshape(batch, widths[-1])
    errors[:, shown:] = _F(0)
    loss, hits = score(outputs[:, :shown], labels, targets, errors[:, :shown])
    trained = loss
    if smoothing > 0:
        trained += _smooth(outputs[:, :shown], labels, errors[:, :shown], smoothing)
    return loss, trained, hits, is_sparse


def _backward(
    inputs, is_sparse, widths, vector, gradient,
    activations, deltas, turned, rows, starts, where, values, ends, examples, grouped, order,
):  # fmt: skip
    batch, pixels = inputs.shape
    units = widths[0]
    size = pixels * units
    backward_rest(activations, deltas, vector[size:], gradient[size:], widths, batch)
    if is_sparse:
        width = turned.shape[0] // pixels
        rows[: batch * width] = _F(0)
        for b in range(batch):
            for j in range(units):
                rows[b * width + j] = deltas[b * units + j]
        group_by_pixel(starts, order[:batch], where, values, ends, examples, grouped)
        turned[:] = _F(0)
        start = 0
        for p in range(pixels):
            add_rows(turned, p * width, rows, width, examples, grouped, start, ends[p])
            start = ends[p]
        transpose(turned, width, pixels, units, gradient, pixels)
    else:
        delta = deltas[: batch * units].reshape(batch, units)
        np.dot(delta.T, inputs, gradient[:size].reshape(units, pixels))


_INT, _INDEX = "int64[::1]", "uint32[::1]"
_ROW, _ROWS = "float32[::1]", "float32[:,::1]"
#: Working memory that both passes share.
_ROOM = [_ROW, _ROW, _INT, _INDEX, _ROW, _INT]

#: Computes all layers' activations, and the gradient of the mean loss in the outputs, which is the
#: last part of ``deltas``. Returns the sum of losses, the sum of those that are trained (which
#: labels may be smoothed for), the hits, and whether only nonzero inputs were walked. That is so if
#: there are at most so many. ``labels`` are classes or ``targets`` are given; the other is empty.
#: The first ``shown`` outputs count.
forward = Kernel(
    _forward,
    "Tuple((float64, float64, int64, boolean))",
    [_ROWS, _INT, _ROWS, "int64", "float64", _INT, _ROW, _ROW, _ROW, "int64", *_ROOM],
)

#: Computes the gradient after `forward`.
backward = Kernel(
    _backward,
    "void",
    [_ROWS, "boolean", _INT, _ROW, _ROW, _ROW, _ROW, *_ROOM, _INDEX, _ROW, _INT],
)
