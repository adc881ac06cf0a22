"""Codes of 4 bits and tables of their scores go in, the places of all faces that reach a score come out.

The sum of 64 look-ups for each face, 128 faces side by side, as in André et al.: Cache locality is not enough,
VLDB 2015. A table's entries have 5 bits, so that eight of them fit into a byte before they are added in 16 bits.
"""

from __future__ import annotations

from mien.gallery.nearest.kernels.emit import (
    I8,
    I16,
    I32,
    I64,
    POINTER,
    VOID,
    Builder,
    Value,
    each_bit,
    lanes,
    load,
    loop,
    place,
    same,
    spread,
    store,
    variable,
)
from mien.gallery.nearest.kernels.lookup import ENTRIES, LANES, Lookup
from mien.gallery.nearest.kernels.machine import Kernel

GROUPS = 64
"""So many codes has a face."""
MOST = 31
"""The largest entry of a table."""
ROWS = GROUPS // 2
"""A byte holds two codes; a row holds those of the 128 faces of a block."""
BLOCK = ROWS * LANES
_ROWS_AT_ONCE = 255 // MOST // 2
_PART = 128
"""Blocks (half a megabyte) that stay in a core's cache while every probe looks at them."""


def _scan(b: Builder, lookup: Lookup, *arguments: Value) -> None:
    codes, blocks, tables, least, probes, found, room, counts = arguments
    with loop(b, I64(0), blocks, _PART) as first:
        end = b.add(first, I64(_PART))
        last = b.select(b.icmp_signed("<", end, blocks), end, blocks)
        with loop(b, I64(0), probes) as probe:
            table = place(b, tables, lanes(I8, GROUPS * ENTRIES), probe)
            cut = spread(b, load(b, least, I16, probe), LANES // 2)
            mine = place(b, found, I32, b.mul(probe, room))
            count = variable(b, load(b, counts, I64, probe))
            with loop(b, first, last) as block:
                halves = _reached(b, lookup, place(b, codes, lanes(I8, BLOCK), block), table, cut)
                for half, reached in enumerate(halves):
                    face = b.add(b.mul(block, I64(LANES)), I64(half * LANES // 2))
                    with each_bit(b, reached) as bit:
                        number = b.load(count, typ=I64)
                        store(b, b.trunc(b.add(face, bit), I32), mine, number)
                        b.store(b.add(number, I64(1)), count)
            store(b, b.load(count, typ=I64), counts, probe)
    b.ret_void()


def _reached(b: Builder, lookup: Lookup, codes: Value, table: Value, cut: Value) -> list[Value]:
    """A bit for each face of either half of a block."""
    halves = [same(I16, LANES // 2, 0)] * 2
    for first in range(0, ROWS, _ROWS_AT_ONCE):
        pairs = b.bitcast(_sum(b, lookup, codes, table, first), lanes(I16, LANES // 2))
        parts = (b.and_(pairs, same(I16, LANES // 2, 255)), b.lshr(pairs, same(I16, LANES // 2, 8)))
        halves = [b.add(half, part) for half, part in zip(halves, parts, strict=True)]
    return [b.bitcast(b.icmp_signed(">=", half, cut), I64) for half in halves]


def _sum(b: Builder, lookup: Lookup, codes: Value, table: Value, first: int) -> Value:
    """The sums (128 bytes) of the look-ups of some rows."""
    added = same(I8, LANES, 0)
    for row in range(first, first + _ROWS_AT_ONCE):
        both = load(b, codes, lanes(I8, LANES), row)
        halves = (b.and_(both, same(I8, LANES, 15)), b.lshr(both, same(I8, LANES, 4)))
        for group, numbers in zip((2 * row, 2 * row + 1), halves, strict=True):
            entries = lookup.table(b, load(b, table, lanes(I8, ENTRIES), group))
            added = b.add(added, lookup.of(b, entries, numbers))
    return added


SCAN = Kernel("scan", VOID, (POINTER, I64, POINTER, POINTER, I64, POINTER, I64, POINTER), _scan)
"""codes, how many blocks; tables, least scores and number of the probes; for each probe the places found, the room
for them, and their counts, which go on from what they are."""
