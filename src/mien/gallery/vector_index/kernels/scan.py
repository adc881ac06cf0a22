"""Codes of 4 bits and tables of their entries go in, the places of all faces whose entries add up to enough come out.

The sum of 64 look-ups for each face, 128 faces side by side, as in André et al.: Cache locality is not enough,
VLDB 2015. A table's entries have 5 bits, so that eight of them fit into a byte before they are added in 16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from mien.gallery.vector_index.kernels.lookup import ENTRIES, LANES, Lookup
from mien.native.emit import (
    I8,
    I16,
    I32,
    I64,
    Builder,
    Value,
    array,
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

GROUPS = 64
"""So many codes has a face."""
MOST = 31
"""The largest entry of a table."""
ROWS = GROUPS // 2
"""A byte holds two codes; a row holds those of the 128 faces of a block."""
BLOCK = ROWS * LANES
_ROWS_AT_ONCE = 255 // MOST // 2
_NEXT = range(0, 1024, 128)
"""These bytes of the next block are asked for early: a block is a page, and processors read ahead only within one."""


class Asked:
    """One probe's table, least sum, and the places found for it in a part of the codes."""

    def __init__(self, b: Builder, table: Value, least: Value, places: Value) -> None:
        self.table, self.places = table, places
        self._cut = spread(b, least, LANES // 2)
        self._count = variable(b, I64(0))

    def keep(self, b: Builder, block: Value, faces: Value, halves: Sequence[Value]) -> None:
        """Note the faces whose sums, those of either half of the block, reach the least; none past the last face."""
        for half, sums in enumerate(halves):
            first = b.add(b.mul(block, I64(LANES)), I64(half * LANES // 2))
            with each_bit(b, b.bitcast(b.icmp_signed(">=", sums, self._cut), I64)) as bit:
                face, count = b.add(first, bit), self.count(b)
                store(b, b.trunc(face, I32), self.places, count)
                b.store(b.add(count, b.zext(b.icmp_signed("<", face, faces), I64)), self._count)

    def count(self, b: Builder) -> Value:
        """How many places were found."""
        return b.load(self._count, typ=I64)


def scan(
    b: Builder, lookup: Lookup, codes: Value, faces: Value, part: tuple[Value, Value], probes: Sequence[Asked]
) -> None:
    """Look for some probes at the blocks of a part, from the first to before the last."""
    with loop(b, *part) as block:
        sums = _sums(b, lookup, place(b, codes, array(I8, BLOCK), block), probes)
        for probe, halves in zip(probes, sums, strict=True):
            probe.keep(b, block, faces, halves)


def _sums(b: Builder, lookup: Lookup, codes: Value, probes: Sequence[Asked]) -> list[list[Value]]:
    """For each probe the sums (64 of 16 bits) of the faces of either half of a block."""
    halves = [[variable(b, same(I16, LANES // 2, 0)) for _ in range(2)] for _ in probes]
    with loop(b, I64(0), I64(ROWS), _ROWS_AT_ONCE) as row:
        added = [same(I8, LANES, 0)] * len(probes)
        for further in range(_ROWS_AT_ONCE):
            here = b.add(row, I64(further))
            both = load(b, codes, lanes(I8, LANES), here)
            numbers = (b.and_(both, same(I8, LANES, 15)), b.lshr(both, same(I8, LANES, 4)))
            for half, some in enumerate(numbers):
                group = b.add(b.mul(here, I64(2)), I64(half))
                for number, probe in enumerate(probes):
                    entries = lookup.table(b, load(b, probe.table, lanes(I8, ENTRIES), group))
                    added[number] = b.add(added[number], lookup.of(b, entries, some))
        for number, sums in enumerate(added):
            pairs = b.bitcast(sums, lanes(I16, LANES // 2))
            parts = (b.and_(pairs, same(I16, LANES // 2, 255)), b.lshr(pairs, same(I16, LANES // 2, 8)))
            for half, part in zip(halves[number], parts, strict=True):
                b.store(b.add(b.load(half, typ=part.type), part), half)
    return [[b.load(half, typ=lanes(I16, LANES // 2)) for half in both] for both in halves]
