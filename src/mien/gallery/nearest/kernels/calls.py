"""The kernels as NumPy's arrays see them; compiled once in a process, at the first call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from threading import Lock, local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.gallery.nearest.kernels.encode import ENCODE
from mien.gallery.nearest.kernels.lookup import ENTRIES, LANES
from mien.gallery.nearest.kernels.machine import Code, compiled, lookups
from mien.gallery.nearest.kernels.products import COSINES, NARROW
from mien.gallery.nearest.kernels.scan import GROUPS, ROOM, ROWS, SCAN
from mien.gallery.nearest.kernels.tables import TABLES

Bytes = NDArray[np.int8]
Codes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Array = NDArray[Any]
Places = NDArray[np.int32]
Taken = NDArray[np.int64]

KERNELS = (TABLES, SCAN, NARROW, COSINES, ENCODE)
_COMPILING = Lock()
_OF_THREAD = local()
_EVEN_THEN_ODD = np.arange(LANES).reshape(2, -1).T.ravel()
"""Even bytes hold the first half of a block's faces, odd ones the second: the scan finds them in order."""


def encode(vectors: Floats, across: Floats, along: Floats) -> Codes:
    """The codes (n, 64) of vectors (n, 128): for each pair of coordinates the nearest of its centroids (64, 16)."""
    codes = np.empty((len(vectors), GROUPS), np.uint8)
    halves = (across * across + along * along) / np.float32(2)
    _call("encode", np.ascontiguousarray(vectors, np.float32), len(vectors), across, along, halves, codes)
    return codes


def packed(codes: Codes) -> Codes:
    """Codes (n, 64) of 0..15 as `scan` takes them: (blocks, 32, 128), the last block filled up with zeros."""
    blocks = -(-len(codes) // LANES)
    whole = np.zeros((blocks * LANES, GROUPS), np.uint8)
    whole[: len(codes)] = codes
    pairs = whole[:, 0::2] | whole[:, 1::2] << 4
    return np.ascontiguousarray(pairs.reshape(blocks, LANES, ROWS)[:, _EVEN_THEN_ODD].transpose(0, 2, 1))


def tables(probes: Floats, across: Floats, along: Floats) -> tuple[Codes, Floats, Floats]:
    """What each centroid adds to the scores of m probes (m, 128): entries (m, 64, 16) of 0..31, lows (m,), steps (m,).

    A score, the inner product with the centroids that codes name, is `low + step * sum of entries`, but for rounding.
    """
    count = len(probes)
    entries, lows, steps = np.empty((count, GROUPS, ENTRIES), np.uint8), *np.empty((2, count), np.float32)
    _call("tables", np.ascontiguousarray(probes, np.float32), count, across, along, entries, lows, steps)
    return entries, lows, steps


class Found:
    """Places (k,) of faces and their cosines (k,), for each of m probes.

    Notes for one thread, used again and again: fresh memory would have to be mapped and zeroed for every search.
    """

    def __init__(self, probes: int) -> None:
        self.places = np.empty((probes, ROOM), np.int32)
        self.cosines = np.empty((probes, ROOM), np.float32)
        self.counts = np.zeros(probes, np.int64)

    def of_each(self) -> list[tuple[Places, Floats]]:
        """For each probe what was found, until the notes are used again."""
        counts = enumerate(self.counts.tolist())
        return [(self.places[probe, :count], self.cosines[probe, :count]) for probe, count in counts]


def scan(codes: Codes, faces: int, taken: Taken, entries: Codes, least: Sequence[int]) -> Found:
    """For each of m probes the places, ascending, of the faces whose entries (m, 64, 16) add up to the least (m,).

    `codes` are `packed`; so many of them are `faces`, the rest fills up the last block. `taken` (1,) counts the blocks
    that were looked at: threads that share it share the work. Ask again until it has reached the number of blocks.
    """
    found = _notes(len(entries))
    _call(
        "scan",
        codes,
        faces,
        len(codes),
        taken,
        len(entries),
        entries,
        np.array(least, np.int16),
        found.places,
        found.counts,
    )
    return found


def narrow(stored: Bytes, steps: Floats, probes: Floats, floors: Sequence[float], found: Found) -> None:
    """Take out of the places found those whose vectors stay below the floors (m,) of the probes (m, 128).

    The vectors (n, 128) are given as bytes and the length (n,) of a byte's step. Notes the cosines of those left.
    """
    vectors, least = np.ascontiguousarray(probes, np.float32), np.array(floors, np.float32)
    _call("narrow", stored, steps, len(vectors), vectors, least, found.places, found.cosines, found.counts)


def cosines(probe: Floats, vectors: Floats) -> Floats:
    """The inner products (n,) of one probe (128,) with vectors (n, 128).

    One order of summation, so that a pair has the same cosine to the last bit wherever it is computed.
    """
    values = np.empty(len(vectors), np.float32)
    probe, vectors = np.ascontiguousarray(probe, np.float32), np.ascontiguousarray(vectors, np.float32)
    _call("cosines", vectors, len(vectors), probe, values)
    return values


def _notes(probes: int) -> Found:
    """This thread's, empty."""
    found: Found | None = getattr(_OF_THREAD, "found", None)
    if found is None or len(found.counts) != probes:
        found = _OF_THREAD.found = Found(probes)
    found.counts[:] = 0
    return found


def _call(name: str, *arguments: Array | int) -> Any:
    given = [one.ctypes.data if isinstance(one, np.ndarray) else one for one in arguments]
    with _COMPILING:
        code = compiled_here()
    return code.functions[name](*given)


@cache
def compiled_here() -> Code:
    """The kernels for this processor, with the best look-up that it has."""
    return compiled(KERNELS, lookups()[0])
