"""Lay out the feature maps of a network in one piece of memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]

CACHE_LINE = 64
SLACK = 4
"""Bytes behind a map, of which the stem reads three."""


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """A map of height x width pixels with a border on all sides.

    Attributes:
        start: where it begins in the memory, in bytes.
        channels: bytes of a pixel.
        border: pixels.
    """

    start: int
    height: int
    width: int
    channels: int
    border: int = 1

    @property
    def row(self) -> int:
        """Bytes of a row with its border."""
        return (self.width + 2 * self.border) * self.channels

    @property
    def size(self) -> int:
        return (self.height + 2 * self.border) * self.row

    @property
    def end(self) -> int:
        """Where the next map may begin."""
        return align_up(self.start + self.size + SLACK)

    def bytes(self, memory: Bytes) -> Bytes:
        """Return the map with its border and the slack behind it."""
        return memory[self.start : self.start + self.size + SLACK]

    def pixels(self, memory: Bytes) -> Bytes:
        """(height, width, channels) of the map with its border."""
        whole = memory[self.start : self.start + self.size]
        return whole.reshape(self.height + 2 * self.border, -1, self.channels)

    def interior(self, memory: Bytes) -> Bytes:
        """(height, width, channels) without the border."""
        edge = slice(self.border, -self.border or None)
        return self.pixels(memory)[edge, edge]

    def from_interior(self, memory: Bytes) -> Bytes:
        """Return the bytes from the first pixel behind the border on."""
        return memory[self.start + self.border * (self.row + self.channels) : self.start + self.size]


def allocate(size: int) -> Bytes:
    """Allocate memory that begins at a cache line."""
    whole = np.zeros(size + CACHE_LINE, np.uint8)
    return whole[-whole.ctypes.data % CACHE_LINE :][:size]


def in_sequence(shapes: Iterable[tuple[int, int, int]], start: int = 0, *, border: int = 1) -> list[FeatureMap]:
    """Lay out a map for each shape (height, width, channels), one after another."""
    maps: list[FeatureMap] = []
    for shape in shapes:
        maps.append(FeatureMap(maps[-1].end if maps else start, *shape, border))
    return maps


def align_up(offset: int) -> int:
    """Return the next offset at which a cache line begins."""
    return -(-offset // CACHE_LINE) * CACHE_LINE
