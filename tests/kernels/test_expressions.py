"""Expressions compute what the same expressions of NumPy compute, and mistakes are found while a kernel is built."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mien.kernels.code import Code
from mien.kernels.compiler import Library, compiled
from mien.kernels.expressions import Pointer, Value
from mien.kernels.instruction_sets import InstructionSet
from mien.kernels.signatures import Array, Kernel, Size
from mien.kernels.types import BOOL, F32, S8, S16, S32, S64, U8, U16, U32, U64, DType

COUNT = Size("count")


def computed(isa: InstructionSet, dtype: DType, values: np.ndarray, change: Callable[[Value], Value]) -> np.ndarray:
    """Apply an expression to each element of an array, by a loop."""

    def build(code: Code, *, count: Value, source: Pointer, target: Pointer) -> None:
        for number in code.range(count):
            target[number] = change(source[number])

    given = DType(values.dtype.name, {1: "i8", 2: "i16", 4: "i32", 8: "i64"}[values.itemsize], 8 * values.itemsize)
    given = F32 if values.dtype == np.float32 else given
    arrays = (Array("source", given, extent=COUNT), Array("target", dtype, extent=COUNT, written=True))
    kernel = Kernel("change", (COUNT, *arrays), build)
    target = np.zeros(len(values), dtype.name)
    library = Library(compiled([kernel], isa), isa, [kernel])
    library["change"](*kernel.bind({"count": len(values), "source": values, "target": target}))
    return target


NUMBERS = np.array([-(2**31), -300, -129, -7, -1, 0, 1, 6, 128, 255, 256, 2**31 - 1], np.int32)


@pytest.mark.parametrize(
    ("dtype", "change", "exact"),
    [
        (S32, lambda x: x * 3 + 1 - x, lambda x: x * 3 + 1 - x),
        (S32, lambda x: (x >> 3) ^ 5, lambda x: (x >> 3) ^ 5),
        (S32, lambda x: x.max(-7).min(200), lambda x: np.clip(x, -7, 200)),
        (U32, lambda x: x.to(U32) >> 3, lambda x: x.view(np.uint32) >> 3),
        (U32, lambda x: x.to(U32) // 7 + x.to(U32) % 7, lambda x: x.view(np.uint32) // 7 + x.view(np.uint32) % 7),
        (U32, lambda x: x.to(U32).min(100), lambda x: np.minimum(x.view(np.uint32), 100)),
        (S16, lambda x: x.to(S16), lambda x: x.astype(np.int16)),
        (U8, lambda x: x.to(U8), lambda x: x.astype(np.uint8)),
        (S64, lambda x: x.to(S8).to(S64), lambda x: x.astype(np.int8).astype(np.int64)),
        (S64, lambda x: x.to(U8).to(S64), lambda x: x.astype(np.uint8).astype(np.int64)),
        (F32, lambda x: x.to(F32), lambda x: x.astype(np.float32)),
        (F32, lambda x: x.view(F32), lambda x: x.view(np.float32)),
        (BOOL, lambda x: x >= -1, lambda x: x >= -1),
        (S64, lambda x: (x.equals(6) | (x < -128)).to(S64) & 1, lambda x: (x == 6) | (x < -128)),
    ],
)
def test_integers(
    isa: InstructionSet, dtype: DType, change: Callable[[Value], Value], exact: Callable[[np.ndarray], np.ndarray]
) -> None:
    if dtype is BOOL:
        dtype, first = S64, change
        change = lambda x: first(x).to(S64) & 1  # noqa: E731
    np.testing.assert_array_equal(computed(isa, dtype, NUMBERS, change), exact(NUMBERS).astype(dtype.name))


def test_floats(isa: InstructionSet) -> None:
    values = np.array([-1.75, -0.5, 0.1, 3.999, 1e9], np.float32)
    small = np.float32(0.3)
    np.testing.assert_array_equal(computed(isa, F32, values, lambda x: x * 0.3 + 7.1), values * small + np.float32(7.1))
    np.testing.assert_array_equal(computed(isa, S32, values, lambda x: x.to(S32)), values.astype(np.int32))
    np.testing.assert_array_equal(computed(isa, F32, values, lambda x: (x / 3.0).max(0.0)), np.maximum(values / 3, 0))


def test_vectors(isa: InstructionSet) -> None:
    values = np.arange(100, 200, dtype=np.int32)

    def summed(x: Value) -> Value:
        vector = x.splat(8) + x.code.constant(S32, 1, 8)
        shuffled = vector.shuffle([0, 9, 2, 11, 4, 13, 6, 15], vector * 2)
        return shuffled.reduce(lambda low, high: low + high)

    np.testing.assert_array_equal(computed(isa, S32, values, summed), 4 * (values + 1) + 8 * (values + 1))


def test_loops_and_conditions(isa: InstructionSet) -> None:
    """The sum of the positions of the bits that are set, from those above the first one on."""

    def bits(x: Value) -> Value:
        total = x.code.variable(x.code.constant(S64, 0))
        for bit in x.code.set_bits(x.to(U64)):
            with x.code.when(bit > 0):
                total.value = total.value + bit
        return total.value

    values = np.array([0, 1, 2, 0b1011, 2**63], np.uint64)
    np.testing.assert_array_equal(computed(isa, S64, values, bits), [0, 0, 1, 4, 63])


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(lambda code: code.constant(S32, 1, 4) + code.constant(S32, 1, 8), id="lanes"),
        pytest.param(lambda code: code.constant(S32, 1) + code.constant(S16, 1), id="types"),
        pytest.param(lambda code: code.constant(F32, 1) & 3, id="operation"),
        pytest.param(lambda code: code.constant(S32, 1) / 3, id="division"),
        pytest.param(lambda code: Pointer(code, "%p", U16).store(code.constant(S32, 1)), id="store"),
        pytest.param(
            lambda code: setattr(code.variable(code.constant(S32, 1)), "value", code.constant(S64, 1)), id="variable"
        ),
    ],
)
def test_operands_that_do_not_fit_are_refused(isa: InstructionSet, mistake: Callable[[Code], object]) -> None:
    with pytest.raises(TypeError):
        mistake(Code(isa))
