"""Scan PQ4 codes: sum 64 table look-ups for each face and keep the faces whose sums are large enough.

128 faces side by side, as in André et al.: Cache locality is not enough, VLDB 2015. A table's entries have 5 bits, so
that eight of them fit into a byte before they are added in 16 bits. Sixteen-byte look-ups are the one instruction that
each processor calls differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mien.native.jit import (
    I8,
    I16,
    I32,
    I64,
    Builder,
    Value,
    array,
    each_bit,
    features,
    intrinsic,
    lanes,
    load,
    loop,
    pick,
    place,
    same,
    spread,
    store,
    variable,
)

LANES = 128
"""Faces of a block, scanned side by side."""
ENTRIES = 16
"""Entries of a look-up table, one for each centroid."""
GROUPS = 64
"""Codes of a face."""
MAX_ENTRY = 31
"""The largest entry of a table."""
BLOCK_ROWS = GROUPS // 2
"""A byte holds two codes; a row of a block holds those of its 128 faces."""
BLOCK = BLOCK_ROWS * LANES
"""Bytes of a block."""

_ROWS_PER_SUM = 255 // MAX_ENTRY // 2
"""Rows whose entries are added in bytes before they are added in 16 bits."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """An instruction for `width` look-ups, and the processor feature that it needs; "" for none."""

    feature: str
    width: int
    intrinsic: str

    def table(self, b: Builder, entries: Value) -> Value:
        """Repeat a table of sixteen bytes over the width of the instruction."""
        return pick(b, entries, entries, list(range(ENTRIES)) * (self.width // ENTRIES))

    def of(self, b: Builder, table: Value, numbers: Value) -> Value:
        """Look up the entries (128 bytes) with the given numbers (128 bytes, 0 to 15)."""
        parts = [self._some(b, table, numbers, first) for first in range(0, LANES, self.width)]
        while len(parts) > 1:
            joined = range(2 * parts[0].type.count)
            parts = [pick(b, low, high, joined) for low, high in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]

    def _some(self, b: Builder, table: Value, numbers: Value, first: int) -> Value:
        some = pick(b, numbers, numbers, range(first, first + self.width))
        if not self.intrinsic:
            return _by_comparing(b, table, some)
        kind = lanes(I8, self.width)
        return b.call(intrinsic(b, self.intrinsic, kind, [kind, kind]), [table, some])


LOOKUPS = (
    Lookup("avx512bw", 64, "llvm.x86.avx512.pshuf.b.512"),
    Lookup("avx2", 32, "llvm.x86.avx2.pshuf.b"),
    Lookup("ssse3", 16, "llvm.x86.ssse3.pshuf.b.128"),
    Lookup("neon", 16, "llvm.aarch64.neon.tbl1.v16i8"),
    Lookup("", 16, ""),
)
"""The best first."""


def available_lookups() -> list[Lookup]:
    """Return the look-ups that this processor has, the best first."""
    there = features() | {""}
    return [one for one in LOOKUPS if one.feature in there]


def _by_comparing(b: Builder, table: Value, numbers: Value) -> Value:
    found = same(I8, ENTRIES, 0)
    for number in range(ENTRIES):
        here = b.icmp_unsigned("==", numbers, same(I8, ENTRIES, number))
        found = b.select(here, pick(b, table, table, [number] * ENTRIES), found)
    return found


class ProbeScan:
    """One probe's table and least sum, and the positions found for it in a chunk of the codes."""

    def __init__(self, b: Builder, table: Value, min_sum: Value, positions: Value) -> None:
        self.table, self.positions = table, positions
        self._min_sums = spread(b, min_sum, LANES // 2)
        self._count = variable(b, I64(0))

    def keep(self, b: Builder, block: Value, faces: Value, halves: Sequence[Value]) -> None:
        """Store the positions of the faces of a block whose sums, in two halves, reach the least sum."""
        for half, sums in enumerate(halves):
            first = b.add(b.mul(block, I64(LANES)), I64(half * LANES // 2))
            with each_bit(b, b.bitcast(b.icmp_signed(">=", sums, self._min_sums), I64)) as bit:
                face, count = b.add(first, bit), self.count(b)
                store(b, b.trunc(face, I32), self.positions, count)
                b.store(b.add(count, b.zext(b.icmp_signed("<", face, faces), I64)), self._count)

    def count(self, b: Builder) -> Value:
        """Load how many positions were found."""
        return b.load(self._count, typ=I64)


def scan(
    b: Builder, lookup: Lookup, codes: Value, faces: Value, part: tuple[Value, Value], probes: Sequence[ProbeScan]
) -> None:
    """Scan the blocks of a chunk, from the first to before the last, for one or two probes."""
    with loop(b, *part) as block:
        sums = _sums(b, lookup, place(b, codes, array(I8, BLOCK), block), probes)
        for probe, halves in zip(probes, sums, strict=True):
            probe.keep(b, block, faces, halves)


def _sums(b: Builder, lookup: Lookup, codes: Value, probes: Sequence[ProbeScan]) -> list[list[Value]]:
    """Return for each probe the sums of the faces of either half of a block, as vectors of 64 16-bit lanes."""
    halves = [[variable(b, same(I16, LANES // 2, 0)) for _ in range(2)] for _ in probes]
    with loop(b, I64(0), I64(BLOCK_ROWS), _ROWS_PER_SUM) as row:
        added = [same(I8, LANES, 0)] * len(probes)
        for further in range(_ROWS_PER_SUM):
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
