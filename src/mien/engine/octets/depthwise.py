"""A map's bytes go in, each channel by three times three weights, the same channels' bytes of many pixels come out.

Four neighbours in a row come into one lane, so that three products and their sum are one instruction. Shifted by a
byte, the lane has the three neighbours of the next pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mien.engine.octets.words import FOUR, Values, add_products, counted, octets, sums, words
from mien.native.compiler import Kernel
from mien.native.emit import (
    F32,
    I8,
    I16,
    I32,
    I64,
    POINTER,
    VOID,
    Builder,
    Value,
    lanes,
    load,
    loop,
    pick,
    place,
    same,
    store,
)

SIDE = 3
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
        kernel = place(b, weights, I8, b.mul(channel, I64(SIDE * FOUR)))
        matrix = [_quarters(b, kernel, I32, channels, y) for y in range(SIDE)]
        chunk = place(b, lines, F32, b.mul(channel, I64(count)))
        with loop(b, I64(0), height) as y, loop(b, I64(0), width, pixels) as x:
            above = b.mul(b.mul(y, I64(stride)), row)
            start = place(b, source, I8, b.add(b.add(above, b.mul(b.mul(x, I64(stride)), inputs)), channel))
            added = _added(b, [place(b, start, I8, b.mul(row, I64(y))) for y in range(SIDE)], inputs, matrix, pixels)
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
