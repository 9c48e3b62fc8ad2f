"""The innermost loops, written for LLVM's vectors, so that their numbers stay in registers.

A compiled Python loop would load and store sums at every term, and transpose one number at a time.
LLVM maps vectors of 16 floats to the vectors of the processor. `compilation` makes numba's cache
see changes of this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from raylot.training.fast.compilation import part

#: Floats per vector; the length of rows must be a multiple of it.
LANES = 16

_INDEX = ir.IntType(64)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)


def _adder(vectors: int) -> Callable[..., None]:
    """Makes `add_rows` for a width of so many vectors."""

    @intrinsic
    def add(typing_context, out, at, rows, column, stride, index, factors, start, stop):
        integer = types.int64
        signature = types.void(
            out, integer, rows, integer, integer, index, factors, integer, integer
        )

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def data(position: int) -> Any:
                kind = signature.args[position]
                return context.make_array(kind)(context, builder, arguments[position]).data

            def vector_at(base: Any, offset: Any, number: int) -> Any:
                place = builder.add(offset, ir.Constant(_INDEX, LANES * number))
                return builder.bitcast(builder.gep(base, [place]), _VECTOR.as_pointer())

            _, at, _, column, stride, _, _, start, stop = arguments
            targets = [vector_at(data(0), at, number) for number in range(vectors)]
            before = [builder.load(target, align=4) for target in targets]
            entry = builder.block
            loop = builder.append_basic_block("terms")
            end = builder.append_basic_block("end")
            builder.cbranch(builder.icmp_signed("<", start, stop), loop, end)

            builder.position_at_end(loop)
            term = builder.phi(_INDEX)
            sums = [builder.phi(_VECTOR) for _ in range(vectors)]
            row = builder.zext(builder.load(builder.gep(data(5), [term])), _INDEX)
            first = builder.add(builder.mul(row, stride), column)
            factor = _broadcast(builder, builder.load(builder.gep(data(6), [term])))
            fused = {"flags": ["contract"]}
            after = [
                builder.fadd(
                    total,
                    builder.fmul(
                        builder.load(vector_at(data(2), first, number), align=4), factor, **fused
                    ),
                    **fused,
                )
                for number, total in enumerate(sums)
            ]
            following = builder.add(term, ir.Constant(_INDEX, 1))
            body = builder.block
            builder.cbranch(builder.icmp_signed("<", following, stop), loop, end)
            for phi, initial, updated in zip(
                [term, *sums], [start, *before], [following, *after], strict=True
            ):
                phi.add_incoming(initial, entry)
                phi.add_incoming(updated, body)

            builder.position_at_end(end)
            for initial, updated in zip(before, after, strict=True):
                total = builder.phi(_VECTOR)
                total.add_incoming(initial, entry)
                total.add_incoming(updated, body)
                sums.append(total)
            for target, total in zip(targets, sums[vectors:], strict=True):
                builder.store(total, target, align=4)
            return context.get_dummy_value()

        return signature, generate

    return add


def _broadcast(builder: Any, number: Any) -> Any:
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    lane = ir.IntType(32)
    alone = builder.insert_element(nothing, number, ir.Constant(lane, 0))
    zeros = ir.Constant(ir.VectorType(lane, LANES), [0] * LANES)
    return builder.shuffle_vector(alone, nothing, zeros)


_add_16, _add_4, _add_1 = _adder(16), _adder(4), _adder(1)


@part()
def add_rows(out, at, rows, width, index, factors, start, stop):
    """out[at : at + width] += sum over k in [start, stop) of factors[k] * row index[k] of rows.

    ``out``, ``rows`` and ``factors`` are flat and float32, ``index`` is uint32, ``rows`` holds rows
    of ``width``, a multiple of `LANES`.
    """
    column = 0
    while column + 16 * LANES <= width:
        _add_16(out, at + column, rows, column, width, index, factors, start, stop)
        column += 16 * LANES
    while column + 4 * LANES <= width:
        _add_4(out, at + column, rows, column, width, index, factors, start, stop)
        column += 4 * LANES
    while column < width:
        _add_1(out, at + column, rows, column, width, index, factors, start, stop)
        column += LANES


#: Rows and columns of the squares in which matrices are transposed.
_SIDE = 8

_SQUARE_ROW = ir.VectorType(ir.FloatType(), _SIDE)


@intrinsic
def _transpose_square(typing_context, source, at, stride, target, to, target_stride):
    integer = types.int64
    signature = types.void(source, integer, integer, target, integer, integer)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def row(position: int, number: int) -> Any:
            kind = signature.args[position]
            base = context.make_array(kind)(context, builder, arguments[position]).data
            start, stride = arguments[position + 1], arguments[position + 2]
            place = builder.add(start, builder.mul(stride, ir.Constant(_INDEX, number)))
            return builder.bitcast(builder.gep(base, [place]), _SQUARE_ROW.as_pointer())

        def interleaved(a: Any, b: Any, first: int) -> Any:
            lanes = [lane for j in range(first, first + _SIDE // 2) for lane in (j, _SIDE + j)]
            return builder.shuffle_vector(
                a, b, ir.Constant(ir.VectorType(ir.IntType(32), _SIDE), lanes)
            )

        rows = [builder.load(row(0, number), align=4) for number in range(_SIDE)]
        # Each round rotates the bits of a number's place, (row, column), by one.
        for _ in range(_SIDE.bit_length() - 1):
            rows = [
                interleaved(rows[i], rows[i + _SIDE // 2], first)
                for i in range(_SIDE // 2)
                for first in (0, _SIDE // 2)
            ]
        for number, values in enumerate(rows):
            builder.store(values, row(3, number), align=4)
        return context.get_dummy_value()

    return signature, generate


@part()
def transpose(source, stride, rows, columns, target, target_stride):
    """Writes a matrix's transpose: target[j, i] = source[i, j].

    Both are flat and float32; a row of theirs begins every ``stride``, ``target_stride`` numbers.
    """
    whole_rows, whole_columns = rows - rows % _SIDE, columns - columns % _SIDE
    for j in range(0, whole_columns, _SIDE):
        for i in range(0, whole_rows, _SIDE):
            _transpose_square(  # type: ignore[call-arg]  # numba passes the context
                source, i * stride + j, stride, target, j * target_stride + i, target_stride
            )
    for i in range(whole_rows):
        for j in range(whole_columns, columns):
            target[j * target_stride + i] = source[i * stride + j]
    for i in range(whole_rows, rows):
        for j in range(columns):
            target[j * target_stride + i] = source[i * stride + j]


@intrinsic
def _prefetch(typing_context, array, position):

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(base, [arguments[1]]), ir.IntType(8).as_pointer())
        flag = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer.type], ir.FunctionType(
                ir.VoidType(), [pointer.type, flag, flag, flag]
            ),
        )  # fmt: skip
        read, near, data = (ir.Constant(flag, value) for value in (0, 2, 1))
        builder.call(function, [pointer, read, near, data])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@part()
def prefetch(array, position):
    """Loads an array's element into the cache, without waiting for it."""
    _prefetch(array, position)  # type: ignore[call-arg]  # numba passes the context
