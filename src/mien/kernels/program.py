"""Run many kernels in one call: a thread that has released the interpreter's lock may wait longer for it than a layer
takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mien.kernels.code import Code
from mien.kernels.compiler import load
from mien.kernels.expressions import Pointer, Value
from mien.kernels.instruction_sets import InstructionSet
from mien.kernels.signatures import Argument, Array, Kernel, Size
from mien.kernels.types import S64

MAX_PARAMETERS = 12
ROW = 1 + MAX_PARAMETERS
"""Numbers of an operation: which kernel, and its arguments."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A kernel and its arguments, by name."""

    kernel: Kernel
    arguments: Mapping[str, Argument]


class Program:
    """Operations whose arguments were checked; it keeps their arrays alive.

    Args:
        kernels: what the operations may call.
        operations: in the order in which they run.

    Raises:
        TypeError, ValueError: see `Kernel.bind`.
    """

    def __init__(self, kernels: KernelSet, operations: Iterable[Operation]) -> None:
        self._operations = tuple(operations)
        self._table = np.zeros((len(self._operations), ROW), np.int64)
        for row, operation in zip(self._table, self._operations, strict=True):
            numbers = [kernels.number(operation.kernel), *operation.kernel.bind(operation.arguments)]
            row[: len(numbers)] = numbers
        self._kernels, self._address = kernels, self._table.ctypes.data

    def run(self) -> None:
        """Run all operations; the interpreter's lock is free meanwhile."""
        self._kernels.run(len(self._table), self._address)


class KernelSet:
    """Kernels that were compiled together with the function that runs a table of operations.

    Args:
        name: of the kernels together.
        kernels: those that operations may call.
        isa: the instruction set.
    """

    def __init__(self, name: str, kernels: Sequence[Kernel], isa: InstructionSet) -> None:
        self._numbers = {kernel.name: number for number, kernel in enumerate(kernels)}
        self._library = load(name, [*kernels, runner(kernels)], isa)
        self.run: Callable[[int, int], int] = self._library["run"]

    def number(self, kernel: Kernel) -> int:
        return self._numbers[kernel.name]

    def call(self, kernel: Kernel, **arguments: int | NDArray[np.generic]) -> None:
        """Run one kernel."""
        Program(self, [Operation(kernel, arguments)]).run()


def runner(kernels: Sequence[Kernel]) -> Kernel:
    """Make the function that runs a table of operations."""
    count = Size("count")
    return Kernel("run", (count, Array("table", S64, extent=count * ROW)), partial(_run, kernels))


def _run(kernels: Sequence[Kernel], code: Code, *, count: Value, table: Pointer) -> None:
    for number in code.range(count):
        row = table + number * ROW
        which = row[0]
        for other, kernel in enumerate(kernels):
            with code.when(which.equals(other)):
                code.call(kernel.name, [row[1 + at] for at in range(len(kernel.parameters))], _addresses(kernel))


def _addresses(kernel: Kernel) -> list[bool]:
    return [isinstance(one, Array) for one in kernel.parameters]
