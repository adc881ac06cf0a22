"""Encode vectors as PQ4 codes, and compute the look-up tables of probes."""

from __future__ import annotations

from mien.domain.faces import EMBEDDING_DIMENSION
from mien.gallery.vector_index.kernels.scan import ENTRIES, GROUPS, MAX_ENTRY, Lookup
from mien.native.jit import (
    F32,
    I1,
    I8,
    I16,
    I64,
    POINTER,
    VOID,
    Builder,
    Kernel,
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

_MIN_RANGE = 1e-30
"""Instead of zero, the range of a probe that is zero."""


def _encode(b: Builder, _: Lookup, *arguments: Value) -> None:
    vectors, count, centroid_x, centroid_y, halves, codes = arguments
    with loop(b, I64(0), count) as number:
        vector = place(b, vectors, array(F32, EMBEDDING_DIMENSION), number)
        mine = place(b, codes, array(I8, GROUPS), number)
        with loop(b, I64(0), I64(GROUPS)) as group:
            half = load(b, halves, lanes(F32, ENTRIES), group)
            nearness = b.fsub(centroid_products(b, vector, centroid_x, centroid_y, group), half)
            store(b, b.trunc(_argmax(b, nearness), I8), mine, group)
    b.ret_void()


def centroid_products(b: Builder, vector: Value, centroid_x: Value, centroid_y: Value, group: Value) -> Value:
    """Multiply a vector's pair of coordinates with the sixteen centroids of that pair."""
    first = b.mul(group, I64(2))
    x, y = (spread(b, load(b, vector, F32, b.add(first, I64(axis))), ENTRIES) for axis in (0, 1))
    centroids = (load(b, axis, lanes(F32, ENTRIES), group) for axis in (centroid_x, centroid_y))
    return b.fadd(*(b.fmul(own, coordinate) for own, coordinate in zip(centroids, (x, y), strict=True)))


def _argmax(b: Builder, scores: Value) -> Value:
    best = b.fcmp_ordered("==", scores, spread(b, highest(b, scores), ENTRIES))
    return b.cttz(b.bitcast(best, I16), I1(1))


ENCODE = Kernel("encode", VOID, (POINTER, I64, POINTER, POINTER, POINTER, POINTER), _encode)
"""Arguments: vectors and how many; the two coordinates of the centroids and half their squared lengths; codes."""


def _tables(b: Builder, _: Lookup, *arguments: Value) -> None:
    probes, count, centroid_x, centroid_y, entries, offsets, scales = arguments
    with loop(b, I64(0), count) as number:
        probe = place(b, probes, array(F32, EMBEDDING_DIMENSION), number)
        low, widest = variable(b, F32(0)), variable(b, F32(_MIN_RANGE))
        with loop(b, I64(0), I64(GROUPS)) as group:
            products = centroid_products(b, probe, centroid_x, centroid_y, group)
            least, most = _lowest(b, products), highest(b, products)
            b.store(b.fadd(b.load(low, typ=F32), least), low)
            span, wide = b.fsub(most, least), b.load(widest, typ=F32)
            b.store(b.select(b.fcmp_ordered(">", span, wide), span, wide), widest)
        step = b.fdiv(b.load(widest, typ=F32), F32(MAX_ENTRY))
        table = place(b, entries, array(I8, GROUPS * ENTRIES), number)
        with loop(b, I64(0), I64(GROUPS)) as group:
            products = centroid_products(b, probe, centroid_x, centroid_y, group)
            above = b.fsub(products, spread(b, _lowest(b, products), ENTRIES))
            rounded = b.fadd(b.fdiv(above, spread(b, step, ENTRIES)), same(F32, ENTRIES, 0.5))
            store(b, b.fptoui(rounded, lanes(I8, ENTRIES)), table, group)
        store(b, b.load(low, typ=F32), offsets, number)
        store(b, step, scales, number)
    b.ret_void()


def _lowest(b: Builder, values: Value) -> Value:
    return b.fneg(highest(b, b.fneg(values)))


TABLES = Kernel("tables", VOID, (POINTER, I64, POINTER, POINTER, POINTER, POINTER, POINTER), _tables)
"""Arguments: probes and how many; the two coordinates of the centroids; entries, offsets and scales of the tables."""
