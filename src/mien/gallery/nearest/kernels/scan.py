"""Codes of 4 bits and tables of their scores go in, the places of all faces that reach a score come out.

The sum of 64 look-ups for each face, 128 faces side by side, as in André et al.: Cache locality is not enough,
VLDB 2015. A table's entries have 5 bits, so that eight of them fit into a byte before they are added in 16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from mien.gallery.nearest.kernels.emit import (
    I1,
    I8,
    I16,
    I32,
    I64,
    POINTER,
    VOID,
    Builder,
    Value,
    each_bit,
    each_taken,
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
PART = 128
"""Blocks (half a megabyte) that stay in a core's cache while every probe looks at them."""
ROOM = 2 * PART * LANES
"""Places that a probe can note."""


def _scan(b: Builder, lookup: Lookup, *arguments: Value) -> None:
    codes, faces, blocks, taken, probes, *of_each = arguments
    paired, full = b.and_(probes, I64(-2)), variable(b, I1(0))
    with each_taken(b, taken, blocks, PART, full) as first:
        end = b.add(first, I64(PART))
        part = (first, b.select(b.icmp_signed("<", end, blocks), end, blocks))
        with loop(b, I64(0), paired, 2) as probe:
            asked = [_Probe(b, faces, number, *of_each) for number in (probe, b.add(probe, I64(1)))]
            _look(b, lookup, codes, part, asked, full)
        with loop(b, paired, probes) as probe:
            _look(b, lookup, codes, part, [_Probe(b, faces, probe, *of_each)], full)
    b.ret_void()


class _Probe:
    """One probe's table, least sum and places found, while it looks at a part of the codes."""

    def __init__(self, b: Builder, faces: Value, number: Value, *of_each: Value) -> None:
        tables, least, found, self._counts = of_each
        self.table = place(b, tables, lanes(I8, GROUPS * ENTRIES), number)
        self._cut = spread(b, load(b, least, I16, number), LANES // 2)
        self._faces, self._found, self._number = faces, place(b, found, lanes(I32, ROOM), number), number
        self._count = variable(b, load(b, self._counts, I64, number))

    def keep(self, b: Builder, block: Value, halves: Sequence[Value]) -> None:
        """Note the faces whose sums, those of either half of the block, reach the least."""
        for half, sums in enumerate(halves):
            first = b.add(b.mul(block, I64(LANES)), I64(half * LANES // 2))
            with each_bit(b, b.bitcast(b.icmp_signed(">=", sums, self._cut), I64)) as bit:
                face, count = b.add(first, bit), b.load(self._count, typ=I64)
                store(b, b.trunc(face, I32), self._found, count)
                b.store(b.add(count, b.zext(b.icmp_signed("<", face, self._faces), I64)), self._count)

    def done(self, b: Builder, full: Value) -> None:
        """`full` becomes true when another part might find more than there is room for."""
        count = b.load(self._count, typ=I64)
        store(b, count, self._counts, self._number)
        b.store(b.or_(b.load(full, typ=I1), b.icmp_signed(">", count, I64(ROOM - PART * LANES))), full)


def _look(
    b: Builder, lookup: Lookup, codes: Value, part: tuple[Value, Value], asked: Sequence[_Probe], full: Value
) -> None:
    with loop(b, *part) as block:
        sums = _sums(b, lookup, place(b, codes, lanes(I8, BLOCK), block), asked)
        for probe, halves in zip(asked, sums, strict=True):
            probe.keep(b, block, halves)
    for probe in asked:
        probe.done(b, full)


def _sums(b: Builder, lookup: Lookup, codes: Value, asked: Sequence[_Probe]) -> list[list[Value]]:
    """For each probe the sums (64 of 16 bits) of the faces of either half of a block."""
    halves = [[variable(b, same(I16, LANES // 2, 0)) for _ in range(2)] for _ in asked]
    with loop(b, I64(0), I64(ROWS), _ROWS_AT_ONCE) as row:
        added = [same(I8, LANES, 0)] * len(asked)
        for further in range(_ROWS_AT_ONCE):
            here = b.add(row, I64(further))
            both = load(b, codes, lanes(I8, LANES), here)
            numbers = (b.and_(both, same(I8, LANES, 15)), b.lshr(both, same(I8, LANES, 4)))
            for half, some in enumerate(numbers):
                group = b.add(b.mul(here, I64(2)), I64(half))
                for number, probe in enumerate(asked):
                    entries = lookup.table(b, load(b, probe.table, lanes(I8, ENTRIES), group))
                    added[number] = b.add(added[number], lookup.of(b, entries, some))
        for number, sums in enumerate(added):
            pairs = b.bitcast(sums, lanes(I16, LANES // 2))
            parts = (b.and_(pairs, same(I16, LANES // 2, 255)), b.lshr(pairs, same(I16, LANES // 2, 8)))
            for half, part in zip(halves[number], parts, strict=True):
                b.store(b.add(b.load(half, typ=part.type), part), half)
    return [[b.load(half, typ=lanes(I16, LANES // 2)) for half in both] for both in halves]


SCAN = Kernel("scan", VOID, (POINTER, I64, I64, POINTER, I64, POINTER, POINTER, POINTER, POINTER), _scan)
"""codes, how many faces and blocks, and how many blocks are taken (threads that share it share the work); how many
probes, and of each its table, least sum, places found and their count, which goes on from what it is. It stops early
when there might be no room for more places."""
