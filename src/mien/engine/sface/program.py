"""Pack SFace's quantised layers, emit its own kernels, and order the kernel calls of an inference.

A separable block computes a depthwise layer and the pointwise one after it together, so that what lies between them
stays in the L1 cache. The linear layer comes last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate
from operator import mul
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.domain.faces import EMBEDDING_DIMENSION as DIMENSIONS
from mien.engine.context import Floats, Pixels
from mien.engine.int8.convolutions import COLOURS, depthwise, first, pointwise
from mien.engine.int8.executor import Call, Kernels, Map, one_after_another
from mien.engine.int8.quantize import Whole, chunks, of_channels, of_neighbours, of_pixels, panels
from mien.engine.int8.vnni import FOUR, WIDE, fused, products
from mien.engine.model_files import UnsupportedModel
from mien.engine.sface.quantize import Counted, CountedLast, CountedLayers
from mien.native.jit import F32, I8, I64, POINTER, VOID, Builder, Kernel, Value, lanes, load, loop, place, store

TILE = 7
"""All of SFace's maps are a multiple of seven pixels wide."""
COLUMNS = 2
LINES = 4

POINTWISE = pointwise(TILE, COLUMNS, LINES)
DEPTHWISE = {(stride, channels): depthwise(stride, channels, LINES) for stride in (1, 2) for channels in (32, 64)}
"""By stride, and how many channels are computed at once."""


def _block(stride: int, layer: Kernel, b: Builder, *arguments: Value) -> None:
    source, row, inputs, side, rows, weights, lines, between, next_weights, outputs, next_lines, target, step = (
        arguments
    )
    with loop(b, I64(0), b.udiv(side, rows)) as part:
        y = b.mul(part, rows)
        above = place(b, source, I8, b.mul(b.mul(y, I64(stride)), row))
        b.call(b.module.get_global(layer.name), [above, row, inputs, side, rows, weights, lines, between])
        below = place(b, target, I8, b.mul(y, step))
        taken = [between, inputs, side, rows, next_weights, outputs, next_lines, below, step]
        b.call(b.module.get_global(POINTWISE.name), taken)
    b.ret_void()


_TAKES = (POINTER, *[I64] * 4, *[POINTER] * 4, I64, POINTER, POINTER, I64)
BLOCKS = {
    (stride, channels): Kernel(f"block_{stride}_{channels}", VOID, _TAKES, partial(_block, stride, layer))
    for (stride, channels), layer in DEPTHWISE.items()
}
"""The map, one pixel above and left of the first, the bytes of a row, channels; the side of what comes out, how many
rows at once, a divisor; weights, lines, room between the layers; the next weights, channels that come out, lines; the
first pixel of the next map, the bytes of one of its rows."""


MAX_BATCH = 4
"""Vectors that are made together: the weights, six megabytes, take longer to be read than to be multiplied."""
LINEAR_COLUMNS = 4


def _last(images: int, b: Builder, *arguments: Value) -> None:
    source, apart, inputs, weights, lines, vectors = arguments
    kind = lanes(F32, WIDE)
    with loop(b, I64(0), I64(DIMENSIONS), LINEAR_COLUMNS * WIDE) as first:
        rows = [place(b, source, I8, b.mul(apart, I64(image))) for image in range(images)]
        panel = place(b, weights, I8, b.mul(first, inputs))
        for image, of_image in enumerate(products(b, rows, panel, b.udiv(inputs, I64(FOUR)), LINEAR_COLUMNS)):
            for column, one in enumerate(of_image):
                at = b.add(first, I64(WIDE * column))
                scale, shift = (load(b, place(b, lines, F32, b.add(at, I64(line))), kind) for line in (0, DIMENSIONS))
                vector = fused(b, b.sitofp(one, kind), scale, shift)
                store(b, vector, place(b, vectors, F32, b.add(at, I64(DIMENSIONS * image))))
    b.ret_void()


