"""Run YuNet in int8: pack its layers, place the feature maps of a canvas size in memory, and order the kernel calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.engine.context import Floats, Pixels
from mien.engine.int8.convolutions import COLOURS
from mien.engine.int8.executor import Call, Kernels, Map, kernels
from mien.engine.int8.quantize import chunks, of_channels, of_neighbours, of_pixels, panels
from mien.engine.int8.vnni import WIDE
from mien.engine.yunet.kernels import BORDER, CELL, DEPTHWISE, FIRST, KERNELS, MIX, POINTWISE, POOL, SEE, SUM
from mien.engine.yunet.quantize import (
    PIXELS,
    Convolution,
    Counted,
    CountedConvolution,
    CountedHead,
    CountedSum,
    Head,
    Layer,
    Pool,
    Sum,
    count,
    ranges,
    read_layers,
)

Array = NDArray[Any]
Maps = dict[str, Map]


@dataclass(frozen=True, slots=True)
class Packed:
    """A layer, and its arrays as the kernels read them."""

    layer: Layer
    arrays: tuple[Array, ...]


def packed(counted: Counted) -> Packed:
    if isinstance(counted, Pool):
        return Packed(counted, ())
    arrays = _arrays(counted)
    return Packed(counted.layer, tuple(np.ascontiguousarray(array) for array in arrays))


def _arrays(counted: CountedConvolution | CountedSum | CountedHead) -> tuple[Array, ...]:
    if isinstance(counted, CountedSum):
        return (counted.lines,)
    if isinstance(counted, CountedHead):
        seeing, added = counted.layer.seeing, counted.layer.mixing.added
        both = np.concatenate([of_channels(some, 1) for some in counted.mixing], axis=2)
        lines = np.stack([256 * counted.scale, counted.scale, added])
        return both, lines, seeing.weights.reshape(WIDE, -1).T, seeing.added, np.zeros(CELL, np.uint8)
    layer, weights, line = counted.layer, counted.weights, counted.line
    if layer.first:  # it was trained with colours the other way round
        return of_pixels(weights[:, ::-1], 1), panels(line, 1), counted.zero
    if layer.depthwise:
        return of_neighbours(weights, _together(layer)), chunks(line, _together(layer)), counted.zero
    return of_channels(weights[:, :, 0, 0], _columns(layer)), panels(line, _columns(layer)), counted.zero


def _together(layer: Convolution) -> int:
    return min(len(layer.weights), max(DEPTHWISE))


def _columns(layer: Convolution) -> int:
    return min(len(layer.weights) // WIDE, max(POINTWISE))


class Program:
    """The network for one thread and one size of canvas: its memory, and the calls that lead through it."""

    def __init__(self, layers: Sequence[Packed], kernels: Kernels, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._layers, self._kernels = layers, kernels
        self._maps = _maps([each.layer for each in layers], height, width)
        self._memory = np.zeros(max(one.end for one in self._maps.values()), np.uint8)
        heads = [self._maps[each.layer.target] for each in layers if isinstance(each.layer, Head)]
        cells = [head.height * head.width for head in heads]
        self._starts = iter(np.cumsum([0, *cells]).tolist())
        self._table = np.empty((sum(cells), WIDE), np.float32)
        self._calls = kernels.table(call for each in layers for call in self._of(each))

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return self._memory.nbytes

    def run(self, canvas: Pixels) -> Floats:
        """The table (cells, 16) of a canvas (height, width, 3), RGB."""
        self._maps[PIXELS].inside(self._memory)[:] = canvas
        self._kernels.follow(self._calls)
        return self._table.copy()

    def _of(self, each: Packed) -> Iterator[Call]:
        layer = each.layer
        arrays = [array.ctypes.data for array in each.arrays]
        before, after = self._maps[layer.sources[0]], self._maps[layer.target]
        if isinstance(layer, Pool):
            yield POOL.name, [self._at(before.start), *after.shape, self._at(after.start)]
        elif isinstance(layer, Sum):
            maps = [self._at(self._maps[name].start) for name in layer.sources]
            yield SUM.name, [*maps, *after.shape, *arrays, self._at(after.start)]
        elif isinstance(layer, Head):
            yield from self._head(before, after, *arrays)
        else:
            yield from self._convolution(layer, before, after, *arrays)

    def _head(self, before: Map, after: Map, *arrays: int) -> Iterator[Call]:
        mixing, lines, seeing, seeing_added, nought = arrays
        size, answer = (after.width, after.height), self._table[next(self._starts) :].ctypes.data
        words = [self._at(before.start), before.channels, *size, mixing, lines]
        yield MIX.name, [*words, self._at(after.first), after.row]
        yield BORDER.name, [self._at(after.start), after.row, *after.shape, nought]
        yield SEE.name, [self._at(after.start), after.row, *size, seeing, seeing_added, answer]

    def _convolution(
        self, layer: Convolution, before: Map, after: Map, weights: int, lines: int, zero: int
    ) -> Iterator[Call]:
        source, constants, target = self._at(before.start), (weights, lines), (self._at(after.first), after.row)
        if layer.first:
            yield FIRST.name, [source, before.row, after.width, after.height, *constants, *target]
        elif layer.depthwise:
            words = [source, before.row, before.channels, after.width, after.height, *constants]
            yield DEPTHWISE[_together(layer)].name, [*words, self._at(after.start)]
        else:
            words = [source, before.channels, after.width, after.height, weights, after.channels, lines]
            yield POINTWISE[_columns(layer)].name, [*words, *target]
            yield BORDER.name, [self._at(after.start), after.row, *after.shape, zero]

    def _at(self, number: int) -> int:
        return self._memory.ctypes.data + number


def _maps(layers: Sequence[Layer], height: int, width: int) -> Maps:
    """Where each map lies: in memory that no other needs at the same time. That of the pixels has its own."""
    until = {name: number for number, layer in enumerate(layers) for name in layer.sources}
    maps = {PIXELS: Map(0, height, width, COLOURS)}
    until[PIXELS] = len(layers)
    for number, layer in enumerate(layers):
        until.setdefault(layer.target, number)
        busy = [one for name, one in maps.items() if until[name] >= number]
        maps[layer.target] = _placed(_map(layer, maps[layer.sources[0]]), busy)
    return maps


def _map(layer: Layer, before: Map) -> Map:
    if isinstance(layer, Head):
        return Map(0, before.height, before.width, CELL)
    halves = isinstance(layer, Pool) or (isinstance(layer, Convolution) and layer.first)
    channels = len(layer.weights) if isinstance(layer, Convolution) else before.channels
    border = isinstance(layer, Convolution) and not layer.first and not layer.depthwise
    return Map(0, before.height >> halves, before.width >> halves, channels, int(border))


def _placed(one: Map, busy: Sequence[Map]) -> Map:
    """The same, in the first gap that is large enough."""
    start = 0
    for other in sorted(busy, key=lambda other: other.start):
        if start + one.end <= other.start:
            break
        start = max(start, other.end)
    return replace(one, start=start)


MAX_KEPT = 16
MAX_KEPT_BYTES = 8 * 1024 * 1024
"""Bytes of the largest program that is kept for the next canvas of its size."""


class YuNet:
    """The detector, thread-safe; no lock is held during inference. It is read and compiled at the first call.

    Args:
        read: returns the ONNX model with fused heads.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._idle: deque[Program] = deque(maxlen=MAX_KEPT)
        self._lock = Lock()

    def __call__(self, canvases: Pixels) -> Floats:
        """Run n canvases (n, height, width, 3), RGB, uint8, sides multiples of 32; returns tables (n, cells, 16)."""
        return np.stack([self._run(canvas) for canvas in canvases])

    def _run(self, canvas: Pixels) -> Floats:
        program = self._taken(*canvas.shape[:2])
        try:
            return program.run(canvas)
        finally:
            if program.size <= MAX_KEPT_BYTES:
                with self._lock:
                    self._idle.append(program)

    def _taken(self, height: int, width: int) -> Program:
        with self._lock:
            ready = self._ready
            for program in self._idle:
                if (program.height, program.width) == (height, width):
                    self._idle.remove(program)
                    return program
        return Program(*ready, height, width)

    @cached_property
    def _ready(self) -> tuple[list[Packed], Kernels]:
        return [packed(layer) for layer in count(read_layers(self._read()), ranges())], kernels(KERNELS)
