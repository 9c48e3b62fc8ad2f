"""Passes through a network's layers after the first, the loss, and nonzero inputs by pixel.

Arrays are flat; ``rest`` and ``widths`` are as in `kernels`. `compilation` makes numba's cache see
changes of this file.
"""

from __future__ import annotations

import numpy as np

from raylot.training.fast.compilation import part
from raylot.training.fast.updates import RELAXED

_F = np.float32


@part()
def rectify(values):
    """Computes max(0, x) in place; NaN stays."""
    for j in range(values.shape[0]):
        if values[j] <= 0:
            values[j] = _F(0)


@part()
def _close_inactive(deltas, activations, size):
    """Sets the gradients of inactive units to 0."""
    for j in range(size):
        if activations[j] <= 0:
            deltas[j] = _F(0)


@part(fastmath=RELAXED)
def forward_rest(activations, rest, widths, batch):
    """Computes all activations after the first hidden layer, the logits last."""
    layers = widths.shape[0]
    at, parameter = 0, widths[0]
    for layer in range(1, layers):
        inputs, outputs = widths[layer - 1], widths[layer]
        below = activations[at : at + batch * inputs].reshape(batch, inputs)
        at += batch * inputs
        above = activations[at : at + batch * outputs].reshape(batch, outputs)
        weights = rest[parameter : parameter + outputs * inputs].reshape(outputs, inputs)
        parameter += outputs * inputs
        bias = rest[parameter : parameter + outputs]
        parameter += outputs
        np.dot(below, weights.T, above)
        for example in range(batch):
            row = above[example]
            for j in range(outputs):
                row[j] += bias[j]
            if layer + 1 < layers:
                rectify(row)


@part()
def score(outputs, labels, targets, deltas):
    """Returns the sum of losses and the hits; fills in ``deltas``, the gradient, if not empty.

    With targets, losses are squared errors, and there are no hits.
    """
    if targets.shape[0] > 0:
        return _squared_errors(outputs, targets, deltas), 0
    return _cross_entropies(outputs, labels, deltas)


@part()
def _squared_errors(outputs, targets, deltas):
    batch, size = outputs.shape
    learning = deltas.shape[0] > 0
    total = 0.0
    for example in range(batch):
        for j in range(size):
            error = outputs[example, j] - targets[example, j]
            total += error * error
            if learning:
                deltas[example, j] = _F(2) * error / _F(batch * size)
    return total / size


@part()
def _cross_entropies(logits, labels, deltas):
    batch, classes = logits.shape
    learning = deltas.shape[0] > 0
    total, correct = 0.0, 0
    for example in range(batch):
        row, label = logits[example], labels[example]
        best, largest = 0, row[0]
        for j in range(1, classes):
            if row[j] > largest:
                best, largest = j, row[j]
        normaliser = _F(0)
        for j in range(classes):
            normaliser += np.exp(row[j] - largest)
        normaliser = np.log(normaliser)
        total -= (row[label] - largest) - normaliser
        correct += best == label
        if learning:
            # Rounds as PyTorch does: near certainty, rounding makes up most of the gradient.
            share = _F(1) / _F(batch)
            for j in range(classes):
                deltas[example, j] = np.exp((row[j] - largest) - normaliser) * share
            deltas[example, label] -= share
    return total, correct


@part(fastmath=RELAXED)
def backward_rest(activations, deltas, rest, gradient, widths, batch):
    """Computes ``gradient`` and the first hidden layer's deltas from the logits' deltas."""
    layers = widths.shape[0]
    at, parameter = 0, widths[0]
    for layer in range(1, layers):
        at += batch * widths[layer - 1]
        parameter += widths[layer] * (widths[layer - 1] + 1)
    for layer in range(layers - 1, 0, -1):
        inputs, outputs = widths[layer - 1], widths[layer]
        delta = deltas[at : at + batch * outputs].reshape(batch, outputs)
        at -= batch * inputs
        below = activations[at : at + batch * inputs].reshape(batch, inputs)
        parameter -= outputs
        _add_up(delta, gradient[parameter : parameter + outputs])
        parameter -= outputs * inputs
        weights = rest[parameter : parameter + outputs * inputs].reshape(outputs, inputs)
        into = gradient[parameter : parameter + outputs * inputs].reshape(outputs, inputs)
        np.dot(delta.T, below, into)
        down = deltas[at : at + batch * inputs].reshape(batch, inputs)
        np.dot(delta, weights, down)
        _close_inactive(deltas[at:], activations[at:], batch * inputs)
    _add_up(deltas[: batch * widths[0]].reshape(batch, widths[0]), gradient[: widths[0]])


@part(fastmath=RELAXED)
def _add_up(rows, total):
    """Sets ``total`` to the sum of rows."""
    total[:] = _F(0)
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(total.shape[0]):
            total[j] += row[j]


@part()
def group_by_pixel(starts, chosen, where, values, ends, examples, grouped):
    """Regroups by pixel the nonzero inputs of a batch, which are listed example by example.

    Example e has [starts[e], starts[e + 1]) of all; ``ends`` counts them by pixel. Afterwards pixel
    p's entries are [ends[p - 1], ends[p]) of ``examples`` and ``grouped``.
    """
    total = 0
    for p in range(ends.shape[0]):
        count = ends[p]
        ends[p] = total
        total += count
    at = 0
    for b in range(chosen.shape[0]):
        for _ in range(starts[chosen[b]], starts[chosen[b] + 1]):
            place = ends[where[at]]
            ends[where[at]] = place + 1
            examples[place] = b
            grouped[place] = values[at]
            at += 1
