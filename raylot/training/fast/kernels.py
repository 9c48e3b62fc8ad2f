"""Compiled training of ReLU MLPs: forward, backward and the optimizer's step in one loop.

The parameters are two flat arrays of float32. ``first`` holds the first layer's weights
pixel-major, ``pixels x units``: a nonzero pixel is one contiguous row. ``rest`` holds the first
layer's bias, then weights (``outputs x inputs``, as in PyTorch) and bias of each further layer.

For sparse inputs, kernels walk only the nonzero pixels. Each example adds the rows of its nonzero
pixels to its hidden units. For the gradient, the batch is regrouped by pixel, and the optimizer
moves a row of ``first`` as soon as its gradient is complete. For other inputs, BLAS computes matrix
products. Arithmetic is relaxed only as far as NaN survives: sums are reordered, products and sums
contracted, divisions and roots approximated to the last bit.
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
from raylot.training.fast.updates import RELAXED, SGD, constants, rates, update
from raylot.training.fast.vectors import add_rows, prefetch
from raylot.training.fast.waiting import catch_up, may_wait, put_off

#: Penalties' kinds: their gradient is the pull times d, times d cut off at 1, and times its sign.
SQUARE, HUBER, ABSOLUTE = range(3)

#: How survivors of ``first`` are marked: no mask; a truth value per weight; a list.
NO_MASK, DENSE_MASK, SURVIVOR_LIST = 0, 1, 2

_F, _U = np.float32, np.uint64


@part(fastmath=RELAXED)
def _add_pull(gradient, weights, centre, at, size, hyper):
    """Adds a penalty's gradient for [at, at + size); the centre is 0 if the array is empty."""
    pull, kind = hyper[7], hyper[8]
    if kind != SQUARE:
        for j in range(_U(size)):
            k = _U(at) + j
            distance = weights[k] - (centre[k] if centre.shape[0] else _F(0))
            if kind == HUBER:
                gradient[j] += pull * min(max(distance, _F(-1)), _F(1))
            else:
                gradient[j] += pull * np.sign(distance)
    elif centre.shape[0]:
        for j in range(_U(size)):
            k = _U(at) + j
            gradient[j] += pull * (weights[k] - centre[k])
    else:
        for j in range(_U(size)):
            gradient[j] += pull * weights[_U(at) + j]


@part()
def _prefetch_batch(starts, pixels, codes, chosen):
    """Loads a batch's inputs, which are scattered in memory, into the cache."""
    for b in range(chosen.shape[0]):
        start, stop = starts[chosen[b]], starts[chosen[b] + 1]
        for k in range(start, stop, 32):
            prefetch(pixels, k)
        for k in range(start, stop, 64):
            prefetch(codes, k)


@part()
def _read_batch(starts, pixels, codes, scale, chosen, where, values, ends):
    """Lists pixel and scaled value of the nonzero inputs of a batch, example by example.

    ``ends`` counts the inputs of each pixel.
    """
    ends[:] = 0
    at = 0
    for b in range(chosen.shape[0]):
        for k in range(starts[chosen[b]], starts[chosen[b] + 1]):
            pixel = pixels[k]
            where[at] = pixel
            values[at] = scale[codes[k]]
            ends[pixel] += 1
            at += 1


@part()
def _hidden_sparse(starts, chosen, where, values, first, rest, units, activations):
    """Computes the first hidden layer of a batch from its nonzero inputs."""
    at = 0
    for b in range(chosen.shape[0]):
        count = starts[chosen[b] + 1] - starts[chosen[b]]
        activations[b * units : (b + 1) * units] = rest[:units]
        add_rows(activations, b * units, first, units, where, values, at, at + count)
        at += count
    rectify(activations[: chosen.shape[0] * units])


