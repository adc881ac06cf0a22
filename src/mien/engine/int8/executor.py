"""Lay out feature maps in a thread's memory, and run a network's kernels in one call.

One call, because a thread that releases the interpreter's lock may wait for it longer than a layer takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from mien.engine.int8.vnni import NEEDED
from mien.native.jit import (
    I64,
    POINTER,
    VOID,
    Builder,
    Code,
    Kernel,
    Value,
    array,
    compiled,
    features,
    load,
    loop,
    place,
)

Bytes = NDArray[np.uint8]

LINE = 64


@dataclass(frozen=True, slots=True)
class Map:
    """So many channels of height times width pixels, with a border of so many pixels on all sides; counted in bytes."""

    start: int
    height: int
    width: int
    channels: int
    border: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels

    @property
    def row(self) -> int:
        return (self.width + 2 * self.border) * self.channels

    @property
    def first(self) -> int:
        """The first pixel behind the border."""
        return self.start + self.border * (self.row + self.channels)

    @property
    def size(self) -> int:
        return (self.height + 2 * self.border) * self.row

    @property
    def end(self) -> int:
        """Where others may lie: with room for the pixel that kernels look at, or write, in vain."""
        return aligned(self.start + self.size + self.channels)

    def pixels(self, memory: Bytes) -> Bytes:
        """(height, width, channels) of the map with its border."""
        whole = memory[self.start : self.start + self.size]
        return whole.reshape(self.height + 2 * self.border, -1, self.channels)

    def inside(self, memory: Bytes) -> Bytes:
        """(height, width, channels) without the border."""
        edge = slice(self.border, -self.border or None)
        return self.pixels(memory)[edge, edge]


def one_after_another(shapes: Iterable[tuple[int, int, int]], start: int = 0, *, border: int = 1) -> list[Map]:
    """A map for each shape (height, width, channels)."""
    maps: list[Map] = []
    for shape in shapes:
        maps.append(Map(maps[-1].end if maps else start, *shape, border))
    return maps


def aligned(place: int) -> int:
    """The next place where a line of the cache begins."""
    return -(-place // LINE) * LINE


WORDS = 14
FOLLOW = "follow"
_COMPILING = Lock()

Call = tuple[str, Sequence[int]]
"""A kernel's name and what it takes: numbers, and addresses."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """Those that a table can name, compiled."""

    numbers: dict[str, int]
    code: Code

    def table(self, calls: Iterable[Call]) -> NDArray[np.int64]:
        """The calls as `follow` takes them."""
        rows = [[self.numbers[name], *words] for name, words in calls]
        table = np.zeros((len(rows), WORDS), np.int64)
        for row, words in zip(table, rows, strict=True):
            row[: len(words)] = words
        return table

    def follow(self, table: NDArray[np.int64]) -> None:
        """Make the calls; the interpreter's lock is free meanwhile."""
        self.code.functions[FOLLOW](table.ctypes.data, len(table))


def int8_supported() -> bool:
    """Whether this processor has the kernels' instructions."""
    return features() >= NEEDED


def kernels(each: tuple[Kernel, ...]) -> Kernels:
    """Compiles them once in a process, which takes some tenths of a second; a kernel may call those before it."""
    with _COMPILING:
        return _compiled(each)


@cache
def _compiled(each: tuple[Kernel, ...]) -> Kernels:
    follow = Kernel(FOLLOW, VOID, (POINTER, I64), partial(_follow, each))
    return Kernels({kernel.name: number for number, kernel in enumerate(each)}, compiled([*each, follow], unroll=False))


def _follow(kernels: Sequence[Kernel], b: Builder, *arguments: Value) -> None:
    table, count = arguments
    with loop(b, I64(0), count) as number:
        row = place(b, table, array(I64, WORDS), number)
        which = load(b, row, I64)
        for other, kernel in enumerate(kernels):
            with b.if_then(b.icmp_signed("==", which, I64(other))):
                words = [load(b, row, I64, word + 1) for word in range(len(kernel.takes))]
                taken = [
                    b.inttoptr(word, POINTER) if kind is POINTER else word
                    for word, kind in zip(words, kernel.takes, strict=True)
                ]
                b.call(b.module.get_global(kernel.name), taken)
    b.ret_void()
