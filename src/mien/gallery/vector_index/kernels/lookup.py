"""Many look-ups in a table of sixteen bytes at once: the one instruction that each processor calls differently."""

from __future__ import annotations

from dataclasses import dataclass

from mien.native.compiler import features
from mien.native.emit import I8, Builder, Value, intrinsic, lanes, pick, same

LANES = 128
ENTRIES = 16


@dataclass(frozen=True, slots=True)
class Lookup:
    """An instruction for `width` look-ups at once, and the feature of a processor that has it; "" needs none."""

    feature: str
    width: int
    intrinsic: str

    def table(self, b: Builder, entries: Value) -> Value:
        """Sixteen bytes as `of` takes them."""
        return pick(b, entries, entries, list(range(ENTRIES)) * (self.width // ENTRIES))

    def of(self, b: Builder, table: Value, numbers: Value) -> Value:
        """The entries (128 bytes) with the numbers (128 bytes, 0..15)."""
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


def lookups() -> list[Lookup]:
    """Those that this processor has, the best first."""
    there = features() | {""}
    return [one for one in LOOKUPS if one.feature in there]


def _by_comparing(b: Builder, table: Value, numbers: Value) -> Value:
    found = same(I8, ENTRIES, 0)
    for number in range(ENTRIES):
        here = b.icmp_unsigned("==", numbers, same(I8, ENTRIES, number))
        found = b.select(here, pick(b, table, table, [number] * ENTRIES), found)
    return found