@part()
def _step_first(
    rule, first, first_mean, first_square, first_centre, first_magnitude, measured, mask_kind, keep,
    list_starts, columns, listed, listed_mean, listed_square, listed_centre, listed_gradient,
    ends, examples, grouped, deltas, gradient, puts_off, rate, root, hyper,
):  # fmt: skip
    """Computes the gradient of each row of ``first``, and takes a step on it at once."""
    units, start, pull = gradient.shape[0], 0, hyper[7]
    # Then a step is the gradient itself, times a number.
    at_once = rule == SGD and puts_off and mask_kind == NO_MASK and not measured
    if at_once:
        for k in range(ends[-1]):
            grouped[k] *= -rate
    for p in range(ends.shape[0]):
        stop = ends[p]
        if at_once:
            if start < stop:
                add_rows(first, p * units, deltas, units, examples, grouped, start, stop)
        elif mask_kind == SURVIVOR_LIST:
            begin, end = list_starts[p], list_starts[p + 1]
            if start == stop or begin == end:
                _clear(listed_gradient, begin, end)
            else:
                _clear(gradient, 0, units)
                add_rows(gradient, 0, deltas, units, examples, grouped, start, stop)
                for k in range(_U(begin), _U(end)):
                    listed_gradient[k] = gradient[columns[k]]
        elif start < stop or not puts_off:
            _clear(gradient, 0, units)
            if start < stop:
                add_rows(gradient, 0, deltas, units, examples, grouped, start, stop)
            at = p * units
            if pull != 0:
                _add_pull(gradient, first, first_centre, at, units, hyper)
            if measured:
                _add_magnitudes(first_magnitude, at, gradient)
            update(
                rule, first, first_mean, first_square, mask_kind == DENSE_MASK, keep, at, units,
                gradient, rate, root, hyper,
            )  # fmt: skip
        start = stop
    if mask_kind == SURVIVOR_LIST:
        if pull != 0:
            _add_pull(listed_gradient, listed, listed_centre, 0, listed.shape[0], hyper)
        update(
            rule, listed, listed_mean, listed_square, False, keep, 0, listed.shape[0],
            listed_gradient, rate, root, hyper,
        )  # fmt: skip
        for p in range(ends.shape[0]):
            at = _U(p * units)
            for k in range(_U(list_starts[p]), _U(list_starts[p + 1])):
                first[at + _U(columns[k])] = listed[k]


@part()
def _clear(values, begin, end):
    for j in range(_U(begin), _U(end)):
        values[j] = _F(0)


@part()
def _add_magnitudes(magnitudes, at, gradient):
    for j in range(_U(gradient.shape[0])):
        magnitudes[_U(at) + j] += abs(gradient[j])


@part()
def _finish_step(
    rule, activations, deltas, labels, targets, rest, rest_mean, rest_square, rest_centre,
    rest_magnitude, rest_keep, rest_gradient, measured, widths, batch, rate, root, hyper,
):  # fmt: skip
    """Does all of a step except the first layer's weights; returns loss and hits."""
    forward_rest(activations, rest, widths, batch)
    before = batch * np.sum(widths[:-1])
    end = before + batch * widths[-1]
    loss, hits = score(
        activations[before:end].reshape(batch, widths[-1]),
        labels,
        targets,
        deltas[before:end].reshape(batch, widths[-1]),
    )
    backward_rest(activations, deltas, rest, rest_gradient, widths, batch)
    if hyper[7] != 0:
        _add_pull(rest_gradient, rest, rest_centre, 0, rest.shape[0], hyper)
    if measured:
        _add_magnitudes(rest_magnitude, 0, rest_gradient)
    update(
        rule, rest, rest_mean, rest_square, True, rest_keep, 0, rest.shape[0], rest_gradient,
        rate, root, hyper,
    )  # fmt: skip
    return loss, hits


