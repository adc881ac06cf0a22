"""Packed weights go in, faces' vectors come out: where every map lies, and the table that the kernel follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.engine.decode import Pixels
from mien.engine.sface.depthwise import DEPTHWISE
from mien.engine.sface.ends import AT_ONCE, COLOURS, DIMENSIONS
from mien.engine.sface.packing import SIDE, Arrays, together
from mien.engine.sface.whole import WHOLE, WORDS
from mien.native.machine import Code

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

BETWEEN = 32 * 1024
"""Bytes between two layers of a block at most, if that is enough for a row."""
LINE = 64


@dataclass(frozen=True, slots=True)
class Map:
    """A square of pixels in a thread's memory, with a border of nought or without."""

    start: int
    side: int
    zero: Bytes
    """The byte that is nought in each channel, (channels,)"""
    border: int = 1

    @property
    def row(self) -> int:
        """Bytes."""
        return (self.side + 2 * self.border) * len(self.zero)

    @property
    def first(self) -> int:
        """The first pixel behind the border."""
        return self.start + self.border * (self.row + len(self.zero))

    @property
    def size(self) -> int:
        return (self.side + 2 * self.border) * self.row

    def end(self, images: int = 1) -> int:
        """Where the next map may lie; between them is room for a pixel that neighbours are computed with, in vain."""
        return -(-(self.start + images * self.size + len(self.zero)) // LINE) * LINE

    def clear(self, memory: Bytes) -> None:
        memory[self.start : self.start + self.size].reshape(-1, len(self.zero))[:] = self.zero


class Program:
    """The network on a processor; `run` may be called by many threads, each with its own `Memory`."""

    def __init__(self, arrays: Arrays, code: Code) -> None:
        self._arrays, self._code = arrays, code
        self._maps = list(_maps(arrays))
        self._blocks = len(arrays["strides"])
        self._table = np.zeros((self._blocks + 2, WORDS), np.int64)
        for row, words in zip(self._table, self._rows(), strict=True):
            row[: len(words)] = words

    def memory(self) -> Memory:
        """Room for one thread."""
        return Memory(self._maps)

    def run(self, faces: Pixels, memory: Memory) -> Floats:
        """The vectors (n, 128) of up to AT_ONCE faces (n, 112, 112, 3)."""
        memory.faces[: len(faces), 1:-1, 1:-1] = faces
        vectors = np.empty((len(faces), DIMENSIONS), np.float32)
        where = (memory.maps, memory.between, vectors)
        whole = self._code.functions[WHOLE.name]
        whole(self._table.ctypes.data, self._blocks, len(faces), *(array.ctypes.data for array in where))
        return vectors

    def _rows(self) -> Iterator[list[int]]:
        pixels, *maps = self._maps
        yield [
            pixels.start,
            pixels.size,
            pixels.row,
            SIDE,
            *self._at("first", "first_lines"),
            maps[0].first,
            maps[0].row,
        ]
        for number, (stride, before, after) in enumerate(zip(self._arrays["strides"], maps, maps[1:], strict=False)):
            names = (f"{layer}{kind}_{number}" for layer in ("depthwise", "pointwise") for kind in ("", "_lines"))
            inputs, outputs = len(before.zero), len(after.zero)
            yield [
                list(DEPTHWISE).index((stride, together(inputs))),
                before.start,
                before.row * stride,
                before.row,
                inputs,
                after.side,
                _rows_at_once(after.side, inputs),
                *self._at(*names),
                after.first,
                after.size * (after is maps[-1]),
                after.row,
                outputs,
            ]
        yield [maps[-1].start, maps[-1].size, *self._at("last", "last_lines")]

    def _at(self, *names: str) -> list[int]:
        return [self._arrays[name].ctypes.data for name in names]


class Memory:
    """A thread's maps, their borders drawn once."""

    def __init__(self, maps: list[Map]) -> None:
        pixels, *others = maps
        self.maps = np.empty(others[-1].end(AT_ONCE), np.uint8)
        self.between = np.empty(2 * BETWEEN + LINE, np.uint8)
        for one in (pixels, *others[:-1]):
            one.clear(self.maps)
        whole = self.maps[pixels.start : pixels.start + AT_ONCE * pixels.size]
        whole[:] = pixels.zero[0]
        self.faces = whole.reshape(AT_ONCE, SIDE + 2, SIDE + 2, COLOURS)


def _maps(arrays: Arrays) -> Iterator[Map]:
    pixels = Map(0, SIDE, np.full(COLOURS, 128, np.uint8))
    yield pixels
    start, side = pixels.end(AT_ONCE), SIDE
    strides = [1, *arrays["strides"].tolist()]
    for number, stride in enumerate(strides):
        side //= stride
        one = Map(start, side, arrays[f"zero_{number}"], border=int(number < len(strides) - 1))
        start = one.end()
        yield one


def _rows_at_once(side: int, channels: int) -> int:
    """A part of the rows that has room between two layers."""
    return max(
        rows for rows in range(1, side + 1) if side % rows == 0 and (rows == 1 or rows * side * channels <= BETWEEN)
    )
