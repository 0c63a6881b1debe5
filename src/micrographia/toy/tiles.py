"""Matrix products, random numbers and errors in vector registers.

A tile of sums stays in registers while the inner index runs, which is what makes a matrix product fast (Goto & van de
Geijn 2008). Arrays are contiguous and come with the element to begin at; a row is LANES samples of one feature or
hidden unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, no_type_check

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from micrographia.toy.simd import LANES, REGISTERS, WIDE, WORD, Code

TALL = REGISTERS // 3
"""Rows of a product's tile: two vectors of sums for each, and registers left for two of B and one of A."""
HIGH, BROAD = REGISTERS // 5, 4
"""Rows and columns of a correlation's tile."""


def _by_rows(code: Code, rows: Any, most: int, one: Callable[[int], None]) -> None:
    """Write one(1), ..., one(most) and run the one for `rows`."""
    builder = code.builder
    after = builder.append_basic_block("rows.end")
    choice = builder.switch(rows, after)
    for count in range(1, most + 1):
        block = builder.append_basic_block(f"rows.{count}")
        choice.add_case(code.number(count), block)
        builder.position_at_end(block)
        one(count)
        builder.branch(after)
    builder.position_at_end(after)


@intrinsic(prefer_literal=False)
@no_type_check
def product(typing: Any, rows: Any, c: Any, c0: Any, a: Any, a0: Any, by_k: Any, b: Any, b0: Any, ks: Any, k0: Any, count: Any, start: Any, s0: Any) -> Any:  # fmt: skip  # noqa: E501
    """C[r, lane] = start[s0 + r] + sum over k in ks[k0:k0 + count] of A[a0 + r + k by_k] B[k, lane].

    For up to TALL rows of C.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = Code(context, builder, signature, values)
        rows, c, c0, a, a0, by_k, b, b0, ks, k0, count, start, s0 = code.args
        parts = LANES // WIDE

        def tile(rows: int) -> None:
            sums = []
            for r in range(rows):
                sums += [code.spread(code.scalar(start, builder.add(s0, code.number(r))), WIDE)] * parts

            def body(index: Any, sums: list[Any]) -> list[Any]:
                k = builder.sext(code.scalar(ks, builder.add(k0, index)), WORD)
                line, weights = code.at(b0, k, code.number(LANES)), code.at(a0, k, by_k)
                lanes = [code.vector(b, builder.add(line, code.number(part * WIDE)), WIDE) for part in range(parts)]
                new = []
                for r in range(rows):
                    factor = code.spread(code.scalar(a, builder.add(weights, code.number(r))), WIDE)
                    new += [code.fused(factor, lanes[part], sums[r * parts + part]) for part in range(parts)]
                return new

            for at, value in enumerate(code.loop(count, sums, body)):
                target = code.place(c, builder.add(c0, code.number(at * WIDE)), WIDE)
                builder.store(value, target, align=code.bytes)

        _by_rows(code, rows, TALL, tile)
        return context.get_dummy_value()

    word = types.int64
    return types.void(word, c, word, a, word, word, b, word, ks, word, word, start, word), generate


@intrinsic(prefer_literal=False)
@no_type_check
def correlate(typing: Any, rows: Any, wide: Any, d: Any, d0: Any, by_row: Any, p: Any, p0: Any, p_block: Any, q: Any, q0: Any, q_block: Any, blocks: Any) -> Any:  # fmt: skip  # noqa: E501
    """D[r, c] += sum over blocks and lanes of P[block, r, lane] Q[block, c, lane], up to HIGH rows.

    BROAD columns if `wide`, else one.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = Code(context, builder, signature, values)
        rows, wide, d, d0, by_row, p, p0, p_block, q, q0, q_block, blocks = code.args
        zero = ir.Constant(ir.VectorType(code.real, WIDE), [0.0] * WIDE)

        def tile(rows: int, columns: int) -> None:
            def body(index: Any, sums: list[Any]) -> list[Any]:
                left, right = code.at(p0, index, p_block), code.at(q0, index, q_block)
                for part in range(0, LANES, WIDE):
                    ps = [code.vector(p, builder.add(left, code.number(r * LANES + part)), WIDE) for r in range(rows)]
                    qs = [
                        code.vector(q, builder.add(right, code.number(c * LANES + part)), WIDE) for c in range(columns)
                    ]
                    sums = [
                        code.fused(ps[r], qs[c], sums[r * columns + c]) for r in range(rows) for c in range(columns)
                    ]
                return sums

            sums = code.loop(blocks, [zero] * (rows * columns), body)
            for r in range(rows):
                own = [code.folded(each) for each in sums[r * columns : (r + 1) * columns]]
                total = code.four_totals(own) if columns == 4 else code.total(own[0])
                spot = builder.gep(d, [code.at(d0, code.number(r), by_row)])
                if columns == 4:
                    spot = builder.bitcast(spot, total.type.as_pointer())
                builder.store(builder.fadd(builder.load(spot, align=code.bytes), total), spot, align=code.bytes)

        with builder.if_else(builder.trunc(wide, ir.IntType(1))) as (broad, thin):
            with broad:
                _by_rows(code, rows, HIGH, lambda count: tile(count, BROAD))
            with thin:
                _by_rows(code, rows, HIGH, lambda count: tile(count, 1))
        return context.get_dummy_value()

    word = types.int64
    return types.void(word, types.boolean, d, word, word, p, word, word, q, word, word, word), generate


