"""Bytes of many pixels go in, by a matrix of weights, bytes of a map come out: where nine tenths of the time goes.

A tile is several pixels by 16 or 32 channels, whose sums are in registers. Pixels behind the end of a row are the last
one again.
"""

from __future__ import annotations

from functools import partial

from mien.engine.octets.words import FOUR, WIDE, Values, counted, cut_off, products, words
from mien.native.compiler import Kernel
from mien.native.emit import F32, I8, I64, POINTER, VOID, Builder, Value, lanes, load, loop, place, store


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
