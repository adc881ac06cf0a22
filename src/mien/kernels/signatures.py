"""Declare the parameters of a kernel, and check arguments against them before a call.

A size is a number, an array has a type and an extent: how many elements the kernel reads or writes, a formula of sizes.

    HEIGHT, WIDTH = Size("height"), Size("width")
    Array("source", U8, extent=HEIGHT * WIDTH)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.kernels.code import Code
from mien.kernels.expressions import Pointer, Value
from mien.kernels.types import S64, DType

Sizes: TypeAlias = Mapping[str, int]
Argument: TypeAlias = "int | NDArray[np.generic]"


class Extent:
    """A formula of sizes."""

    def __init__(self, of: Callable[[Sizes], int]) -> None:
        self.of = of

    def __add__(self, other: Extent | int) -> Extent:
        return Extent(lambda sizes: self.of(sizes) + _extent(other).of(sizes))

    def __sub__(self, other: Extent | int) -> Extent:
        return Extent(lambda sizes: self.of(sizes) - _extent(other).of(sizes))

    def __mul__(self, other: Extent | int) -> Extent:
        return Extent(lambda sizes: self.of(sizes) * _extent(other).of(sizes))

    def __floordiv__(self, other: Extent | int) -> Extent:
        return Extent(lambda sizes: self.of(sizes) // _extent(other).of(sizes))

    __radd__, __rmul__ = __add__, __mul__


def _extent(value: Extent | int) -> Extent:
    return value if isinstance(value, Extent) else Extent(lambda _: value)


class Size(Extent):
    """A parameter that is a number of things, 0 or more.

    Args:
        name: of the parameter.
        multiple_of: what must divide it.
    """

    def __init__(self, name: str, multiple_of: int = 1) -> None:
        super().__init__(lambda sizes: sizes[name])
        self.name, self.multiple_of = name, multiple_of

    @staticmethod
    def number(value: int) -> Extent:
        """Return an extent that no size changes."""
        return _extent(value)

    def checked(self, kernel: str, value: Argument | None, _: Sizes) -> int:
        if not isinstance(value, int):
            raise TypeError(f"{kernel}: {self.name} is not an integer")
        if value < 0 or value % self.multiple_of:
            raise ValueError(f"{kernel}: {self.name} is {value}, which is not a multiple of {self.multiple_of}")
        return value


@dataclass(frozen=True, slots=True)
class Array:
    """A parameter that is an array.

    Attributes:
        name: of the parameter.
        dtype: of its elements.
        extent: elements that the kernel reads or writes from the array's start on.
        written: whether the kernel writes to it.
        alignment: bytes that must divide its address.
        optional: whether it may be None, whose address is 0.
    """

    name: str
    dtype: DType
    extent: Extent
    written: bool = False
    alignment: int = 1
    optional: bool = False

    def checked(self, kernel: str, value: Argument | None, sizes: Sizes) -> int:
        """Return the array's address."""
        if value is None and self.optional:
            return 0
        if not isinstance(value, np.ndarray) or value.dtype != np.dtype(self.dtype.name):
            raise TypeError(f"{kernel}: {self.name} is not an array of {self.dtype.name}")
        if not value.flags.c_contiguous or (self.written and not value.flags.writeable):
            raise ValueError(f"{kernel}: {self.name} is not contiguous, or cannot be written")
        needed = self.extent.of(sizes)
        if value.size < needed:
            raise ValueError(f"{kernel}: {self.name} has {value.size} elements, and {needed} are needed")
        address: int = value.ctypes.data
        if address % self.alignment:
            raise ValueError(f"{kernel}: {self.name} is not aligned to {self.alignment} bytes")
        return address


Parameter: TypeAlias = Size | Array


@dataclass(frozen=True, slots=True)
class Record:
    """Named parameters that are numbers side by side in memory: arguments of a kernel, or a row of a table.

    Attributes:
        name: for messages.
        parameters: in the order in which they lie in memory; callers name them.
    """

    name: str
    parameters: tuple[Parameter, ...]

    def bind(self, arguments: Mapping[str, Argument | None]) -> list[int]:
        """Check the arguments; returns numbers and addresses in the order of the parameters.

        Raises:
            TypeError: an argument is missing, unknown or of another type.
            ValueError: an array is too short or not contiguous, or a size not allowed.
        """
        if len(arguments) != len(self.parameters) or any(one.name not in arguments for one in self.parameters):
            expected = ", ".join(one.name for one in self.parameters)
            raise TypeError(f"{self.name} takes {expected}; it was given {', '.join(arguments)}")
        sizes = {name: value for name, value in arguments.items() if isinstance(value, int)}
        return [one.checked(self.name, arguments[one.name], sizes) for one in self.parameters]

    def read(self, code: Code, row: Pointer) -> dict[str, Value | Pointer]:
        """Load the numbers of a row, by name: a Value for each size, a Pointer for each array."""
        numbers = {one: row[number] for number, one in enumerate(self.parameters)}
        return {
            one.name: code.pointer(number, one.dtype) if isinstance(one, Array) else number
            for one, number in numbers.items()
        }


@dataclass(frozen=True, slots=True)
class Kernel(Record):
    """A function in machine code.

    Attributes:
        name: unique among the kernels that are compiled together.
        build: writes the body, given the code and, by their names, a Value for each size and a Pointer for each array.
            Returns what the kernel returns, an S64, or None.
    """

    build: Callable[..., Value | None]

    def text(self, code: Code) -> str:
        """Write the function in LLVM's language."""
        values = {one.name: _value(code, one) for one in self.parameters}
        result = self.build(code, **values)
        code.do(f"ret i64 {result.name}" if result else "ret i64 0")
        takes = ", ".join(f"{'ptr' if isinstance(one, Array) else 'i64'} %{one.name}" for one in self.parameters)
        return f"define i64 @{self.name}({takes}) #0 {{\n{code.body}\n}}"


def _value(code: Code, parameter: Parameter) -> Value | Pointer:
    name = f"%{parameter.name}"
    return Pointer(code, name, parameter.dtype) if isinstance(parameter, Array) else Value(code, name, S64)