@intrinsic(prefer_literal=False)
@no_type_check
def row(typing: Any, x: Any, x0: Any, sample: Any, bits: Any, p: Any, scale: Any, shift: Any) -> Any:
    """x[lane] = u scale - shift where u < p, else 0; u in [0, 1) is the keyed hash of sample + lane, to 24 bits."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = Code(context, builder, signature, values)
        x, x0, sample, bits, p, scale, shift = code.args
        half = ir.IntType(32)
        kind = ir.VectorType(half, WIDE)

        def whole(value: Any) -> Any:
            first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(half, 0))
            return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), ir.Constant(kind, [0] * WIDE))

        def fold(z: Any, by: int) -> Any:
            return builder.xor(z, builder.lshr(z, ir.Constant(kind, [by] * WIDE)))

        low, high = (whole(builder.trunc(each, half)) for each in (bits, builder.lshr(bits, code.number(32))))
        begin = whole(builder.trunc(sample, half))
        limit, factor, less = (code.spread(each, WIDE) for each in (p, scale, shift))
        unit = ir.Constant(ir.VectorType(code.real, WIDE), [2.0**-24] * WIDE)
        for at in range(0, LANES, WIDE):
            z = builder.xor(builder.add(begin, ir.Constant(kind, list(range(at, at + WIDE)))), low)
            z = builder.mul(fold(z, 16), ir.Constant(kind, [0x7FEB352D] * WIDE))
            z = builder.add(fold(z, 15), high)
            z = fold(builder.mul(z, ir.Constant(kind, [0x846CA68B] * WIDE)), 16)
            u = builder.fmul(builder.sitofp(builder.lshr(z, ir.Constant(kind, [8] * WIDE)), unit.type), unit)
            value = builder.fsub(builder.fmul(u, factor), less)
            value = builder.select(builder.fcmp_ordered("<", u, limit), value, ir.Constant(unit.type, [0.0] * WIDE))
            builder.store(value, code.place(x, builder.add(x0, code.number(at)), WIDE), align=code.bytes)
        return context.get_dummy_value()

    word, real = types.int64, types.float32
    return types.void(x, word, word, types.uint64, real, real, real), generate


@intrinsic(prefer_literal=False)
@no_type_check
def residuals(typing: Any, r: Any, x: Any, x0: Any, n: Any, valid: Any, v0: Any, tally: Any, weigh: Any, floor: Any) -> Any:  # fmt: skip  # noqa: E501
    """Outputs r of a block, not below `floor`, against the targets abs(x), n rows of both from x0 on.

    tally gets every lane's sum of weigh * error^2 added, and r becomes its slope.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = Code(context, builder, signature, values)
        r, x, x0, n, valid, v0, tally, weigh, floor = code.args
        lowest, parts = code.spread(floor, WIDE), range(0, LANES, WIDE)
        none = ir.Constant(lowest.type, [0.0] * WIDE)
        counts = [code.vector(valid, builder.add(v0, code.number(part)), WIDE) for part in parts]

        def body(i: Any, sums: list[Any]) -> list[Any]:
            own, line, new = code.spread(code.scalar(weigh, i), WIDE), code.at(x0, i, code.number(LANES)), []
            for part, count, total in zip(parts, counts, sums, strict=True):
                here = builder.add(line, code.number(part))
                slope, total = code.slope(
                    code.vector(r, here, WIDE), code.vector(x, here, WIDE), own, count, total, lowest, none
                )
                builder.store(slope, code.place(r, here, WIDE), align=code.bytes)
                new.append(total)
            return new

        start = [code.vector(tally, code.number(part), WIDE) for part in parts]
        for part, total in zip(parts, code.loop(n, start, body), strict=True):
            builder.store(total, code.place(tally, code.number(part), WIDE), align=code.bytes)
        return context.get_dummy_value()

    word = types.int64
    return types.void(r, x, word, word, valid, word, tally, weigh, floor), generate
