"""Rows of float32 out of float32 or bfloat16 memory, and back, inside compiled loops.

Memory is flat and places in it are unsigned: a slice costs a count of references, and a place that might be negative
keeps a loop from becoming vectors.
"""

from __future__ import annotations

from typing import Any, no_type_check

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

UPPER, HALF, ONE = np.uint32(16), np.uint32(0x7FFF), np.uint32(1)


@no_type_check
def widen(source, start, values, bits) -> None:
    """Fill `values`, which share memory with `bits`, from `start` on in a source; only for compiled code."""
    raise NotImplementedError


@no_type_check
def narrow(values, bits, target, start) -> None:
    """Write `values` from `start` on into a target, rounded to the nearest; only for compiled code."""
    raise NotImplementedError


@overload(widen)
@no_type_check
def _widen(source, start, values, bits) -> Any:
    def of_bfloat16(source, start, values, bits):
        for i in range(np.uintp(len(bits))):
            bits[i] = np.uint32(source[start + i]) << UPPER

    def of_float32(source, start, values, bits):
        for i in range(np.uintp(len(values))):
            values[i] = source[start + i]

    return of_bfloat16 if source.dtype == types.uint16 else of_float32


@overload(narrow)
@no_type_check
def _narrow(values, bits, target, start) -> Any:
    def to_bfloat16(values, bits, target, start):
        for i in range(np.uintp(len(bits))):
            target[start + i] = np.uint16((bits[i] + HALF + ((bits[i] >> UPPER) & ONE)) >> UPPER)

    def to_float32(values, bits, target, start):
        for i in range(np.uintp(len(values))):
            target[start + i] = values[i]

    return to_bfloat16 if target.dtype == types.uint16 else to_float32


@intrinsic
@no_type_check
def _as_float(context, bits) -> Any:
    """The float32 that has these 32 bits."""
    return types.float32(types.uint32), lambda _, builder, __, given: builder.bitcast(given[0], ir.FloatType())


@intrinsic
@no_type_check
def _as_bits(context, value) -> Any:
    """The 32 bits of a float32."""
    return types.uint32(types.float32), lambda _, builder, __, given: builder.bitcast(given[0], ir.IntType(32))


@no_type_check
def loaded(source, at) -> Any:
    """The value at a place, as float32; only for compiled code."""
    raise NotImplementedError


@no_type_check
def store(target, at, value) -> None:
    """Write a float32 at a place, rounded to the nearest; only for compiled code."""
    raise NotImplementedError


@overload(loaded)
@no_type_check
def _loaded(source, at) -> Any:
    def of_bfloat16(source, at):
        return _as_float(np.uint32(source[at]) << UPPER)

    def of_float32(source, at):
        return source[at]

    return of_bfloat16 if source.dtype == types.uint16 else of_float32


@overload(store)
@no_type_check
def _store(target, at, value) -> Any:
    def to_bfloat16(target, at, value):
        bits = _as_bits(value)
        target[at] = np.uint16((bits + HALF + ((bits >> UPPER) & ONE)) >> UPPER)

    def to_float32(target, at, value):
        target[at] = value

    return to_bfloat16 if target.dtype == types.uint16 else to_float32
