"""Packed weights go in, faces' vectors come out: where every map lies, and the calls that make it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from operator import mul

import numpy as np

from mien.engine.arrays import Floats, Pixels
from mien.engine.octets.first import COLOURS, first
from mien.engine.octets.follow import Call, Kernels
from mien.engine.octets.maps import Map, one_after_another
from mien.engine.sface.block import BLOCKS, COLUMNS, DEPTHWISE, LINES, POINTWISE, TILE
from mien.engine.sface.last import AT_ONCE, DIMENSIONS, LAST
from mien.engine.sface.packing import SIDE, Arrays, together

BETWEEN = 32 * 1024
"""Bytes between the layers of a block at most, unless a row takes more."""
GREY = 128
"""What lies around a face."""
FIRST = first(1, TILE, COLUMNS, LINES)
KERNELS = (FIRST, POINTWISE, *DEPTHWISE.values(), *BLOCKS.values(), *LAST.values())


class Program:
    """The network for one thread: its memory, and the calls that lead through it. `arrays` is what `packed` gave."""

    def __init__(self, arrays: Arrays, kernels: Kernels) -> None:
        self._arrays, self._kernels = arrays, kernels
        self._images, self._maps, self._ends = _maps(arrays)
        self._memory = np.empty(self._ends[-1].end, np.uint8)
        widest = max(one.row for one in self._maps)
        self._between = np.empty(BETWEEN + widest, np.uint8)  # also for a row that is wider, and a pixel more
        self._vectors = np.empty((AT_ONCE, DIMENSIONS), np.float32)
        for number, one in enumerate(self._maps):
            one.pixels(self._memory)[:] = arrays[f"zero_{number}"]
        for one in self._images:
            one.pixels(self._memory)[:] = GREY
        self._tables = [kernels.table(self._calls(count)) for count in range(1, AT_ONCE + 1)]

    def run(self, faces: Pixels) -> Floats:
        """The vectors (n, 128) of up to AT_ONCE faces (n, 112, 112, 3)."""
        for image, face in zip(self._images, faces, strict=False):
            image.inside(self._memory)[:] = face
        self._kernels.follow(self._tables[len(faces) - 1])
        return self._vectors[: len(faces)].copy()

    def _calls(self, images: int) -> Iterator[Call]:
        for image, end in zip(self._images[:images], self._ends, strict=False):
            first, *others = self._maps
            words = [self._place(image.start), image.row, SIDE, SIDE, *self._at("first", "first_lines")]
            yield FIRST.name, [*words, self._place(first.first), first.row]
            maps = zip(self._maps, [*others, end], strict=True)
            for number, (stride, (before, after)) in enumerate(
                zip(self._arrays["strides"].tolist(), maps, strict=True)
            ):
                yield self._block(number, stride, before, after)
        apart = self._ends[1].start - self._ends[0].start
        words = [self._place(self._ends[0].start), apart, self._ends[0].size, *self._at("last", "last_lines")]
        yield LAST[images].name, [*words, self._vectors.ctypes.data]

    def _block(self, number: int, stride: int, before: Map, after: Map) -> Call:
        rows = max(BETWEEN // (after.width * before.channels), 1)
        whole = max(some for some in range(1, rows + 1) if after.height % some == 0)
        return BLOCKS[stride, together(before.channels)].name, [
            self._place(before.start),
            before.row,
            before.channels,
            after.width,
            whole,
            *self._at(f"depthwise_{number}", f"depthwise_lines_{number}"),
            self._between.ctypes.data,
            *self._at(f"pointwise_{number}"),
            after.channels,
            *self._at(f"pointwise_lines_{number}"),
            self._place(after.first),
            after.row,
        ]

    def _place(self, number: int) -> int:
        return self._memory.ctypes.data + number

    def _at(self, *names: str) -> list[int]:
        return [self._arrays[name].ctypes.data for name in names]


def _maps(arrays: Arrays) -> tuple[list[Map], list[Map], list[Map]]:
    """The pixels of each image, what lies between the layers, and what comes out of the last block for each image."""
    strides = [1, *arrays["strides"].tolist()]
    sides = [SIDE // side for side in accumulate(strides, mul)]
    shapes = [(side, side, len(arrays[f"zero_{number}"])) for number, side in enumerate(sides)]
    images = one_after_another([(SIDE, SIDE, COLOURS)] * AT_ONCE)
    maps = one_after_another(shapes[:-1], images[-1].end)
    return images, maps, one_after_another([shapes[-1]] * AT_ONCE, maps[-1].end, border=0)
