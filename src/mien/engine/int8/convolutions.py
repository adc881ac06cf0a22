"""Emit convolution kernels: the stem, pointwise and depthwise layers of MobileNets.

Stem: 3x3 convolution of RGB pixels. Pointwise: 1x1 convolution as a tiled GEMM, which takes about 90 % of the inference
time; a tile is several pixels by 16 or 32 channels with its accumulators in registers, and reads the last pixel of a
row again beyond its end. Depthwise: 3x3 convolution per channel; four neighbours of a row come into one lane, so that
one instruction adds three products, and the lane shifted by a byte holds those of the next pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mien.engine.int8.vnni import (
    FOUR,
    WIDE,
    Values,
    add_products,
    add_to,
    counted,
    cut_off,
    octets,
    products,
    sums,
    words,
)
from mien.native.jit import (
    F32,
    I8,
    I16,
    I32,
    I64,
    POINTER,
    VOID,
    Builder,
    Kernel,
    Value,
    lanes,
    load,
    loop,
    pick,
    place,
    same,
    spread,
    store,
    variable,
)

COLOURS = 3
SIDE = 3
STEPS = 3
"""Times four bytes of a row that a pixel looks at: three pixels, and three bytes that weigh nothing."""


def first(stride: int, tile: int, columns: int, lines: int) -> Kernel:
    """As `pointwise`, at a stride.

    The kernel takes pixels with a border, the bytes of a row; width and height of the map; weights, lines; the first
    pixel on the map and the bytes of one of its rows.
    """
    takes = (POINTER, I64, I64, I64, POINTER, POINTER, POINTER, I64)
    return Kernel(f"first_{stride}_{columns}", VOID, takes, partial(_first, stride, tile, columns, lines))


def _first(stride: int, tile: int, columns: int, count: int, b: Builder, *arguments: Value) -> None:
    source, row, width, height, weights, lines, target, target_row = arguments
    kind = sums().type
    bent = lines_of(b, lines, count, columns)
    with loop(b, I64(0), height) as y, loop(b, I64(0), width, tile) as x:
        start = place(b, source, I8, b.mul(b.mul(y, I64(stride)), row))
        drawn = b.mul(y, target_row)
        along = pixels(b, x, width, tile)
        added = [[variable(b, sums()) for _ in range(columns)] for _ in along]
        with loop(b, I64(0), I64(SIDE * STEPS)) as step:
            below, across = b.udiv(step, I64(STEPS)), b.urem(step, I64(STEPS))
            here = place(b, start, I8, b.add(b.mul(row, below), b.mul(across, I64(FOUR))))
            of_step = [
                load(b, weights, kind, b.add(b.mul(step, I64(columns)), I64(column))) for column in range(columns)
            ]
            for pixel, of_pixel in zip(along, added, strict=True):
                seen = load(b, place(b, here, I8, b.mul(pixel, I64(COLOURS * stride))), I32)
                add_to(b, of_pixel, spread(b, seen, WIDE), of_step)
        places = [place(b, target, I8, b.add(drawn, b.mul(pixel, I64(columns * WIDE)))) for pixel in along]
        put(b, [[b.load(one, typ=kind) for one in of_pixel] for of_pixel in added], bent, places)
    b.ret_void()


def pointwise(tile: int, columns: int, lines: int) -> Kernel:
    """For tiles of so many pixels and `columns` * 16 channels, 1 or 2, with so many numbers for each channel's lines.

    The kernel takes pixels one after another, their channels, how many lie in a row of the map, rows; weights, the
    channels that come out, lines; the first pixel on the map and the bytes of one of its rows.
    """
    takes = (POINTER, I64, I64, I64, POINTER, I64, POINTER, POINTER, I64)
    return Kernel(f"pointwise_{tile}_{columns}_{lines}", VOID, takes, partial(_pointwise, tile, columns, lines))


def _pointwise(tile: int, columns: int, count: int, b: Builder, *arguments: Value) -> None:
    source, inputs, width, height, weights, outputs, lines, target, row = arguments
    with loop(b, I64(0), outputs, columns * WIDE) as channel:
        panel = place(b, weights, I8, b.mul(channel, inputs))
        bent = lines_of(b, place(b, lines, F32, b.mul(channel, I64(count))), count, columns)
        with loop(b, I64(0), height) as y, loop(b, I64(0), width, tile) as x:
            seen, drawn = b.mul(y, width), b.add(b.mul(y, row), channel)
            along = pixels(b, x, width, tile)
            rows = [place(b, source, I8, b.mul(inputs, b.add(seen, pixel))) for pixel in along]
            added = products(b, rows, panel, b.udiv(inputs, I64(FOUR)), columns)
            put(b, added, bent, [place(b, target, I8, b.add(drawn, b.mul(pixel, outputs))) for pixel in along])
    b.ret_void()


def pixels(b: Builder, first: Value, width: Value, tile: int) -> list[Value]:
    """The numbers of a tile's pixels in their row."""
    last = b.sub(width, I64(1))
    each = [b.add(first, I64(pixel)) for pixel in range(tile)]
    return [b.select(b.icmp_signed("<", pixel, last), pixel, last) for pixel in each]


