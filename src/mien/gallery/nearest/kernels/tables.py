"""Probes and centroids go in, look-up tables in whole numbers come out."""

from __future__ import annotations

from mien.gallery.nearest.kernels.encode import centroid_products
from mien.gallery.nearest.kernels.lookup import ENTRIES, Lookup
from mien.gallery.nearest.kernels.scan import GROUPS, MOST
from mien.gallery.nearest.tuning import DIMENSIONS
from mien.native.compiler import Kernel
from mien.native.emit import (
    F32,
    I8,
    I64,
    POINTER,
    VOID,
    Builder,
    Value,
    array,
    highest,
    lanes,
    loop,
    place,
    same,
    spread,
    store,
    variable,
)

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
