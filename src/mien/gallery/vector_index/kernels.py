"""Call the search's kernels with NumPy arrays; they are compiled, or loaded, at the first call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import local
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.kernels.compiler import Library, load
from mien.kernels.instruction_sets import InstructionSet, current
from mien.kernels.search import (
    BLOCK_ROWS,
    CHUNK_FACES,
    LANES,
    QUERY,
    RESULT_CAPACITY,
    SEARCH,
    SEGMENT,
)
from mien.kernels.signatures import Argument, Kernel
from mien.kernels.vectors import COSINES, ENCODE, ENTRIES, GROUPS, LOOKUP_TABLES, MAX_ENTRY

__all__ = [
    "BLOCK_ROWS",
    "ENTRIES",
    "GROUPS",
    "LANES",
    "MAX_ENTRY",
    "QueryTables",
    "ScanRequest",
    "SegmentArrays",
    "cosines",
    "encode",
    "lookup_tables",
    "packed",
]

Codes: TypeAlias = NDArray[np.uint8]
Int8Vectors: TypeAlias = NDArray[np.int8]
Floats: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]

KERNELS = (SEARCH, LOOKUP_TABLES, COSINES, ENCODE)

_EVEN_THEN_ODD = np.arange(LANES).reshape(2, -1).T.ravel()
"""Even bytes hold the first half of a block's faces, odd ones the second: the scan finds them in order."""

_OF_THREAD = local()


def encode(vectors: Floats, centroid_x: Floats, centroid_y: Floats) -> Codes:
    """Return the codes (n, 64) of vectors (n, 128): for each pair of coordinates its nearest centroid.

    The centroids are given by their coordinates, (64, 16) each.
    """
    codes = np.empty((len(vectors), GROUPS), np.uint8)
    call(
        ENCODE,
        count=len(vectors),
        vectors=np.ascontiguousarray(vectors, np.float32),
        centroid_x=centroid_x,
        centroid_y=centroid_y,
        half_norms=(centroid_x * centroid_x + centroid_y * centroid_y) / np.float32(2),
        codes=codes,
    )
    return codes


