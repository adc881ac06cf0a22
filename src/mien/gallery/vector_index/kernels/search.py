"""Search all segments in one call: scan their codes, and re-score the remaining rows from int8 vectors.

One call, because a thread that has left the interpreter waits for it longer than a scan of 100,000 faces takes. Threads
that make the call at the same time share the work: each takes one chunk of a segment at a time.
"""

from __future__ import annotations

from mien.domain.faces import EMBEDDING_DIMENSION
from mien.gallery.vector_index.kernels.scan import ENTRIES, GROUPS, LANES, Lookup, ProbeScan, scan
from mien.native.jit import (
    F32,
    I1,
    I8,
    I16,
    I32,
    I64,
    POINTER,
    VOID,
    Builder,
    Kernel,
    Value,
    array,
    each_taken,
    lanes,
    load,
    loop,
    place,
    prefetch,
    same,
    store,
    total,
    variable,
)

CHUNK_BLOCKS = 128
"""Blocks (half a megabyte) that stay in a core's cache while they are scanned for every probe, two probes at a time,
which share the unpacking of the codes."""
CHUNK_FACES = CHUNK_BLOCKS * LANES
RESULT_CAPACITY = 2 * CHUNK_FACES
"""Results of one probe before the call returns to have them read."""
DESCRIPTOR_WORDS = 10

_WIDE = 16
_PARTS = EMBEDDING_DIMENSION // _WIDE
_WHOLE = array(F32, EMBEDDING_DIMENSION)
_PREFETCH_DISTANCE = 12
"""In vectors; candidates are scattered in memory."""
_LINE = 64
_BYTES = array(I8, EMBEDDING_DIMENSION)


class SegmentView:
    """A segment's descriptor: how many faces and blocks, then the addresses of eight arrays.

    codes, int8_vectors, scales, rows and tombstones of `calls.SegmentArrays`; entries, min_sums and floors of
    `calls.QueryTables`.
    """

    def __init__(self, b: Builder, row: Value) -> None:
        words = [load(b, row, I64, number) for number in range(DESCRIPTOR_WORDS)]
        self.faces, self.blocks = words[:2]
        self.codes, self.int8_vectors, self.scales, self.rows, self.tombstones, *of_each = (
            b.inttoptr(word, POINTER) for word in words[2:]
        )
        self.entries, self.min_sums, self.floors = of_each
        self._has_tombstones = b.icmp_unsigned("!=", words[6], I64(0))

    def is_live(self, b: Builder, number: Value) -> Value:
        """Test whether a face is not known to be deleted."""
        answer = variable(b, I1(1))
        with b.if_then(self._has_tombstones, likely=False):
            b.store(b.icmp_unsigned("==", load(b, self.tombstones, I8, number), I8(0)), answer)
        return b.load(answer, typ=I1)


class ResultBuffer:
    """The rows found for one probe, and their cosines."""

    def __init__(self, b: Builder, probe: Value, rows: Value, cosines: Value, counts: Value) -> None:
        self._rows = place(b, rows, array(I64, RESULT_CAPACITY), probe)
        self._cosines = place(b, cosines, array(F32, RESULT_CAPACITY), probe)
        self._count = place(b, counts, I64, probe)

    def add(self, b: Builder, row: Value, cosine: Value, counts: Value) -> None:
        """Append a row if `counts` is 1."""
        count = b.load(self._count, typ=I64)
        store(b, row, self._rows, count)
        store(b, cosine, self._cosines, count)
        b.store(b.add(count, b.zext(counts, I64)), self._count)

    def nearly_full(self, b: Builder) -> Value:
        """Test whether another chunk might find more than there is room for."""
        return b.icmp_signed(">", b.load(self._count, typ=I64), I64(RESULT_CAPACITY - CHUNK_FACES))