def _train_sparse(
    starts, pixels, codes, scale, labels, targets, order, batch_size, rule, options, step, widths,
    first, first_mean, first_square, first_centre, first_magnitude, mask_kind, keep,
    list_starts, columns, listed, listed_mean, listed_square, listed_centre,
    rest, rest_mean, rest_square, rest_centre, rest_magnitude, rest_keep, measured,
    activations, deltas, gradient,
):  # fmt: skip
    units, most = widths[0], 0
    for begin in range(0, order.shape[0], batch_size):
        entries = 0
        for example in order[begin : begin + batch_size]:
            entries += starts[example + 1] - starts[example]
        most = max(most, entries)
    ends = np.empty(first.shape[0] // units, np.int64)
    where, examples = np.empty(most, np.uint32), np.empty(most, np.uint32)
    values, grouped = np.empty(most, np.float32), np.empty(most, np.float32)
    listed_gradient = np.empty_like(listed)
    rest_gradient = np.empty_like(rest)
    loss, correct = 0.0, 0
    hyper = constants(rule, options)
    late = np.zeros((4, ends.shape[0]), np.float32)
    late[:2] = _F(1)
    for begin in range(0, order.shape[0], batch_size):
        chosen = order[begin : begin + batch_size]
        _prefetch_batch(starts, pixels, codes, order[begin + batch_size : begin + 2 * batch_size])
        batch = chosen.shape[0]
        step += 1
        rate, root = rates(rule, options, step)
        _read_batch(starts, pixels, codes, scale, chosen, where, values, ends)
        puts_off = mask_kind != SURVIVOR_LIST and may_wait(rule, hyper, step)
        if puts_off and rule != SGD:
            catch_up(rule, late, ends, False, first, first_mean, first_square, units, hyper[6])
        _hidden_sparse(starts, chosen, where, values, first, rest, units, activations)
        batch_loss, hits = _finish_step(
            rule, activations, deltas, labels[begin : begin + batch_size],
            targets[begin : begin + batch_size],
            rest, rest_mean, rest_square, rest_centre, rest_magnitude, rest_keep, rest_gradient,
            measured, widths, batch, rate, root, hyper,
        )  # fmt: skip
        loss += batch_loss
        correct += hits
        group_by_pixel(starts, chosen, where, values, ends, examples, grouped)
        _step_first(
            rule, first, first_mean, first_square, first_centre, first_magnitude, measured,
            mask_kind, keep, list_starts, columns, listed, listed_mean, listed_square,
            listed_centre, listed_gradient,
            ends, examples, grouped, deltas, gradient, puts_off, rate, root, hyper,
        )  # fmt: skip
        if puts_off and rule != SGD:
            put_off(rule, late, ends, options, rate, root)
    catch_up(rule, late, ends, True, first, first_mean, first_square, units, hyper[6])
    return loss, correct


def _train_dense(
    inputs, labels, targets, batch_size, rule, options, step, widths,
    first, first_mean, first_square, first_centre, first_magnitude, mask_kind, keep,
    rest, rest_mean, rest_square, rest_centre, rest_magnitude, rest_keep, measured,
):  # fmt: skip
    units = widths[0]
    activations = np.empty(batch_size * np.sum(widths), np.float32)
    deltas = np.empty_like(activations)
    gradient = np.empty((inputs.shape[1], units), np.float32)
    rest_gradient = np.empty_like(rest)
    loss, correct = 0.0, 0
    hyper = constants(rule, options)
    for begin in range(0, inputs.shape[0], batch_size):
        x = inputs[begin : begin + batch_size]
        batch = x.shape[0]
        step += 1
        rate, root = rates(rule, options, step)
        hidden = activations[: batch * units].reshape(batch, units)
        np.dot(x, first.reshape(inputs.shape[1], units), hidden)
        for b in range(batch):
            for j in range(units):
                hidden[b, j] += rest[j]
        rectify(activations[: batch * units])
        batch_loss, hits = _finish_step(
            rule, activations, deltas, labels[begin : begin + batch_size],
            targets[begin : begin + batch_size],
            rest, rest_mean, rest_square, rest_centre, rest_magnitude, rest_keep, rest_gradient,
            measured, widths, batch, rate, root, hyper,
        )  # fmt: skip
        loss += batch_loss
        correct += hits
        np.dot(x.T, deltas[: batch * units].reshape(batch, units), gradient)
        if hyper[7] != 0:
            _add_pull(gradient.reshape(-1), first, first_centre, 0, first.shape[0], hyper)
        if measured:
            _add_magnitudes(first_magnitude, 0, gradient.reshape(-1))
        update(
            rule, first, first_mean, first_square, mask_kind != NO_MASK, keep, 0, first.shape[0],
            gradient.reshape(-1), rate, root, hyper,
        )  # fmt: skip
    return loss, correct


def _evaluate_sparse(starts, pixels, codes, scale, labels, targets, widths, first, rest):
    count, batch, units = starts.shape[0] - 1, 64, widths[0]
    activations = np.empty(batch * np.sum(widths), np.float32)
    nothing = np.empty((0, 0), np.float32)
    inputs = first.shape[0] // units
    ends = np.empty(inputs, np.int64)
    where = np.empty(batch * inputs, np.uint32)
    values = np.empty(batch * inputs, np.float32)
    loss, correct = 0.0, 0
    for begin in range(0, count, batch):
        chosen = np.arange(begin, min(begin + batch, count))
        size = chosen.shape[0]
        _read_batch(starts, pixels, codes, scale, chosen, where, values, ends)
        _hidden_sparse(starts, chosen, where, values, first, rest, units, activations)
        forward_rest(activations, rest, widths, size)
        before = size * np.sum(widths[:-1])
        outputs = activations[before : before + size * widths[-1]].reshape(size, widths[-1])
        batch_loss, hits = score(
            outputs, labels[begin : begin + size], targets[begin : begin + size], nothing
        )
        loss += batch_loss
        correct += hits
    return loss, correct


_RESULT = "Tuple((float64, int64))"
_INT = "int64[::1]"
_ROW, _ROWS = "float32[::1]", "float32[:,::1]"
_FLAGS = "boolean[::1]"
_INPUTS = [_INT, "uint16[::1]", "uint8[::1]", _ROW]
_LABELS = [_INT, _ROWS]
_OPTIONS = ["int64", "int64", "UniTuple(float64, 7)", "int64", _INT]
_FIRST = [_ROW] * 5
_REST = [_ROW] * 5 + [_FLAGS, "boolean"]


#: Trains for an epoch, or a part of it; returns the sum of losses and the hits. ``order`` lists the
#: examples, ``labels`` their classes or ``targets`` theirs, ``examples x outputs``; the other is
#: empty. ``rule`` is one of `updates`. ``options`` are lr, the shares of both moments that a step
#: keeps, epsilon, weight decay, and a penalty's pull and kind; ``step`` counts the steps taken
#: before. Arrays of centres are empty if a penalty draws to 0, those of moments if the rule keeps
#: none. The last three arrays are working memory: a batch's activations of all layers, their
#: gradients, and one row's gradient.
train_sparse = Kernel(
    _train_sparse,
    _RESULT,
    [*_INPUTS, *_LABELS, _INT, *_OPTIONS, *_FIRST, "int64", _FLAGS,
     _INT, "uint16[::1]", _ROW, _ROW, _ROW, _ROW, *_REST, _ROW, _ROW, _ROW],
)  # fmt: skip

#: Does the same with scaled inputs as a matrix, ``examples x pixels``.
train_dense = Kernel(
    _train_dense,
    _RESULT,
    [_ROWS, *_LABELS, *_OPTIONS, *_FIRST, "int64", _FLAGS, *_REST],
)

#: Returns the sum of losses and the hits of all examples.
evaluate_sparse = Kernel(_evaluate_sparse, _RESULT, [*_INPUTS, *_LABELS, _INT, _ROW, _ROW])
