"""Where the pixels of a map lie in a thread's memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
