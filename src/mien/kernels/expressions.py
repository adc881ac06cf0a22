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
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mien.kernels.types import BOOL, F32, S32, S64, U8, DType

if TYPE_CHECKING:
    from mien.kernels.instruction_sets import InstructionSet

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
        """Convert the numbers: integers are cut off or extended, floats lose what is behind the point.

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

    def prefetch(self, offsets: Iterator[int] | range) -> None:
        """Prefetch the cache lines of the elements at these offsets, which need not be mapped."""
        for offset in offsets:
            line = f"ptr {self._address(offset)}, i32 0, i32 3, i32 1"
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


class Code:
    """Collects the instructions of one function.

    Args:
        isa: the instruction set that the function is for.
    """

    def __init__(self, isa: InstructionSet) -> None:
        self.isa = isa
        self.declarations: dict[str, str] = {}
        self._lines: list[str] = []
        self._variables: list[str] = []
        self._names = 0

    @property
    def body(self) -> str:
        """The function's instructions; variables come first, where LLVM looks for them."""
        return "\n".join(["entry:", *self._variables, *self._lines])

    def emit(self, instruction: str, dtype: DType, lanes: int = 1) -> Value:
        name = self._name()
        self._lines.append(f"  {name} = {instruction}")
        return Value(self, name, dtype, lanes)

    def do(self, instruction: str) -> None:
        self._lines.append(f"  {instruction}")

    def constant(self, dtype: DType, value: float, lanes: int = 1) -> Value:
        literal = dtype.literal(value)
        return Value(self, f"splat ({dtype.llvm} {literal})" if lanes > 1 else literal, dtype, lanes)

    def variable(self, value: Value) -> Variable:
        name = self._name()
        self._variables.append(f"  {name} = alloca {value.type}")
        return Variable(name, value)

    def range(self, start: Value | int, stop: Value | int | None = None, step: int = 1) -> Iterator[Value]:
        """Repeat the body of a `for` statement, as Python's range does; every number is a Value."""
        first, end = (self._index(0), self._index(start)) if stop is None else (self._index(start), self._index(stop))
        number = self.variable(first)
        with self._loop(lambda: number.value < end):
            now = number.value
            yield now
            number.value = now + step

    def set_bits(self, mask: Value) -> Iterator[Value]:
        """Repeat the body of a `for` statement for the number of each bit that is set in a U64, from the lowest."""
        left = self.variable(mask)
        with self._loop(lambda: left.value > 0):
            now = left.value
            yield self.trailing_zeros(now).to(S64)
            left.value = now & (now - 1)

    @contextmanager
    def repeat(self, condition: Callable[[], Value]) -> Iterator[None]:
        """Repeat the block while the condition holds, which is evaluated before each round."""
        with self._loop(condition):
            yield

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Run the block if the condition holds."""
        then, after = self._label("then"), self._label("after")
        self.do(f"br i1 {condition.name}, label %{then}, label %{after}")
        self._begin(then)
        yield
        self.do(f"br label %{after}")
        self._begin(after)

    def select(self, condition: Value, yes: Value, no: Value) -> Value:
        line = f"select {condition.type} {condition.name}, {yes.type} {yes.name}, {no.type} {no.name}"
        return self.emit(line, yes.dtype, yes.lanes)

    def fma(self, left: Value, right: Value, addend: Value) -> Value:
        """left * right + addend, rounded once."""
        return self.intrinsic(f"llvm.fma.{_mangled(left)}", left, left, right, addend)

    def intrinsic(self, name: str, like: Value, *arguments: Value) -> Value:
        """Call an LLVM intrinsic whose result has the type of `like`."""
        values = ", ".join(f"{argument.type} {argument.name}" for argument in arguments)
        self.declarations[name] = f"declare {like.type} @{name}({', '.join(one.type for one in arguments)})"
        return self.emit(f"call {like.type} @{name}({values})", like.dtype, like.lanes)

    def call(self, name: str, numbers: Sequence[Value], addresses: Sequence[bool]) -> None:
        """Call a kernel by name with numbers, some of which are addresses of arrays."""
        arguments = [
            f"ptr {self.pointer(number, U8).name}" if is_address else f"i64 {number.name}"
            for number, is_address in zip(numbers, addresses, strict=True)
        ]
        self.do(f"call i64 @{name}({', '.join(arguments)})")

    def call_intrinsic(self, name: str, returns: str, takes: Sequence[str], arguments: str) -> None:
        self.declarations[name] = f"declare {returns} @{name}({', '.join(takes)})"
        self.do(f"call {returns} @{name}({arguments})")

    def fetch_add(self, counter: Pointer, step: int) -> Value:
        """Add to an S64 that other threads add to as well; returns what it was."""
        return self.emit(f"atomicrmw add ptr {counter.name}, i64 {step} monotonic", S64)

    def trailing_zeros(self, value: Value) -> Value:
        """Count the zeros below the lowest bit that is set; there must be one."""
        name = f"llvm.cttz.{value.type}"
        self.declarations[name] = f"declare {value.type} @{name}({value.type}, i1)"
        return self.emit(f"call {value.type} @{name}({value.type} {value.name}, i1 true)", value.dtype)

    def pointer(self, address: Value, dtype: DType) -> Pointer:
        """The array at an address that was stored as a number."""
        return Pointer(self, self.emit(f"inttoptr i64 {address.name} to ptr", S64).name, dtype)

    def _index(self, value: Value | int) -> Value:
        return value if isinstance(value, Value) else self.constant(S64, value)

    @contextmanager
    def _loop(self, condition: Callable[[], Value]) -> Iterator[None]:
        test, body, after = (self._label(name) for name in ("test", "body", "after"))
        self.do(f"br label %{test}")
        self._begin(test)
        self.do(f"br i1 {condition().name}, label %{body}, label %{after}")
        self._begin(body)
        yield
        self.do(f"br label %{test}")
        self._begin(after)

    def _begin(self, label: str) -> None:
        self._lines.append(f"{label}:")

    def _label(self, name: str) -> str:
        self._names += 1
        return f"{name}{self._names}"

    def _name(self) -> str:
        self._names += 1
        return f"%v{self._names}"


def _mangled(value: Value) -> str:
    kind = {F32: "f32", S32: "i32"}[value.dtype]
    return f"v{value.lanes}{kind}" if value.lanes > 1 else kind