LAST = {
    images: Kernel(f"last_{images}", VOID, (POINTER, I64, I64, POINTER, POINTER, POINTER), partial(_last, images))
    for images in range(1, MAX_BATCH + 1)
}
"""By the number of images: the map of the first, how far from each other they lie, the bytes of one; weights, lines;
vectors (images, 128)."""


Arrays = dict[str, NDArray[Any]]

LAYOUT = "bytes-1"
"""Names all that decides the arrays beside the model: other files are not read."""
SIDE = 112
PANEL = COLUMNS * WIDE


def packed(layers: CountedLayers) -> Arrays:
    """All weights and lines by name. Raises UnsupportedModel for a network of other sizes than SFace's."""
    first, *others = layers.convolutions
    if not _fits(first, others, layers.last):
        raise UnsupportedModel("the model's layers have other sizes than SFace's")
    arrays = {
        "first": of_pixels(first.weights, COLUMNS),
        "first_lines": panels(first.lines, COLUMNS),
        "zero_0": first.zero,
        "strides": np.array([layer.stride for layer in others[::2]]),
        "last": _of_map(layers.last.weights),
        "last_lines": layers.last.lines,
    }
    for number, (depthwise_layer, pointwise_layer) in enumerate(zip(others[::2], others[1::2], strict=True)):
        channels = together(len(depthwise_layer.weights))
        arrays |= {
            f"depthwise_{number}": of_neighbours(depthwise_layer.weights, channels),
            f"depthwise_lines_{number}": chunks(depthwise_layer.lines, channels),
            f"pointwise_{number}": of_channels(pointwise_layer.weights[:, :, 0, 0], COLUMNS),
            f"pointwise_lines_{number}": panels(pointwise_layer.lines, COLUMNS),
            f"zero_{number + 1}": pointwise_layer.zero,
        }
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def together(channels: int) -> int:
    """How many of a depthwise layer's channels are computed at a time."""
    return min(channels, max(at_once for _, at_once in DEPTHWISE))


def _fits(first: Counted, others: Sequence[Counted], last: CountedLast) -> bool:
    side, channels = SIDE, PANEL
    fits = first.weights.shape == (PANEL, COLOURS, 3, 3) and first.stride == 1 and len(others) % 2 == 0
    for depthwise_layer, pointwise_layer in zip(others[::2], others[1::2], strict=False):
        side //= depthwise_layer.stride
        fits &= depthwise_layer.weights.shape == (channels, 1, 3, 3) and side % TILE == 0
        fits &= (depthwise_layer.stride, together(channels)) in DEPTHWISE and channels % together(channels) == 0
        fits &= pointwise_layer.weights.shape[1:] == (channels, 1, 1) and pointwise_layer.stride == 1
        channels = len(pointwise_layer.weights)
        fits &= channels % PANEL == 0
    return fits and last.weights.shape == (DIMENSIONS, side * side * channels)


def _of_map(weights: Whole) -> Whole:
    """(128, k) as (panel, k / 4, column, lane, 4)."""
    fours = weights.reshape(-1, LINEAR_COLUMNS, WIDE, weights.shape[1] // FOUR, FOUR)
    return fours.transpose(0, 3, 1, 2, 4)


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
        self._vectors = np.empty((MAX_BATCH, DIMENSIONS), np.float32)
        for number, one in enumerate(self._maps):
            one.pixels(self._memory)[:] = arrays[f"zero_{number}"]
        for one in self._images:
            one.pixels(self._memory)[:] = GREY
        self._tables = [kernels.table(self._calls(count)) for count in range(1, MAX_BATCH + 1)]

    def run(self, faces: Pixels) -> Floats:
        """The vectors (n, 128) of up to MAX_BATCH faces (n, 112, 112, 3)."""
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
    images = one_after_another([(SIDE, SIDE, COLOURS)] * MAX_BATCH)
    maps = one_after_another(shapes[:-1], images[-1].end)
    return images, maps, one_after_another([shapes[-1]] * MAX_BATCH, maps[-1].end, border=0)
