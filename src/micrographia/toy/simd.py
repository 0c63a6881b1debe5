"""Words for writing vector code in LLVM's language: SIMD on any processor, with sums that stay in registers.

Numba's own loops keep sums in memory, a load and a store for every product, and its 32-bit integers are 64 bits wide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils

REGISTERS = 32 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 16
WIDE = REGISTERS // 2
"""Numbers of a vector: with 512 bits there are 32 registers, with less 16."""
LANES = 2 * WIDE
"""Samples of a block, two vectors: enough sums at a time to hide what a product takes."""
WORD = ir.IntType(64)


class Code:
    """The builder with the few words that the tiles need."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> None:
        self.builder = builder
        self.args: list[Any] = []
        for kind, value in zip(signature.args, values, strict=True):
            if isinstance(kind, types.Array):
                self.args.append(context.make_array(kind)(context, builder, value).data)
            else:
                self.args.append(value)
        self.real = next(each.type.pointee for each in self.args if isinstance(each.type, ir.PointerType))
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

    def slope(self, out: Any, x: Any, own: Any, count: Any, total: Any, lowest: Any, none: Any) -> tuple[Any, Any]:
        """Twice own * error of the output, not below `lowest`, against abs(x); and total + own * error^2."""
        b = self.builder
        off = b.fcmp_ordered("<=", out, lowest)  # no number is not off: it must be seen
        error = b.fmul(b.fsub(b.select(off, lowest, out), self.magnitude(x)), count)
        scaled = b.fmul(error, own)
        return b.select(off, none, b.fadd(scaled, scaled)), self.fused(scaled, error, total)

    def total(self, vector: Any) -> Any:
        kind = vector.type
        function = self._known("llvm.vector.reduce.fadd", self.real, [self.real, kind], kind)
        return self.builder.call(function, [ir.Constant(self.real, -0.0), vector], fastmath=("reassoc",))

    def folded(self, vector: Any) -> Any:
        """A vector of eight with the same sum."""
        half = vector.type.count // 2
        if half < 8:
            return vector
        kind = ir.VectorType(ir.IntType(32), half)
        low, high = (ir.Constant(kind, list(range(at, at + half))) for at in (0, half))
        return self.builder.fadd(*(self.builder.shuffle_vector(vector, vector, mask) for mask in (low, high)))

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
