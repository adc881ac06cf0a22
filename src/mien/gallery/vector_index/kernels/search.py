"""Segments and probes go in, all faces come out that are like a probe: the whole search in one call.

One call, because a thread that has left the interpreter waits for it longer than it takes to look at 100,000 faces.
Threads that make it at the same time share the work: of each segment they take a part at a time.
"""

from __future__ import annotations

from mien.gallery.vector_index.kernels.lookup import ENTRIES, LANES, Lookup
from mien.gallery.vector_index.kernels.products import narrow
from mien.gallery.vector_index.kernels.scan import GROUPS, Asked, scan
from mien.gallery.vector_index.source import DIMENSIONS
from mien.native.compiler import Kernel
from mien.native.emit import (
    F32,
    I1,
    I8,
    I16,
    I32,
    I64,
    POINTER,
    Builder,
    Value,
    array,
    each_taken,
    load,
    loop,
    place,
    store,
    variable,
)

PART = 128
"""Blocks (half a megabyte) that stay in a core's cache while every probe looks at them, two by two: two probes share
the work of unpacking the codes."""
SCRATCH = PART * LANES
ROOM = 2 * SCRATCH
"""Faces that can be noted for a probe before the notes must be read."""
WORDS = 10


class Held:
    """What a row of the table says of a segment: ten numbers and addresses."""

    def __init__(self, b: Builder, row: Value) -> None:
        words = [load(b, row, I64, number) for number in range(WORDS)]
        self.faces, self.blocks = words[:2]
        self.codes, self.stored, self.steps, self.rows, self.dead, *of_each = (
            b.inttoptr(word, POINTER) for word in words[2:]
        )
        self.entries, self.least, self.floors = of_each
        self._has_dead = b.icmp_unsigned("!=", words[6], I64(0))

    def alive(self, b: Builder, number: Value) -> Value:
        """Whether a face is not known to be deleted."""
        answer = variable(b, I1(1))
        with b.if_then(self._has_dead, likely=False):
            b.store(b.icmp_unsigned("==", load(b, self.dead, I8, number), I8(0)), answer)
        return b.load(answer, typ=I1)


class Notes:
    """The rows found for one probe and their cosines; their count goes on from what it is."""

    def __init__(self, b: Builder, probe: Value, rows: Value, cosines: Value, counts: Value) -> None:
        self._rows = place(b, rows, array(I64, ROOM), probe)
        self._cosines = place(b, cosines, array(F32, ROOM), probe)
        self._count = place(b, counts, I64, probe)

    def note(self, b: Builder, row: Value, cosine: Value, counts: Value) -> None:
        """Note a row, if it counts."""
        count = b.load(self._count, typ=I64)
        store(b, row, self._rows, count)
        store(b, cosine, self._cosines, count)
        b.store(b.add(count, b.zext(counts, I64)), self._count)

    def nearly_full(self, b: Builder) -> Value:
        """Whether another part might find more than there is room for."""
        return b.icmp_signed(">", b.load(self._count, typ=I64), I64(ROOM - SCRATCH))


def _search(b: Builder, lookup: Lookup, *arguments: Value) -> None:
    table, segments, taken, probes, vectors, scratch, *notes = arguments
    paired, full = b.and_(probes, I64(-2)), variable(b, I1(0))
    with loop(b, I64(0), segments) as number:
        held = Held(b, place(b, table, array(I64, WORDS), number))

        def look(*some: Value) -> None:
            asked = [_asked(b, held, scratch, at, probe) for at, probe in enumerate(some)]
            scan(b, lookup, held.codes, held.faces, part, asked)
            for probe, ask in zip(some, asked, strict=True):
                found, floor = Notes(b, probe, *notes), load(b, held.floors, F32, probe)
                vector = place(b, vectors, array(F32, DIMENSIONS), probe)
                narrow(b, held, vector, floor, ask.places, ask.count(b), found)
                b.store(b.or_(b.load(full, typ=I1), found.nearly_full(b)), full)

        with each_taken(b, place(b, taken, I64, number), held.blocks, PART, full) as first:
            end = b.add(first, I64(PART))
            part = (first, b.select(b.icmp_signed("<", end, held.blocks), end, held.blocks))
            with loop(b, I64(0), paired, 2) as probe:
                look(probe, b.add(probe, I64(1)))
            with loop(b, paired, probes) as probe:
                look(probe)
    b.ret(b.zext(b.load(full, typ=I1), I64))


def _asked(b: Builder, held: Held, scratch: Value, at: int, probe: Value) -> Asked:
    table = place(b, held.entries, array(I8, GROUPS * ENTRIES), probe)
    return Asked(b, table, load(b, held.least, I16, probe), place(b, scratch, array(I32, SCRATCH), at))


SEARCH = Kernel("search", I64, (POINTER, I64, POINTER, I64, *[POINTER] * 5), _search)
"""The table of segments and how many; for each how many blocks are taken, by any thread; how many probes and their
vectors; room for the places in a part; the notes. Returns whether it stopped early, to have its notes read."""
