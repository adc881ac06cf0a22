"""Collect the instructions of a function: loops, conditions, calls and variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mien.kernels.expressions import Pointer, Value, Variable
from mien.kernels.instruction_sets import InstructionSet
from mien.kernels.types import F32, S32, S64, U8, DType


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
        """Return the array at an address that was stored as a number."""
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
