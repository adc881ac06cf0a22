"""Emit YuNet's kernels other than convolutions: padding, max pooling, upsampling with addition, and the heads."""

from __future__ import annotations

from mien.engine.int8.convolutions import KERNEL_SIDE, depthwise, first, pixels, pointwise
from mien.engine.int8.vnni import FOUR, WIDE, counted_sum, fused, products
from mien.native.jit import F32, I8, I64, POINTER, VOID, Builder, Kernel, Value, lanes, load, loop, place, store

TILE = 8
LINES = 2
"""Numbers of one line."""
HALVES = (0, 1)
CELL = 4 * WIDE
"""Bytes of what a head says of a cell."""


def _border(b: Builder, *arguments: Value) -> None:
    start, row, height, width, channels, zero = arguments
    below = b.mul(b.add(height, I64(1)), row)
    right = b.sub(row, channels)
    with loop(b, I64(0), channels, WIDE) as channel:
        nought = load(b, place(b, zero, I8, channel), lanes(I8, WIDE))
        with loop(b, I64(0), b.add(width, I64(2))) as x:
            for edge in (I64(0), below):
                store(b, nought, place(b, start, I8, b.add(b.add(b.mul(x, channels), channel), edge)))
        with loop(b, I64(1), b.add(height, I64(1))) as y:
            for edge in (I64(0), right):
                store(b, nought, place(b, start, I8, b.add(b.add(b.mul(y, row), channel), edge)))
    b.ret_void()


def _pool(b: Builder, *arguments: Value) -> None:
    source, height, width, channels, target = arguments
    row = b.mul(b.mul(width, I64(2)), channels)
    with loop(b, I64(0), height) as y, loop(b, I64(0), width) as x, loop(b, I64(0), channels, WIDE) as channel:
        corner = b.add(b.mul(b.mul(y, I64(2)), row), b.add(b.mul(b.mul(x, I64(2)), channels), channel))
        above = [place(b, source, I8, b.add(corner, b.mul(channels, I64(right)))) for right in HALVES]
        four = [load(b, place(b, one, I8, b.mul(row, I64(down))), lanes(I8, WIDE)) for one in above for down in HALVES]
        largest, *others = four
        for other in others:
            largest = b.select(b.icmp_unsigned(">", largest, other), largest, other)
        store(b, largest, place(b, target, I8, b.add(b.mul(b.add(b.mul(y, width), x), channels), channel)))
    b.ret_void()


def _sum(b: Builder, *arguments: Value) -> None:
    source, half, height, width, channels, lines, target = arguments
    kind = lanes(F32, WIDE)
    narrow = b.udiv(width, I64(2))
    with loop(b, I64(0), channels, WIDE) as channel:
        factors = [load(b, place(b, lines, F32, b.add(b.mul(channels, I64(line)), channel)), kind) for line in range(3)]
        with loop(b, I64(0), height) as y, loop(b, I64(0), width) as x:
            here = b.add(b.mul(b.add(b.mul(y, width), x), channels), channel)
            there = b.add(b.mul(b.udiv(y, I64(2)), narrow), b.udiv(x, I64(2)))
            there = b.add(b.mul(there, channels), channel)
            both = [load(b, place(b, *where), lanes(I8, WIDE)) for where in ((source, I8, here), (half, I8, there))]
            store(b, counted_sum(b, both, factors), place(b, target, I8, here))
    b.ret_void()


def _mix(b: Builder, *arguments: Value) -> None:
    source, inputs, width, height, weights, lines, target, row = arguments
    kind = lanes(F32, WIDE)
    upper_scale, lower_scale, term = (load(b, lines, kind, number) for number in range(3))
    with loop(b, I64(0), height) as y, loop(b, I64(0), width, TILE) as x:
        along = pixels(b, x, width, TILE)
        rows = [place(b, source, I8, b.mul(inputs, b.add(b.mul(y, width), pixel))) for pixel in along]
        sums = products(b, rows, weights, b.udiv(inputs, I64(FOUR)), 2)
        for pixel, (upper, lower) in zip(along, sums, strict=True):
            value = fused(b, b.sitofp(lower, kind), lower_scale, term)
            value = fused(b, b.sitofp(upper, kind), upper_scale, value)
            store(b, value, place(b, target, I8, b.add(b.mul(y, row), b.mul(pixel, I64(CELL)))))
    b.ret_void()


def _see(b: Builder, *arguments: Value) -> None:
    source, row, width, height, weights, added, target = arguments
    kind = lanes(F32, WIDE)
    term = load(b, added, kind)
    matrix = [load(b, weights, kind, number) for number in range(KERNEL_SIDE * KERNEL_SIDE)]
    with loop(b, I64(0), height) as y, loop(b, I64(0), width) as x:
        start = place(b, source, I8, b.add(b.mul(y, row), b.mul(x, I64(CELL))))
        value = term
        for number, weight in enumerate(matrix):
            down, right = divmod(number, KERNEL_SIDE)
            seen = load(b, place(b, start, I8, b.add(b.mul(row, I64(down)), I64(CELL * right))), kind)
            value = fused(b, seen, weight, value)
        store(b, value, target, b.add(b.mul(y, width), x))
    b.ret_void()


BORDER = Kernel("border", VOID, (POINTER, *[I64] * 4, POINTER), _border)
"""A map with a border, the bytes of a row; height, width, channels; the bytes that are nought."""
POOL = Kernel("pool", VOID, (POINTER, I64, I64, I64, POINTER), _pool)
"""A map; height and width of what comes out, channels; the map that comes out."""
SUM = Kernel("sum", VOID, (POINTER, POINTER, *[I64] * 3, POINTER, POINTER), _sum)
"""A map and one of half its size; height, width, channels; factors and what is added; the map that comes out."""
FIRST = first(2, TILE, 1, LINES)
POINTWISE = {columns: pointwise(TILE, columns, LINES) for columns in (1, 2)}
"""By the width of a panel in sixteens."""
DEPTHWISE = {channels: depthwise(1, channels, LINES) for channels in (16, 32, 64)}
MIX = Kernel("mix", VOID, (POINTER, *[I64] * 3, POINTER, POINTER, POINTER, I64), _mix)
"""The first half of a head: a map, its channels; width and height; upper and lower bytes of its weights, the scales of
both sums and what is added, (3, 16); the first cell on a map of floats and the bytes of one of its rows."""
SEE = Kernel("see", VOID, (POINTER, *[I64] * 3, POINTER, POINTER, POINTER), _see)
"""The second half: that map with its border, the bytes of a row; width and height; weights (9, 16), what is added
(16,); cells (height * width, 16)."""
KERNELS = (BORDER, POOL, SUM, FIRST, *POINTWISE.values(), *DEPTHWISE.values(), MIX, SEE)