def rescore(
    b: Builder, segment: SegmentView, probe: Value, floor: Value, positions: Value, count: Value, found: ResultBuffer
) -> None:
    """Append the live faces at some positions whose int8 cosine with the probe reaches the floor."""
    parts = _parts(b, probe)
    with loop(b, I64(0), count) as number:
        later = b.add(number, I64(_PREFETCH_DISTANCE))
        later = b.select(b.icmp_signed("<", later, count), later, number)
        ahead = place(b, segment.int8_vectors, _BYTES, b.zext(load(b, positions, I32, later), I64))
        prefetch(b, ahead, range(0, EMBEDDING_DIMENSION, _LINE))
        here = b.zext(load(b, positions, I32, number), I64)
        cosine = b.fmul(_dot(b, parts, _bytes(b, segment.int8_vectors, here)), load(b, segment.scales, F32, here))
        counts = b.and_(b.fcmp_ordered(">=", cosine, floor), segment.is_live(b, here))
        found.add(b, load(b, segment.rows, I64, here), cosine, counts)


def _bytes(b: Builder, int8_vectors: Value, number: Value) -> list[Value]:
    vector = place(b, int8_vectors, _BYTES, number)
    whole = (load(b, vector, lanes(I8, _WIDE), part) for part in range(_PARTS))
    return [b.sitofp(some, lanes(F32, _WIDE)) for some in whole]


def _cosines(b: Builder, _: Lookup, *arguments: Value) -> None:
    vectors, count, probe, values = arguments
    parts = _parts(b, probe)
    with loop(b, I64(0), count) as number:
        store(b, _dot(b, parts, _parts(b, place(b, vectors, _WHOLE, number))), values, number)
    b.ret_void()


def _parts(b: Builder, vector: Value) -> list[Value]:
    return [load(b, vector, lanes(F32, _WIDE), part) for part in range(_PARTS)]


def _dot(b: Builder, left: list[Value], right: list[Value]) -> Value:
    added = same(F32, _WIDE, 0.0)
    for one, other in zip(left, right, strict=True):
        added = b.fadd(added, b.fmul(one, other))
    return total(b, added)


COSINES = Kernel("cosines", VOID, (POINTER, I64, POINTER, POINTER), _cosines)
"""Arguments: vectors and how many; probe; products."""


def _search(b: Builder, lookup: Lookup, *arguments: Value) -> None:
    table, segments, taken, probes, vectors, scratch, *results = arguments
    paired, full = b.and_(probes, I64(-2)), variable(b, I1(0))
    with loop(b, I64(0), segments) as number:
        segment = SegmentView(b, place(b, table, array(I64, DESCRIPTOR_WORDS), number))

        def look(*some: Value) -> None:
            scans = [_probe_scan(b, segment, scratch, at, probe) for at, probe in enumerate(some)]
            scan(b, lookup, segment.codes, segment.faces, chunk, scans)
            for probe, ask in zip(some, scans, strict=True):
                found, floor = ResultBuffer(b, probe, *results), load(b, segment.floors, F32, probe)
                vector = place(b, vectors, array(F32, EMBEDDING_DIMENSION), probe)
                rescore(b, segment, vector, floor, ask.positions, ask.count(b), found)
                b.store(b.or_(b.load(full, typ=I1), found.nearly_full(b)), full)

        with each_taken(b, place(b, taken, I64, number), segment.blocks, CHUNK_BLOCKS, full) as first:
            end = b.add(first, I64(CHUNK_BLOCKS))
            chunk = (first, b.select(b.icmp_signed("<", end, segment.blocks), end, segment.blocks))
            with loop(b, I64(0), paired, 2) as probe:
                look(probe, b.add(probe, I64(1)))
            with loop(b, paired, probes) as probe:
                look(probe)
    b.ret(b.zext(b.load(full, typ=I1), I64))


def _probe_scan(b: Builder, segment: SegmentView, scratch: Value, at: int, probe: Value) -> ProbeScan:
    table = place(b, segment.entries, array(I8, GROUPS * ENTRIES), probe)
    return ProbeScan(b, table, load(b, segment.min_sums, I16, probe), place(b, scratch, array(I32, CHUNK_FACES), at))


SEARCH = Kernel("search", I64, (POINTER, I64, POINTER, I64, *[POINTER] * 5), _search)
"""Arguments: descriptors and how many; blocks taken of each segment, by any thread; how many probes and their vectors;
scratch memory for the positions in a chunk; rows, cosines and counts of the results. Returns whether it stopped early,
to have its results read."""
