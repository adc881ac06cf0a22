"""Vectors and the centroids of each pair of coordinates go in, the number of the nearest of sixteen comes out."""

from __future__ import annotations

from mien.gallery.nearest.kernels.lookup import ENTRIES, Lookup
from mien.gallery.nearest.kernels.scan import GROUPS
from mien.gallery.nearest.tuning import DIMENSIONS
from mien.native.compiler import Kernel
from mien.native.emit import (
    F32,
    I1,
    I8,
    I16,
    I64,
    POINTER,
    VOID,
    Builder,
    Value,
    array,
    highest,
    lanes,
    load,
    loop,
    place,
    spread,
    store,
)


def _encode(b: Builder, _: Lookup, *arguments: Value) -> None:
    vectors, count, across, along, halves, codes = arguments
    with loop(b, I64(0), count) as number:
        vector = place(b, vectors, array(F32, DIMENSIONS), number)
        mine = place(b, codes, array(I8, GROUPS), number)
        with loop(b, I64(0), I64(GROUPS)) as group:
            half = load(b, halves, lanes(F32, ENTRIES), group)
            nearness = b.fsub(centroid_products(b, vector, across, along, group), half)
            store(b, b.trunc(_first_of_the_highest(b, nearness), I8), mine, group)
    b.ret_void()


def centroid_products(b: Builder, vector: Value, across: Value, along: Value, group: Value) -> Value:
    """The inner products of a vector's pair of coordinates with the sixteen centroids that the pair has."""
    first = b.mul(group, I64(2))
    x, y = (spread(b, load(b, vector, F32, b.add(first, I64(axis))), ENTRIES) for axis in (0, 1))
    return b.fadd(*(b.fmul(load(b, some, lanes(F32, ENTRIES), group), one) for some, one in ((across, x), (along, y))))


def _first_of_the_highest(b: Builder, scores: Value) -> Value:
    best = b.fcmp_ordered("==", scores, spread(b, highest(b, scores), ENTRIES))
    return b.cttz(b.bitcast(best, I16), I1(1))


ENCODE = Kernel("encode", VOID, (POINTER, I64, POINTER, POINTER, POINTER, POINTER), _encode)
"""vectors and how many; the two coordinates of the centroids and half their squared lengths; codes."""
