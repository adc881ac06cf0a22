"""Call the kernels with NumPy arrays; they are compiled once in a process, at the first call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock, local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.gallery.vector_index.kernels.codec import ENCODE, TABLES
from mien.gallery.vector_index.kernels.scan import BLOCK_ROWS, ENTRIES, GROUPS, LANES, available_lookups
from mien.gallery.vector_index.kernels.search import CHUNK_FACES, COSINES, RESULT_CAPACITY, SEARCH
from mien.native.jit import Code, compiled

Codes = NDArray[np.uint8]
Int8Vectors = NDArray[np.int8]
Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

KERNELS = (SEARCH, TABLES, COSINES, ENCODE)

_COMPILING = Lock()
_EVEN_THEN_ODD = np.arange(LANES).reshape(2, -1).T.ravel()
"""Even bytes hold the first half of a block's faces, odd ones the second: the scan finds them in order."""

_OF_THREAD = local()


def encode(vectors: Floats, centroid_x: Floats, centroid_y: Floats) -> Codes:
    """Return the codes (n, 64) of vectors (n, 128): for each pair of coordinates its nearest centroid.

    The centroids are given by their coordinates, (64, 16) each.
    """
    codes = np.empty((len(vectors), GROUPS), np.uint8)
    half_norms = (centroid_x * centroid_x + centroid_y * centroid_y) / np.float32(2)
    call("encode", np.ascontiguousarray(vectors, np.float32), len(vectors), centroid_x, centroid_y, half_norms, codes)
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
    call("tables", np.ascontiguousarray(probes, np.float32), count, centroid_x, centroid_y, entries, offsets, scales)
    return entries, offsets, scales


def cosines(probe: Floats, vectors: Floats) -> Floats:
    """Compute the inner products (n,) of one probe (128,) with vectors (n, 128).

    The order of summation is always the same, so that a pair has the same cosine to the last bit in every call.
    """
    values = np.empty(len(vectors), np.float32)
    probe, vectors = np.ascontiguousarray(probe, np.float32), np.ascontiguousarray(vectors, np.float32)
    call("cosines", vectors, len(vectors), probe, values)
    return values


def call(name: str, *arguments: NDArray[Any] | int) -> Any:
    """Run a kernel; arrays go by their addresses, so their dtypes and shapes must be what the kernel expects."""
    words = [argument.ctypes.data if isinstance(argument, np.ndarray) else argument for argument in arguments]
    with _COMPILING:
        code = compiled_kernels()
    return code.functions[name](*words)


@cache
def compiled_kernels() -> Code:
    """Compile the kernels for this processor, with the best look-up instruction that it has."""
    return compiled(KERNELS, available_lookups()[0])


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
        """The first seven words of a segment's descriptor (`search.SegmentView`)."""
        addresses = (array.ctypes.data for array in (self.codes, self.int8_vectors, self.scales, self.rows))
        tombstones = 0 if self.tombstones is None else self.tombstones.ctypes.data
        return len(self.rows), len(self.codes), *addresses, tombstones


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
        """The last three words of a segment's descriptor."""
        return tuple(array.ctypes.data for array in (self.entries, self.min_sums, self.floors))


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
        stopped_early = True
        while stopped_early:
            results.counts[:] = 0
            stopped_early = call(
                "search", self._descriptors, len(self._descriptors), self._taken_blocks, probes, self._probes, *results
            )
            yield results.of(probes)


class _ResultBuffer:
    """Memory for the results of one thread, used again in each search: fresh memory would be mapped and zeroed."""

    def __init__(self, probes: int) -> None:
        self._scratch = np.empty((2, CHUNK_FACES), np.int32)
        self._rows = np.empty((probes, RESULT_CAPACITY), np.int64)
        self._cosines = np.empty((probes, RESULT_CAPACITY), np.float32)
        self.counts = np.zeros(probes, np.int64)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter((self._scratch, self._rows, self._cosines, self.counts))

    def of(self, probes: int) -> list[tuple[Rows, Floats]]:
        counts = enumerate(self.counts[:probes].tolist())
        return [(self._rows[probe, :count].copy(), self._cosines[probe, :count].copy()) for probe, count in counts]


def _result_buffer(probes: int) -> _ResultBuffer:
    """Return this thread's buffer, for at least so many probes."""
    buffer: _ResultBuffer | None = getattr(_OF_THREAD, "buffer", None)
    if buffer is None or len(buffer.counts) < probes:
        buffer = _OF_THREAD.buffer = _ResultBuffer(probes)
    return buffer
