"""Search all segments of an index in one call: scan their PQ4 codes, and re-score what remains from int8 vectors.

The scan sums 64 table look-ups for each face, for 128 faces side by side, as in André et al.: Cache locality is not
enough, VLDB 2015. Entries have 5 bits, so that eight of them fit into a byte before they are added in 16 bits.

One call, because a thread that has left the interpreter waits for it longer than a scan of 100,000 faces takes. Threads
that make the call at the same time share the work: each takes one chunk of a segment at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mien.kernels.code import Code
from mien.kernels.expressions import Pointer, Value, Variable
from mien.kernels.signatures import Array, Kernel, Record, Size
from mien.kernels.types import BOOL, F32, S8, S16, S64, U8, U16, U32, U64
from mien.kernels.vectors import DIMENSIONS, ENTRIES, GROUPS, MAX_ENTRY, PART, inner_product, vector_parts

LANES = 128
"""Faces of a block, scanned side by side."""
BLOCK_ROWS = GROUPS // 2
"""A byte holds two codes; a row of a block holds those of its 128 faces."""
CHUNK_BLOCKS = 128
"""Blocks (half a megabyte) that stay in a core's cache while they are scanned for every probe, two probes at a time,
which share the unpacking of the codes."""
CHUNK_FACES = CHUNK_BLOCKS * LANES
RESULT_CAPACITY = 2 * CHUNK_FACES
"""Results of one probe before the call returns to have them read."""

_ROWS_PER_SUM = 255 // MAX_ENTRY // 2
"""Rows whose entries are added in bytes before they are added in 16 bits."""
_PREFETCH_DISTANCE = 12
"""In vectors; candidates are scattered in memory."""
_CACHE_LINE = 64

FACES, BLOCKS, PROBES, SEGMENTS = Size("faces"), Size("blocks"), Size("probes"), Size("segments")

SEGMENT = Record(
    "segment",
    (
        *(FACES, BLOCKS),
        Array("codes", U8, extent=BLOCKS * (BLOCK_ROWS * LANES)),
        Array("int8_vectors", S8, extent=FACES * DIMENSIONS),
        Array("scales", F32, extent=FACES),
        Array("rows", S64, extent=FACES),
        Array("tombstones", BOOL, extent=FACES, optional=True),
    ),
)
"""What a search reads of a segment; see `gallery.vector_index.kernels.SegmentArrays`."""
QUERY = Record(
    "query",
    (
        PROBES,
        Array("entries", U8, extent=PROBES * (GROUPS * ENTRIES)),
        Array("min_sums", S16, extent=PROBES),
        Array("floors", F32, extent=PROBES),
    ),
)
"""What the probes ask of a segment; see `gallery.vector_index.kernels.QueryTables`."""
ROW = Record("segment and query", SEGMENT.parameters + QUERY.parameters)


@dataclass(frozen=True, slots=True)
class _Segment:
    """A row of the table, in a kernel."""

    faces: Value
    blocks: Value
    probes: Value
    codes: Pointer
    int8_vectors: Pointer
    scales: Pointer
    rows: Pointer
    tombstones: Pointer
    entries: Pointer
    min_sums: Pointer
    floors: Pointer
    has_tombstones: Value

    def is_live(self, code: Code, face: Value) -> Value:
        """Test whether a face is not known to be deleted."""
        live = code.variable(code.constant(BOOL, 1))
        with code.when(self.has_tombstones):
            live.value = self.tombstones.view(U8)[face].equals(0)
        return live.value


class _ProbeScan:
    """One probe's look-up table and least sum, and the positions found for it in a chunk of the codes."""

    def __init__(self, code: Code, segment: _Segment, probe: Value, positions: Pointer) -> None:
        self._code, self._faces = code, segment.faces
        self.table, self.positions = segment.entries + probe * (GROUPS * ENTRIES), positions
        self._min_sums = segment.min_sums[probe].splat(LANES // 2)
        self.count = code.variable(code.constant(S64, 0))

    def keep(self, block: Value, halves: Sequence[Value]) -> None:
        """Store the positions of the faces of a block whose sums, in two halves, reach the least sum."""
        for half, sums in enumerate(halves):
            first = block * LANES + half * LANES // 2
            for bit in self._code.set_bits((sums >= self._min_sums).view(U64)):
                face, count = first + bit, self.count.value
                self.positions[count] = face.to(U32)
                self.count.value = count + (face < self._faces).to(S64)


def _scan(code: Code, codes: Pointer, first: Value, end: Value, probes: Sequence[_ProbeScan]) -> None:
    """Scan the blocks of a chunk for one or two probes."""
    for block in code.range(first, end):
        sums = _block_sums(code, codes + block * (BLOCK_ROWS * LANES), probes)
        for probe, halves in zip(probes, sums, strict=True):
            probe.keep(block, [half.value for half in halves])


def _block_sums(code: Code, block: Pointer, probes: Sequence[_ProbeScan]) -> list[list[Variable]]:
    """Return for each probe the sums of the faces of either half of a block: 64 lanes of S16."""
    zero = code.constant(U16, 0, LANES // 2)
    halves = [[code.variable(zero) for _ in range(2)] for _ in probes]
    for row in code.range(0, BLOCK_ROWS, _ROWS_PER_SUM):
        sums = [code.constant(U8, 0, LANES)] * len(probes)
        for further in range(_ROWS_PER_SUM):
            pairs = block.load((row + further) * LANES, LANES)
            for half, numbers in enumerate((pairs & 15, pairs >> 4)):
                group = (row + further) * 2 + half
                for at, probe in enumerate(probes):
                    sums[at] = sums[at] + _look_up(probe.table.load(group * ENTRIES, ENTRIES), numbers)
        for both, of_probe in zip(halves, sums, strict=True):
            words = of_probe.view(U16)
            for sum_of_half, part in zip(both, (words & 255, words >> 8), strict=True):
                sum_of_half.value = sum_of_half.value + part
    return halves


def _look_up(table: Value, numbers: Value) -> Value:
    """Look up the entries with the given numbers, 0 to 15, in a table of sixteen."""
    isa = table.code.isa
    repeated = table.shuffle(list(range(ENTRIES)) * (isa.vector_bytes // ENTRIES))
    parts = [
        isa.look_up(repeated, numbers.shuffle(range(first, first + isa.vector_bytes)))
        for first in range(0, LANES, isa.vector_bytes)
    ]
    while len(parts) > 1:
        joined = range(2 * parts[0].lanes)
        parts = [low.shuffle(joined, high) for low, high in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


class _ResultBuffer:
    """The rows found for one probe, and their cosines."""

    def __init__(self, rows: Pointer, cosines: Pointer, count: Pointer) -> None:
        self._rows, self._cosines, self._count = rows, cosines, count

    def add(self, row: Value, cosine: Value, counts: Value) -> None:
        """Append a row if `counts` holds."""
        count = self._count[0]
        self._rows[count] = row
        self._cosines[count] = cosine
        self._count[0] = count + counts.to(S64)

    def nearly_full(self) -> Value:
        """Test whether another chunk might find more than there is room for."""
        return self._count[0] > RESULT_CAPACITY - CHUNK_FACES


def _rescore(
    code: Code, segment: _Segment, vector: Pointer, floor: Value, found: _ProbeScan, results: _ResultBuffer
) -> None:
    """Append the live faces at the positions found whose int8 cosine with the probe reaches the floor."""
    parts, count = vector_parts(vector), found.count.value
    for number in code.range(count):
        later = number + _PREFETCH_DISTANCE
        ahead = found.positions[code.select(later < count, later, number)].to(S64)
        (segment.int8_vectors + ahead * DIMENSIONS).prefetch(range(0, DIMENSIONS, _CACHE_LINE))
        face = found.positions[number].to(S64)
        int8_vector = segment.int8_vectors + face * DIMENSIONS
        values = [int8_vector.load(first, PART).to(F32) for first in range(0, DIMENSIONS, PART)]
        cosine = inner_product(parts, values) * segment.scales[face]
        results.add(segment.rows[face], cosine, (cosine >= floor) & segment.is_live(code, face))


@dataclass(frozen=True, slots=True)
class _Results:
    """Where the results of all probes are."""

    rows: Pointer
    cosines: Pointer
    counts: Pointer

    def of(self, probe: Value) -> _ResultBuffer:
        first = probe * RESULT_CAPACITY
        return _ResultBuffer(self.rows + first, self.cosines + first, self.counts + probe)


def _search(
    code: Code,
    *,
    segments: Value,
    probes: Value,
    table: Pointer,
    taken_blocks: Pointer,
    vectors: Pointer,
    positions: Pointer,
    rows: Pointer,
    cosines: Pointer,
    counts: Pointer,
) -> Value:
    full = code.variable(code.constant(BOOL, 0))
    results, paired = _Results(rows, cosines, counts), probes - probes % 2
    for number in code.range(segments):
        segment = _segment(code, table + number * len(ROW.parameters))
        for first in _chunks(code, segment.blocks, taken_blocks + number, full):
            for probe in code.range(0, paired, 2):
                _search_chunk(code, segment, first, [probe, probe + 1], vectors, positions, results, full)
            for probe in code.range(paired, probes):
                _search_chunk(code, segment, first, [probe], vectors, positions, results, full)
    return full.value.to(S64)


def _chunks(code: Code, blocks: Value, taken: Pointer, full: Variable) -> Iterator[Value]:
    """Repeat for the first block of each chunk that no other thread has taken, until a buffer is full."""
    first = code.variable(blocks)

    def take() -> Value:
        first.value = blocks
        with code.when(full.value.equals(0)):
            first.value = code.fetch_add(taken, CHUNK_BLOCKS)
        return first.value < blocks

    with code.repeat(take):
        yield first.value


def _search_chunk(
    code: Code,
    segment: _Segment,
    first: Value,
    probes: Sequence[Value],
    vectors: Pointer,
    positions: Pointer,
    results: _Results,
    full: Variable,
) -> None:
    """Search a chunk for one or two probes."""
    scans = [_ProbeScan(code, segment, probe, positions + at * CHUNK_FACES) for at, probe in enumerate(probes)]
    _scan(code, segment.codes, first, (first + CHUNK_BLOCKS).min(segment.blocks), scans)
    for probe, found in zip(probes, scans, strict=True):
        buffer = results.of(probe)
        _rescore(code, segment, vectors + probe * DIMENSIONS, segment.floors[probe], found, buffer)
        full.value = full.value | buffer.nearly_full()


SEARCH = Kernel(
    "search",
    (
        *(SEGMENTS, PROBES),
        Array("table", S64, extent=SEGMENTS * len(ROW.parameters)),
        Array("taken_blocks", S64, extent=SEGMENTS, written=True, alignment=S64.bytes),
        Array("vectors", F32, extent=PROBES * DIMENSIONS),
        Array("positions", U32, extent=Size.number(2 * CHUNK_FACES), written=True),
        Array("rows", S64, extent=PROBES * RESULT_CAPACITY, written=True),
        Array("cosines", F32, extent=PROBES * RESULT_CAPACITY, written=True),
        Array("counts", S64, extent=PROBES, written=True),
    ),
    _search,
)
"""Search the segments of a table of ROW, with blocks taken of each, by any thread; `positions` is scratch memory.

Rows, cosines and counts are the results of each probe. Returns whether it stopped early, to have them read."""


def _segment(code: Code, row: Pointer) -> _Segment:
    place = [one.name for one in ROW.parameters].index("tombstones")
    return _Segment(**ROW.read(code, row), has_tombstones=row[place] > 0)  # type: ignore[arg-type]