def lines_of(b: Builder, start: Value, lines: int, columns: int) -> list[list[Value]]:
    """The lines of a panel: for each number some vectors."""
    kind = lanes(F32, WIDE)
    return [[load(b, start, kind, columns * line + column) for column in range(columns)] for line in range(lines)]


def put(b: Builder, added: list[list[Value]], lines: list[list[Value]], places: Values) -> None:
    """The bytes of each pixel's sums at its place."""
    for of_pixel, where in zip(added, places, strict=True):
        each = [counted(b, one, column) for one, column in zip(of_pixel, zip(*lines, strict=True), strict=True)]
        store(b, cut_off(b, words(b, *each) if len(each) > 1 else each[0]), where)


KERNEL_SIDE = 3
QUARTERS = 4
"""Vectors of sums for a vector of bytes."""
_PART = 16
"""Bytes that x86's instructions keep together."""


def depthwise(stride: int, channels: int, lines: int) -> Kernel:
    """For so many channels at once, 16, 32 or 64, with so many numbers for each channel's lines.

    The kernel takes the map, one pixel above and left of the first, the bytes of a row, channels; width and height of
    what comes out; weights, lines; room for what comes out, and for one pixel more.
    """
    takes = (POINTER, I64, I64, I64, I64, POINTER, POINTER, POINTER)
    return Kernel(f"depthwise_{stride}_{channels}_{lines}", VOID, takes, partial(_depthwise, stride, channels, lines))


def _depthwise(stride: int, channels: int, count: int, b: Builder, *arguments: Value) -> None:
    source, row, inputs, width, height, weights, lines, target = arguments
    pixels = 2 if stride == 1 else 1
    with loop(b, I64(0), inputs, channels) as channel:
        kernel = place(b, weights, I8, b.mul(channel, I64(KERNEL_SIDE * FOUR)))
        matrix = [_quarters(b, kernel, I32, channels, y) for y in range(KERNEL_SIDE)]
        chunk = place(b, lines, F32, b.mul(channel, I64(count)))
        with loop(b, I64(0), height) as y, loop(b, I64(0), width, pixels) as x:
            above = b.mul(b.mul(y, I64(stride)), row)
            start = place(b, source, I8, b.add(b.add(above, b.mul(b.mul(x, I64(stride)), inputs)), channel))
            added = _added(
                b, [place(b, start, I8, b.mul(row, I64(y))) for y in range(KERNEL_SIDE)], inputs, matrix, pixels
            )
            bent = list(zip(*(_quarters(b, chunk, F32, channels, line) for line in range(count)), strict=True))
            for number, of_pixel in enumerate(added):
                pixel = b.add(b.add(b.mul(y, width), x), I64(number))
                _put(b, of_pixel, bent, place(b, target, I8, b.add(b.mul(pixel, inputs), channel)))
    b.ret_void()


def _quarters(b: Builder, start: Value, kind: Value, channels: int, number: int) -> list[Value]:
    return [load(b, start, lanes(kind, channels // QUARTERS), QUARTERS * number + part) for part in range(QUARTERS)]


def _added(b: Builder, rows: Values, pixel: Value, matrix: Sequence[Values], pixels: int) -> list[list[Value]]:
    """The sums of one pixel, or of two that are neighbours."""
    count = matrix[0][0].type.count
    added = [[sums(count)] * QUARTERS for _ in range(pixels)]
    for row, weights in zip(rows, matrix, strict=True):
        near = [load(b, place(b, row, I8, b.mul(pixel, I64(x))), lanes(I8, FOUR * count)) for x in range(pixels + 2)]
        fours = _interleaved(b, [*near, near[-1]][:FOUR])
        for number, of_pixel in enumerate(added):
            shifted = [b.lshr(four, same(I32, count, 8)) for four in fours] if number else fours
            added[number] = [add_products(b, *term) for term in zip(of_pixel, shifted, weights, strict=True)]
    return added


def _interleaved(b: Builder, pixels: Sequence[Value]) -> list[Value]:
    """Four pixels' channels in, four vectors out: one lane has one channel of all pixels.

    In each 128 bits the first vector has the first four of sixteen channels, the second the next four, and so on.
    """
    one, two, three, four = pixels
    pairs = [(_zipped(b, one, two, half), _zipped(b, three, four, half)) for half in (0, 1)]
    whole = [_zipped(b, _wider(b, left), _wider(b, right), half) for left, right in pairs for half in (0, 1)]
    return [_wider(b, some) for some in whole]


def _wider(b: Builder, vector: Value) -> Value:
    """The same bits in half as many elements."""
    kind = {8: I16, 16: I32}[vector.type.element.width]
    return b.bitcast(vector, lanes(kind, vector.type.count // 2))


def _zipped(b: Builder, left: Value, right: Value, half: int) -> Value:
    """By turns elements of two vectors, from the lower or upper half of each 128 bits."""
    count, width = left.type.count, left.type.element.width
    per_part = _PART * 8 // width
    numbers = (part + half * per_part // 2 + n for part in range(0, count, per_part) for n in range(per_part // 2))
    return pick(b, left, right, [place for number in numbers for place in (number, count + number)])


def _put(b: Builder, added: Values, lines: Sequence[Values], where: Value) -> None:
    first, second, third, fourth = (counted(b, one, line) for one, line in zip(added, lines, strict=True))
    store(b, octets(b, words(b, first, second), words(b, third, fourth)), where)
