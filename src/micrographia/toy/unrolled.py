"""The gradients of a small toy with every product written out: compiled for its numbers of features and hidden units.

A vector holds one feature or hidden unit of WIDE samples; only data are read, and only sums of gradients kept, from one
vector of samples to the next. Compiling takes a second or two, once for each shape, so that it pays for long training.
"""

from __future__ import annotations

from typing import Any, no_type_check

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from micrographia.toy.simd import LANES, WIDE, Code

FEW = 64
"""Products of features and hidden units up to which a shape is written out."""
LONG = 2**17
"""Samples of an instance from which compiling a shape is worth its time."""


def shape_of(features: int, hidden: int, tied: bool) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """A shape as a type: compiled code sees how long tuples are, not what numbers hold.

    >>> shape_of(3, 2, True)
    ((0, 0, 0), (0, 0), (0,))
    """
    return (0,) * features, (0,) * hidden, (0,) * (1 if tied else 2)


@intrinsic(prefer_literal=False)
@no_type_check
def unrolled(typing: Any, features: Any, hidden: Any, layers: Any, theta: Any, grad: Any, x: Any, valid: Any, blocks: Any, tally: Any, weigh: Any, low_hidden: Any, low_out: Any) -> Any:  # fmt: skip  # noqa: E501
    """Add the gradients of the first blocks of x, and to tally[0] their losses; arrays as in kernel.strip, but flat.

    `low_hidden` and `low_out` are 0 where a ReLU cuts the hidden units and outputs off, else minus infinity.
    """
    n, m, tied = features.count, hidden.count, layers.count == 1

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = Code(context, builder, signature, values)
        theta, grad, x, valid, blocks, tally, weigh, low_hidden, low_out = code.args[3:]
        none = ir.Constant(ir.VectorType(code.real, WIDE), [0.0] * WIDE)
        floor, lowest = code.spread(low_hidden, WIDE), code.spread(low_out, WIDE)
        out_at = 0 if tied else m * n
        bias_at = out_at + m * n

        def weight(at: int) -> Any:
            return code.spread(code.scalar(theta, code.number(at)), WIDE)

        def body(index: Any, sums: list[Any]) -> list[Any]:
            vectors = code.number(LANES // WIDE)  # of samples in a block
            block, part = builder.udiv(index, vectors), builder.urem(index, vectors)
            line = code.at(builder.mul(part, code.number(WIDE)), block, code.number(n * LANES))
            xs = [code.vector(x, builder.add(line, code.number(i * LANES)), WIDE) for i in range(n)]
            count = code.vector(valid, builder.mul(index, code.number(WIDE)), WIDE)
            hs, cut = [], []
            for k in range(m):
                h = builder.fmul(weight(k * n), xs[0])
                for i in range(1, n):
                    h = code.fused(weight(k * n + i), xs[i], h)
                over = builder.fcmp_unordered(">", h, floor)  # no number stays one
                hs.append(builder.select(over, h, floor))
                cut.append(over)
            total, slopes = sums[-1], []
            for i in range(n):
                out = weight(bias_at + i)
                for k in range(m):
                    out = code.fused(weight(out_at + k * n + i), hs[k], out)
                own = code.spread(code.scalar(weigh, code.number(i)), WIDE)
                slope, total = code.slope(out, xs[i], own, count, total, lowest, none)
                slopes.append(slope)
            new, later = [], []
            for k in range(m):
                back = builder.fmul(weight(out_at + k * n), slopes[0])
                for i in range(1, n):
                    back = code.fused(weight(out_at + k * n + i), slopes[i], back)
                back = builder.select(cut[k], back, none)
                for i in range(n):
                    if tied:
                        sum_ = code.fused(back, xs[i], sums[k * n + i])
                        new.append(code.fused(hs[k], slopes[i], sum_))
                    else:
                        new.append(code.fused(back, xs[i], sums[k * n + i]))
                        later.append(code.fused(hs[k], slopes[i], sums[m * n + k * n + i]))
            biases = [builder.fadd(slopes[i], sums[bias_at + i]) for i in range(n)]
            return [*new, *later, *biases, total]

        size = bias_at + n
        sums = code.loop(builder.mul(blocks, code.number(LANES // WIDE)), [none] * (size + 1), body)
        for at, (target, place) in enumerate([(grad, at) for at in range(size)] + [(tally, 0)]):
            spot = builder.gep(target, [code.number(place)])
            builder.store(builder.fadd(builder.load(spot), code.total(sums[at])), spot)
        return context.get_dummy_value()

    real = theta.dtype
    word = types.int64
    arguments = (features, hidden, layers, theta, grad, x, valid, word, tally, weigh, real, real)
    return types.void(*arguments), generate