def packed(codes: Codes) -> Codes:
    """Pack codes (n, 64) of 0 to 15 for the scan: (blocks, 32, 128), the last block padded with zeros."""
    blocks = -(-len(codes) // LANES)
    padded = np.zeros((blocks * LANES, GROUPS), np.uint8)
    padded[: len(codes)] = codes
    pairs = padded[:, 0::2] | padded[:, 1::2] << 4
    return np.ascontiguousarray(pairs.reshape(blocks, LANES, BLOCK_ROWS)[:, _EVEN_THEN_ODD].transpose(0, 2, 1))


def lookup_tables(probes: Floats, centroid_x: Floats, centroid_y: Floats) -> tuple[Codes, Floats, Floats]:
    """Compute what each centroid adds to the scores of m probes (m, 128).

    Returns entries (m, 64, 16) of 0 to 31, offsets (m,) and scales (m,). A score, the inner product of the probe with
    the centroids of a face's codes, is `offset + scale * sum of entries`, but for rounding.
    """
    count = len(probes)
    entries, offsets, scales = np.empty((count, GROUPS, ENTRIES), np.uint8), *np.empty((2, count), np.float32)
    call(
        LOOKUP_TABLES,
        count=count,
        probes=np.ascontiguousarray(probes, np.float32),
        centroid_x=centroid_x,
        centroid_y=centroid_y,
        entries=entries,
        offsets=offsets,
        scales=scales,
    )
    return entries, offsets, scales


def cosines(probe: Floats, vectors: Floats) -> Floats:
    """Compute the inner products (n,) of one probe (128,) with vectors (n, 128).

    The order of summation is always the same, so that a pair has the same cosine to the last bit in every call.
    """
    values = np.empty(len(vectors), np.float32)
    probe, vectors = np.ascontiguousarray(probe, np.float32), np.ascontiguousarray(vectors, np.float32)
    call(COSINES, count=len(vectors), vectors=vectors, probe=probe, target=values)
    return values


def call(kernel: Kernel, **arguments: Argument) -> int:
    """Run a kernel, whose arguments are checked before."""
    return library(current())[kernel.name](*kernel.bind(arguments))


def library(isa: InstructionSet) -> Library:
    """Compile the kernels, or load them."""
    return load("search", KERNELS, isa, unroll=True)


@dataclass(frozen=True, slots=True)
class SegmentArrays:
    """A segment of n faces as the kernels read it; the arrays must not move or be freed meanwhile."""

    codes: Codes
    """(blocks, 32, 128), of `packed`."""
    int8_vectors: Int8Vectors
    """(n, 128)."""
    scales: Floats
    """(n,): of the int8 vectors."""
    rows: Rows
    """(n,): row numbers, ascending."""
    tombstones: NDArray[np.bool_] | None
    """(n,): known to be deleted; None when none is."""

    @property
    def descriptor(self) -> tuple[int, ...]:
        """The first numbers of a segment's row in the search's table."""
        return tuple(
            SEGMENT.bind(
                {
                    "faces": len(self.rows),
                    "blocks": len(self.codes),
                    "codes": self.codes,
                    "int8_vectors": self.int8_vectors,
                    "scales": self.scales,
                    "rows": self.rows,
                    "tombstones": self.tombstones,
                }
            )
        )


@dataclass(frozen=True, slots=True)
class QueryTables:
    """What m probes ask of one segment."""

    entries: Codes
    """(m, 64, 16): look-up tables."""
    min_sums: NDArray[np.int16]
    """(m,): faces whose entries add up to less are skipped."""
    floors: Floats
    """(m,): faces whose int8 vectors have a lower cosine are skipped."""

    @property
    def descriptor(self) -> tuple[int, ...]:
        """The last numbers of a segment's row in the search's table."""
        return tuple(
            QUERY.bind(
                {
                    "probes": len(self.min_sums),
                    "entries": self.entries,
                    "min_sums": self.min_sums,
                    "floors": self.floors,
                }
            )
        )


class ScanRequest:
    """One search in several segments, in which several threads may take part.

    Args:
        probes: (m, 128).
        descriptors: Of each segment, those of its SegmentArrays and of its QueryTables end to end.
        kept: Whatever holds their arrays: these must outlive the last thread that takes part, even if another fails.
    """

    def __init__(self, probes: Floats, descriptors: Sequence[Sequence[int]], kept: object) -> None:
        self._kept = kept
        self._probes = np.ascontiguousarray(probes, np.float32)
        self._descriptors = np.array(descriptors, np.int64)
        self._taken_blocks = np.zeros(len(descriptors), np.int64)

    def run(self) -> Iterator[list[tuple[Rows, Floats]]]:
        """Scan in this thread; yield, possibly several times, for each probe some rows and their int8 cosines.

        Each row that reaches its floor is found by one of the threads.
        """
        probes = len(self._probes)
        results = _result_buffer(probes)
        stopped_early = 1
        while stopped_early:
            results.counts[:] = 0
            stopped_early = call(
                SEARCH,
                segments=len(self._descriptors),
                probes=probes,
                table=self._descriptors,
                taken_blocks=self._taken_blocks,
                vectors=self._probes,
                positions=results.positions,
                rows=results.rows,
                cosines=results.cosines,
                counts=results.counts,
            )
            yield results.of(probes)


class _ResultBuffer:
    """Memory for the results of one thread, used again in each search: fresh memory would be mapped and zeroed."""

    def __init__(self, probes: int) -> None:
        self.positions = np.empty((2, CHUNK_FACES), np.uint32)
        self.rows = np.empty((probes, RESULT_CAPACITY), np.int64)
        self.cosines = np.empty((probes, RESULT_CAPACITY), np.float32)
        self.counts = np.zeros(probes, np.int64)

    def of(self, probes: int) -> list[tuple[Rows, Floats]]:
        counts = enumerate(self.counts[:probes].tolist())
        return [(self.rows[probe, :count].copy(), self.cosines[probe, :count].copy()) for probe, count in counts]


def _result_buffer(probes: int) -> _ResultBuffer:
    """Return this thread's buffer, for at least so many probes."""
    buffer: _ResultBuffer | None = getattr(_OF_THREAD, "buffer", None)
    if buffer is None or len(buffer.counts) < probes:
        buffer = _OF_THREAD.buffer = _ResultBuffer(probes)
    return buffer
