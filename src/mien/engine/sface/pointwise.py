"""Bytes of many pixels go in, by a matrix of weights, bytes of a map come out: where nine tenths of the time goes.

Seven pixels by 32 channels are summed up in registers; all of SFace's maps are a multiple of seven pixels wide.
"""

from __future__ import annotations

from collections.abc import Sequence

from mien.engine.sface.words import FOUR, WIDE, counted, cut_off, products, words
from mien.native.emit import F32, I8, I64, POINTER, VOID, Builder, Value, lanes, load, loop, place, store
from mien.native.machine import Kernel

Values = Sequence[Value]

TILE = 7
COLUMNS = 2
PANEL = COLUMNS * WIDE
"""Channels that are computed together."""
LINES = 4


def _pointwise(b: Builder, *arguments: Value) -> None:
    source, inputs, width, height, weights, outputs, lines, target, row = arguments
    with loop(b, I64(0), outputs, PANEL) as channel:
        panel = place(b, weights, I8, b.mul(channel, inputs))
        bent = lines_of(b, place(b, lines, F32, b.mul(channel, I64(LINES))))
        with loop(b, I64(0), height) as y, loop(b, I64(0), width, TILE) as x:
            first = b.add(b.mul(y, width), x)
            rows = [place(b, source, I8, b.mul(inputs, b.add(first, I64(pixel)))) for pixel in range(TILE)]
            added = products(b, rows, panel, b.udiv(inputs, I64(FOUR)), COLUMNS)
            start = place(b, target, I8, b.add(b.add(b.mul(y, row), b.mul(x, outputs)), channel))
            put(b, added, bent, start, outputs)
    b.ret_void()


def lines_of(b: Builder, start: Value) -> list[list[Value]]:
    """The two lines of a panel: for each of their four numbers two vectors."""
    kind = lanes(F32, WIDE)
    return [[load(b, start, kind, COLUMNS * line + column) for column in range(COLUMNS)] for line in range(LINES)]


def put(b: Builder, added: Sequence[Values], lines: Sequence[Values], start: Value, pixel: Value) -> None:
    """The bytes of a tile's sums, each pixel's 32 channels so many bytes from the one before."""
    for number, of_pixel in enumerate(added):
        both = [counted(b, one, column) for one, column in zip(of_pixel, zip(*lines, strict=True), strict=True)]
        store(b, cut_off(b, words(b, *both)), place(b, start, I8, b.mul(pixel, I64(number))))


POINTWISE = Kernel("pointwise", VOID, (POINTER, I64, I64, I64, POINTER, I64, POINTER, POINTER, I64), _pointwise)
"""Pixels one after another, their channels, how many lie in a row of the map, rows; weights, channels that come out,
their lines; the first pixel on the map and the bytes of one of its rows."""
