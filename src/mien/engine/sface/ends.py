"""The first layer, which looks at pixels, and the last, which makes the vector."""

from __future__ import annotations

from functools import partial

from mien.engine.sface.pointwise import COLUMNS, TILE, lines_of, put
from mien.engine.sface.words import FOUR, WIDE, add_to, fused, products, sums
from mien.native.emit import (
    F32,
    I8,
    I32,
    I64,
    POINTER,
    VOID,
    Builder,
    Value,
    lanes,
    load,
    loop,
    place,
    spread,
    store,
    variable,
)
from mien.native.machine import Kernel

COLOURS = 3
SIDE = 3
STEPS = 3
"""Times four bytes of a row that a pixel looks at: three pixels, and three bytes that weigh nothing."""
OUTPUTS = COLUMNS * WIDE
AT_ONCE = 4
"""Vectors that are made together: the weights, six megabytes, take longer to be read than to be multiplied."""
LAST_COLUMNS = 4
DIMENSIONS = 128


def _first(b: Builder, *arguments: Value) -> None:
    source, row, width, height, weights, lines, target, target_row = arguments
    kind = sums().type
    matrix = [
        [load(b, weights, kind, COLUMNS * step + column) for column in range(COLUMNS)] for step in range(SIDE * STEPS)
    ]
    bent = lines_of(b, lines)
    with loop(b, I64(0), height) as y, loop(b, I64(0), width, TILE) as x:
        start = place(b, source, I8, b.add(b.mul(y, row), b.mul(x, I64(COLOURS))))
        added = [[variable(b, sums()) for _ in range(COLUMNS)] for _ in range(TILE)]
        for step, of_step in enumerate(matrix):
            below, along = divmod(step, STEPS)
            here = place(b, start, I8, b.add(b.mul(row, I64(below)), I64(FOUR * along)))
            for pixel, of_pixel in enumerate(added):
                add_to(b, of_pixel, spread(b, load(b, place(b, here, I8, COLOURS * pixel), I32), WIDE), of_step)
        there = place(b, target, I8, b.add(b.mul(y, target_row), b.mul(x, I64(OUTPUTS))))
        put(b, [[b.load(one, typ=kind) for one in of_pixel] for of_pixel in added], bent, there, I64(OUTPUTS))
    b.ret_void()


def _last(images: int, b: Builder, *arguments: Value) -> None:
    source, inputs, weights, lines, vectors = arguments
    kind, columns = lanes(F32, WIDE), LAST_COLUMNS * WIDE
    with loop(b, I64(0), I64(DIMENSIONS), columns) as first:
        rows = [place(b, source, I8, b.mul(inputs, I64(image))) for image in range(images)]
        panel = place(b, weights, I8, b.mul(first, inputs))
        added = products(b, rows, panel, b.udiv(inputs, I64(FOUR)), LAST_COLUMNS)
        for image, of_image in enumerate(added):
            for column, one in enumerate(of_image):
                at = b.add(first, I64(WIDE * column))
                scale, shift = (load(b, place(b, lines, F32, b.add(at, I64(line))), kind) for line in (0, DIMENSIONS))
                vector = fused(b, b.sitofp(one, kind), scale, shift)
                store(b, vector, place(b, vectors, F32, b.add(at, I64(DIMENSIONS * image))))
    b.ret_void()


FIRST = Kernel("first", VOID, (POINTER, I64, I64, I64, POINTER, POINTER, POINTER, I64), _first)
"""The pixels with a border, the bytes of a row; width and height; weights, lines; the first pixel on the map, the bytes
of one of its rows."""
LAST = {
    images: Kernel(f"last_{images}", VOID, (POINTER, I64, POINTER, POINTER, POINTER), partial(_last, images))
    for images in range(1, AT_ONCE + 1)
}
"""By the number of images: their maps one after another, the bytes of one; weights, lines; vectors (images, 128)."""
