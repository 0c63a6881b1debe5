"""Matrix products, random numbers and errors in vector registers, written as LLVM code: SIMD on any processor.

Numba's own loops keep sums in memory, a load and a store for every product, and its 32-bit integers are 64 bits wide.
Here a tile of sums stays in registers while the inner index runs, which is what makes a matrix product fast (Goto &
van de Geijn 2008). Arrays are contiguous and come with the element to begin at; a row is LANES samples of one feature
or hidden unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, no_type_check

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 32
WIDE, NARROW = 16, 8
WORD = ir.IntType(64)


class _Code:
    """The builder with the few words that the tiles need."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> None:
        self.builder = builder
        self.args: list[Any] = []
        for kind, value in zip(signature.args, values, strict=True):
            if isinstance(kind, types.Array):
                self.args.append(context.make_array(kind)(context, builder, value).data)
            else:
                self.args.append(value)
        self.real = self.args[0].type.pointee
        self.bytes = 8 if isinstance(self.real, ir.DoubleType) else 4

    def at(self, offset: Any, steps: Any, stride: Any) -> Any:
        return self.builder.add(offset, self.builder.mul(steps, stride))

    def number(self, value: int) -> Any:
        return ir.Constant(WORD, value)

    def scalar(self, base: Any, offset: Any) -> Any:
        return self.builder.load(self.builder.gep(base, [offset]))

    def place(self, base: Any, offset: Any, width: int) -> Any:
        return self.builder.bitcast(self.builder.gep(base, [offset]), ir.VectorType(self.real, width).as_pointer())

    def vector(self, base: Any, offset: Any, width: int) -> Any:
        return self.builder.load(self.place(base, offset, width), align=self.bytes)

    def spread(self, value: Any, width: int) -> Any:
        kind = ir.VectorType(self.real, width)
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
        return self.builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)

    def fused(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.call(self._known("llvm.fmuladd", a.type, [a.type] * 3, a.type), [a, b, c])

    def magnitude(self, vector: Any) -> Any:
        return self.builder.call(self._known("llvm.fabs", vector.type, [vector.type], vector.type), [vector])

    def total(self, vector: Any) -> Any:
        kind = vector.type
        function = self._known("llvm.vector.reduce.fadd", self.real, [self.real, kind], kind)
        return self.builder.call(function, [ir.Constant(self.real, -0.0), vector], fastmath=("reassoc",))

    def four_totals(self, vectors: list[Any]) -> Any:
        """The sums of four vectors of eight, as a vector of four: neighbours first, then pairs, then halves."""

        def added(a: Any, b: Any, lanes: list[int], step: int) -> Any:
            masks = [
                ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), [lane + more for lane in lanes])
                for more in (0, step)
            ]
            return self.builder.fadd(*(self.builder.shuffle_vector(a, b, mask) for mask in masks))

        left, right = (added(a, b, [0, 8, 2, 10, 4, 12, 6, 14], 1) for a, b in (vectors[:2], vectors[2:]))
        both = added(left, right, [0, 1, 8, 9, 4, 5, 12, 13], 2)
        return added(both, both, [0, 1, 2, 3], 4)

    def _known(self, name: str, result: Any, arguments: list[Any], kind: Any) -> Any:
        full = f"{name}.v{kind.count}f{8 * self.bytes}"
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), full)

    def loop(self, count: Any, sums: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """Run body(index, sums) -> sums `count` times; sums live in registers."""
        b = self.builder
        before = b.basic_block
        head, inside, after = (b.append_basic_block(name) for name in ("tile", "tile.body", "tile.end"))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(WORD)
        phis = [b.phi(each.type) for each in sums]
        b.cbranch(b.icmp_signed("<", index, count), inside, after)
        b.position_at_end(inside)
        new = body(index, list(phis))
        onward, last = b.add(index, self.number(1)), b.basic_block
        b.branch(head)
        index.add_incoming(self.number(0), before)
        index.add_incoming(onward, last)
        for phi, first, then in zip(phis, sums, new, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(then, last)
        b.position_at_end(after)
        return phis


def _product(rows: int) -> Any:
    @intrinsic(prefer_literal=False)
    @no_type_check
    def product(typing: Any, c: Any, c0: Any, a: Any, a0: Any, by_row: Any, by_k: Any, b: Any, b0: Any, ks: Any, k0: Any, count: Any, start: Any, s0: Any) -> Any:  # fmt: skip  # noqa: E501
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            code = _Code(context, builder, signature, values)
            c, c0, a, a0, by_row, by_k, b, b0, ks, k0, count, start, s0 = code.args
            parts = LANES // WIDE
            sums = []
            for r in range(rows):
                sums += [code.spread(code.scalar(start, builder.add(s0, code.number(r))), WIDE)] * parts

            def body(index: Any, sums: list[Any]) -> list[Any]:
                k = builder.sext(code.scalar(ks, builder.add(k0, index)), WORD)
                line = code.at(b0, k, code.number(LANES))
                lanes = [code.vector(b, builder.add(line, code.number(part * WIDE)), WIDE) for part in range(parts)]
                new = []
                for r in range(rows):
                    weight = code.at(code.at(a0, code.number(r), by_row), k, by_k)
                    factor = code.spread(code.scalar(a, weight), WIDE)
                    new += [code.fused(factor, lanes[part], sums[r * parts + part]) for part in range(parts)]
                return new

            for at, value in enumerate(code.loop(count, sums, body)):
                target = code.place(c, builder.add(c0, code.number(at * WIDE)), WIDE)
                builder.store(value, target, align=code.bytes)
            return context.get_dummy_value()

        word = types.int64
        return types.void(c, word, a, word, word, word, b, word, ks, word, word, start, word), generate

    return product


def _correlate(rows: int, columns: int) -> Any:
    @intrinsic(prefer_literal=False)
    @no_type_check
    def correlate(typing: Any, d: Any, d0: Any, by_row: Any, p: Any, p0: Any, p_block: Any, q: Any, q0: Any, q_block: Any, blocks: Any) -> Any:  # fmt: skip  # noqa: E501
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            code = _Code(context, builder, signature, values)
            d, d0, by_row, p, p0, p_block, q, q0, q_block, blocks = code.args
            zero = ir.Constant(ir.VectorType(code.real, NARROW), [0.0] * NARROW)

            def body(index: Any, sums: list[Any]) -> list[Any]:
                left, right = code.at(p0, index, p_block), code.at(q0, index, q_block)
                for part in range(0, LANES, NARROW):
                    ps = [code.vector(p, builder.add(left, code.number(r * LANES + part)), NARROW) for r in range(rows)]
                    qs = [
                        code.vector(q, builder.add(right, code.number(c * LANES + part)), NARROW)
                        for c in range(columns)
                    ]
                    sums = [
                        code.fused(ps[r], qs[c], sums[r * columns + c]) for r in range(rows) for c in range(columns)
                    ]
                return sums

            sums = code.loop(blocks, [zero] * (rows * columns), body)
            for r in range(rows):
                own = sums[r * columns : (r + 1) * columns]
                total = code.four_totals(own) if columns == 4 else code.total(own[0])
                spot = builder.gep(d, [code.at(d0, code.number(r), by_row)])
                if columns == 4:
                    spot = builder.bitcast(spot, total.type.as_pointer())
                builder.store(builder.fadd(builder.load(spot, align=code.bytes), total), spot, align=code.bytes)
            return context.get_dummy_value()

        word = types.int64
        return types.void(d, word, word, p, word, word, q, word, word, word), generate

    return correlate


product4, product1 = _product(4), _product(1)
"""C[r, lane] = start[s0 + r] + sum over k in ks[k0:k0 + count] of A[a0 + r by_row + k by_k] B[k, lane], 4 or 1 rows."""

correlate44, correlate14, correlate41, correlate11 = (
    _correlate(4, 4), _correlate(1, 4), _correlate(4, 1), _correlate(1, 1),
)  # fmt: skip
"""D[r, c] += sum over blocks and lanes of P[block, r, lane] Q[block, c, lane], tiles of 4 or 1 rows and columns."""


@intrinsic(prefer_literal=False)
@no_type_check
def row(typing: Any, x: Any, x0: Any, sample: Any, bits: Any, p: Any, scale: Any, shift: Any) -> Any:
    """x[lane] = u scale - shift where u < p, else 0; u in [0, 1) is the keyed hash of sample + lane, to 24 bits."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, signature, values)
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
def residual(typing: Any, r: Any, r0: Any, x: Any, x0: Any, valid: Any, v0: Any, tally: Any, own: Any, floor: Any) -> Any:  # fmt: skip  # noqa: E501
    """Outputs r, not below `floor`, against the targets abs(x): tally += own error^2, and r becomes its slope."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, signature, values)
        r, r0, x, x0, valid, v0, tally, own, floor = code.args
        weigh, lowest = code.spread(own, WIDE), code.spread(floor, WIDE)
        none = ir.Constant(weigh.type, [0.0] * WIDE)
        for at in range(0, LANES, WIDE):
            here = code.number(at)
            out = code.vector(r, builder.add(r0, here), WIDE)
            off = builder.fcmp_ordered("<=", out, lowest)  # no number is not off: it must be seen
            goal = code.magnitude(code.vector(x, builder.add(x0, here), WIDE))
            error = builder.fsub(builder.select(off, lowest, out), goal)
            error = builder.fmul(error, code.vector(valid, builder.add(v0, here), WIDE))
            scaled = builder.fmul(error, weigh)
            sums = code.fused(scaled, error, code.vector(tally, here, WIDE))
            builder.store(sums, code.place(tally, here, WIDE), align=code.bytes)
            slope = builder.select(off, none, builder.fadd(scaled, scaled))
            builder.store(slope, code.place(r, builder.add(r0, here), WIDE), align=code.bytes)
        return context.get_dummy_value()

    word = types.int64
    return types.void(r, word, x, word, valid, word, tally, own, own), generate
