"""Write kernels as expressions and loops, which become LLVM IR. https://llvm.org/docs/LangRef.html

    for y in code.range(height):
        for x in code.range(width):
            target[y * width + x] = source[y * width + x] + 1

A `Value` is a scalar or a vector of lanes, a `Pointer` an array in memory, a `Variable` a value that changes. Operators
emit instructions. Operands must agree in type and lanes, except that a Python number becomes a constant of the other
operand's type; anything else raises TypeError while the kernel is built. Arithmetic on integers wraps around.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mien.kernels.types import BOOL, S64, DType

if TYPE_CHECKING:
    from mien.kernels.code import Code

Number: TypeAlias = "Value | int | float"


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A scalar or a vector: the name of its result in LLVM IR, its type, its lanes."""

    code: Code
    name: str
    dtype: DType
    lanes: int = 1

    @property
    def type(self) -> str:
        return self.dtype.vector(self.lanes)

    def __add__(self, other: Number) -> Value:
        return self._arithmetic("add", "fadd", other)

    def __sub__(self, other: Number) -> Value:
        return self._arithmetic("sub", "fsub", other)

    def __mul__(self, other: Number) -> Value:
        return self._arithmetic("mul", "fmul", other)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Number) -> Value:
        return self._arithmetic("", "fdiv", other)

    def __floordiv__(self, other: Number) -> Value:
        return self._arithmetic("udiv", "", other)  # operands are sizes, never negative

    def __mod__(self, other: Number) -> Value:
        return self._arithmetic("urem", "", other)

    def __and__(self, other: Number) -> Value:
        return self._arithmetic("and", "", other)

    def __or__(self, other: Number) -> Value:
        return self._arithmetic("or", "", other)

    def __xor__(self, other: Number) -> Value:
        return self._arithmetic("xor", "", other)

    def __rshift__(self, other: Number) -> Value:
        return self._arithmetic("ashr" if self.dtype.signed else "lshr", "", other)

    def __lshift__(self, other: Number) -> Value:
        return self._arithmetic("shl", "", other)

    def __lt__(self, other: Number) -> Value:
        return self._compare("lt", other)

    def __le__(self, other: Number) -> Value:
        return self._compare("le", other)

    def __gt__(self, other: Number) -> Value:
        return self._compare("gt", other)

    def __ge__(self, other: Number) -> Value:
        return self._compare("ge", other)

    def equals(self, other: Number) -> Value:
        return self._compare("eq", other)

    def min(self, other: Number) -> Value:
        other = self._operand(other)
        return self.code.select(self < other, self, other)

    def max(self, other: Number) -> Value:
        other = self._operand(other)
        return self.code.select(self > other, self, other)

    def to(self, dtype: DType) -> Value:
        """Convert the numbers: integers are truncated or extended, floats are truncated to integers.

        A float beyond the integer's range gives any value.
        """
        if dtype.llvm == self.dtype.llvm:
            return Value(self.code, self.name, dtype, self.lanes)
        kind = dtype.vector(self.lanes)
        return self.code.emit(f"{_conversion(self.dtype, dtype)} {self.type} {self.name} to {kind}", dtype, self.lanes)

    def view(self, dtype: DType) -> Value:
        """Read the same bits as lanes of another type."""
        lanes = self.lanes * self.dtype.bits // dtype.bits
        if dtype.llvm == self.dtype.llvm:
            return Value(self.code, self.name, dtype, self.lanes)
        return self.code.emit(f"bitcast {self.type} {self.name} to {dtype.vector(lanes)}", dtype, lanes)

    def splat(self, lanes: int) -> Value:
        """Repeat a scalar in every lane."""
        one = self.code.emit(
            f"insertelement {self.dtype.vector(lanes)} poison, {self.type} {self.name}, i32 0", self.dtype, lanes
        )
        return one.shuffle([0] * lanes)

    def shuffle(self, indices: Sequence[int], other: Value | None = None) -> Value:
        """Pick lanes of this vector, or of this and another one laid end to end."""
        mask = ", ".join(f"i32 {index}" for index in indices)
        second = f"{other.type} {other.name}" if other else f"{self.type} poison"
        line = f"shufflevector {self.type} {self.name}, {second}, <{len(indices)} x i32> <{mask}>"
        return self.code.emit(line, self.dtype, len(indices))

    def lane(self, index: int) -> Value:
        return self.code.emit(f"extractelement {self.type} {self.name}, i32 {index}", self.dtype)

    def halves(self) -> tuple[Value, Value]:
        half = self.lanes // 2
        return self.shuffle(range(half)), self.shuffle(range(half, self.lanes))

    def reduce(self, combine: Callable[[Value, Value], Value]) -> Value:
        """Combine all lanes by halves: in the same order on every processor."""
        value = self
        while value.lanes > 2:
            value = combine(*value.halves())
        return combine(value.lane(0), value.lane(1))

    def _operand(self, other: Number) -> Value:
        if not isinstance(other, Value):
            return self.code.constant(self.dtype, other, self.lanes)
        if (other.dtype.llvm, other.lanes) != (self.dtype.llvm, self.lanes):
            raise TypeError(f"operands differ: {self.dtype.name} x {self.lanes}, {other.dtype.name} x {other.lanes}")
        return other

    def _arithmetic(self, integer: str, floating: str, other: Number) -> Value:
        instruction = floating if self.dtype.floating else integer
        if not instruction:
            raise TypeError(f"{self.dtype.name} has no such operation")
        other = self._operand(other)
        return self.code.emit(f"{instruction} {self.type} {self.name}, {other.name}", self.dtype, self.lanes)

    def _compare(self, relation: str, other: Number) -> Value:
        other = self._operand(other)
        if self.dtype.floating:
            instruction = f"fcmp o{relation}"
        else:
            instruction = f"icmp {'' if relation == 'eq' else 's' if self.dtype.signed else 'u'}{relation}"
        return self.code.emit(f"{instruction} {self.type} {self.name}, {other.name}", BOOL, self.lanes)


