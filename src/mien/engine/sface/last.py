"""Maps go in, vectors come out: the last layer, which weighs every byte."""

from __future__ import annotations

from functools import partial

from mien.engine.octets.words import FOUR, WIDE, fused, products
from mien.native.compiler import Kernel
from mien.native.emit import F32, I8, I64, POINTER, VOID, Builder, Value, lanes, load, loop, place, store

AT_ONCE = 4
"""Vectors that are made together: the weights, six megabytes, take longer to be read than to be multiplied."""
COLUMNS = 4
DIMENSIONS = 128


def _last(images: int, b: Builder, *arguments: Value) -> None:
    source, apart, inputs, weights, lines, vectors = arguments
    kind = lanes(F32, WIDE)
    with loop(b, I64(0), I64(DIMENSIONS), COLUMNS * WIDE) as first:
        rows = [place(b, source, I8, b.mul(apart, I64(image))) for image in range(images)]
        panel = place(b, weights, I8, b.mul(first, inputs))
        for image, of_image in enumerate(products(b, rows, panel, b.udiv(inputs, I64(FOUR)), COLUMNS)):
            for column, one in enumerate(of_image):
                at = b.add(first, I64(WIDE * column))
                scale, shift = (load(b, place(b, lines, F32, b.add(at, I64(line))), kind) for line in (0, DIMENSIONS))
                vector = fused(b, b.sitofp(one, kind), scale, shift)
                store(b, vector, place(b, vectors, F32, b.add(at, I64(DIMENSIONS * image))))
    b.ret_void()


LAST = {
    images: Kernel(f"last_{images}", VOID, (POINTER, I64, I64, POINTER, POINTER, POINTER), partial(_last, images))
    for images in range(1, AT_ONCE + 1)
}
"""By the number of images: the map of the first, how far from each other they lie, the bytes of one; weights, lines;
vectors (images, 128)."""
