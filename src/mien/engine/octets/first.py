"""Pixels go in, a map's bytes come out: the first layer, three times three times three colours by weights."""

from __future__ import annotations

from functools import partial

from mien.engine.octets.pointwise import lines_of, pixels, put
from mien.engine.octets.words import FOUR, WIDE, add_to, sums
from mien.native.compiler import Kernel
from mien.native.emit import I8, I32, I64, POINTER, VOID, Builder, Value, load, loop, place, spread, variable

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