def _conversion(source: DType, target: DType) -> str:
    if source.floating:
        return "fptosi" if target.signed else "fptoui"
    if target.floating:
        return "sitofp" if source.signed else "uitofp"
    if target.bits < source.bits:
        return "trunc"
    return "sext" if source.signed else "zext"


@dataclass(frozen=True, slots=True)
class Pointer:
    """An array of unknown length, at any address."""

    code: Code
    name: str
    dtype: DType

    def __add__(self, elements: Number) -> Pointer:
        return Pointer(self.code, self._address(elements), self.dtype)

    def __getitem__(self, index: Number) -> Value:
        return self.load(index)

    def __setitem__(self, index: Number, value: Value) -> None:
        self.store(value, index)

    def load(self, index: Number = 0, lanes: int = 1) -> Value:
        """Load so many elements from `index` on."""
        line = f"load {self.dtype.vector(lanes)}, ptr {self._address(index)}, align 1"
        return self.code.emit(line, self.dtype, lanes)

    def store(self, value: Value, index: Number = 0) -> None:
        """Store a scalar or all lanes of a vector from `index` on."""
        if value.dtype.llvm != self.dtype.llvm:
            raise TypeError(f"an array of {self.dtype.name} cannot hold {value.dtype.name}")
        self.code.do(f"store {value.type} {value.name}, ptr {self._address(index)}, align 1")

    def view(self, dtype: DType) -> Pointer:
        return Pointer(self.code, self.name, dtype)

    def prefetch(self, offsets: Iterator[int] | range, cache_level: int = 1) -> None:
        """Fetch the cache lines of the elements at these offsets, which need not be mapped, into a cache: 1, 2 or 3."""
        for offset in offsets:
            line = f"ptr {self._address(offset)}, i32 0, i32 {4 - cache_level}, i32 1"
            self.code.call_intrinsic("llvm.prefetch.p0", "void", ["ptr", "i32", "i32", "i32"], line)

    def _address(self, index: Number) -> str:
        if isinstance(index, int) and not index:
            return self.name
        offset = index if isinstance(index, Value) else self.code.constant(S64, index)
        return self.code.emit(f"getelementptr {self.dtype.llvm}, ptr {self.name}, i64 {offset.name}", S64).name


class Variable:
    """A value that changes, such as an accumulator. LLVM keeps it in a register."""

    def __init__(self, name: str, initial: Value) -> None:
        self._code, self._name, self._dtype, self._lanes = initial.code, name, initial.dtype, initial.lanes
        self.value = initial

    @property
    def value(self) -> Value:
        return self._code.emit(f"load {self._dtype.vector(self._lanes)}, ptr {self._name}", self._dtype, self._lanes)

    @value.setter
    def value(self, value: Value) -> None:
        if (value.dtype.llvm, value.lanes) != (self._dtype.llvm, self._lanes):
            raise TypeError(f"a variable of {self._dtype.name} x {self._lanes} cannot hold {value.type}")
        self._code.do(f"store {value.type} {value.name}, ptr {self._name}")
