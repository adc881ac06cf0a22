"""Vectors and the centroids of each pair of coordinates go in, the number of the nearest of sixteen comes out.

Probes and centroids go in, look-up tables in whole numbers come out.
"""

from __future__ import annotations

from mien.gallery.vector_index.kernels.lookup import ENTRIES, Lookup
from mien.gallery.vector_index.kernels.scan import GROUPS, MOST
from mien.gallery.vector_index.source import DIMENSIONS
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
    same,
    spread,
    store,
    variable,
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


_TINY = 1e-30
"""Instead of a range of zero, as of a probe that is zero."""


def _tables(b: Builder, _: Lookup, *arguments: Value) -> None:
    probes, count, across, along, entries, lows, steps = arguments
    with loop(b, I64(0), count) as number:
        probe = place(b, probes, array(F32, DIMENSIONS), number)
        low, widest = variable(b, F32(0)), variable(b, F32(_TINY))
        with loop(b, I64(0), I64(GROUPS)) as group:
            products = centroid_products(b, probe, across, along, group)
            least, most = _lowest(b, products), highest(b, products)
            b.store(b.fadd(b.load(low, typ=F32), least), low)
            span, wide = b.fsub(most, least), b.load(widest, typ=F32)
            b.store(b.select(b.fcmp_ordered(">", span, wide), span, wide), widest)
        step = b.fdiv(b.load(widest, typ=F32), F32(MOST))
        table = place(b, entries, array(I8, GROUPS * ENTRIES), number)
        with loop(b, I64(0), I64(GROUPS)) as group:
            products = centroid_products(b, probe, across, along, group)
            above = b.fsub(products, spread(b, _lowest(b, products), ENTRIES))
            rounded = b.fadd(b.fdiv(above, spread(b, step, ENTRIES)), same(F32, ENTRIES, 0.5))
            store(b, b.fptoui(rounded, lanes(I8, ENTRIES)), table, group)
        store(b, b.load(low, typ=F32), lows, number)
        store(b, step, steps, number)
    b.ret_void()


def _lowest(b: Builder, values: Value) -> Value:
    return b.fneg(highest(b, b.fneg(values)))


TABLES = Kernel("tables", VOID, (POINTER, I64, POINTER, POINTER, POINTER, POINTER, POINTER), _tables)
"""probes and how many; the two coordinates of the centroids; entries, the sum of what was taken off, their step."""
