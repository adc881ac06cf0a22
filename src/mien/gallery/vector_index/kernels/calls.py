"""The kernels as NumPy's arrays see them; compiled once in a process, at the first call."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.gallery.vector_index.kernels.codec import ENCODE, TABLES
from mien.gallery.vector_index.kernels.lookup import ENTRIES, LANES, lookups
from mien.gallery.vector_index.kernels.products import COSINES
from mien.gallery.vector_index.kernels.scan import GROUPS, ROWS
from mien.gallery.vector_index.kernels.search import SEARCH
from mien.native.compiler import Code, compiled

Codes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Array = NDArray[Any]

KERNELS = (SEARCH, TABLES, COSINES, ENCODE)
_COMPILING = Lock()
_EVEN_THEN_ODD = np.arange(LANES).reshape(2, -1).T.ravel()
"""Even bytes hold the first half of a block's faces, odd ones the second: the scan finds them in order."""


def encode(vectors: Floats, across: Floats, along: Floats) -> Codes:
    """The codes (n, 64) of vectors (n, 128): for each pair of coordinates the nearest of its centroids (64, 16)."""
    codes = np.empty((len(vectors), GROUPS), np.uint8)
    halves = (across * across + along * along) / np.float32(2)
    call("encode", np.ascontiguousarray(vectors, np.float32), len(vectors), across, along, halves, codes)
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
    call("tables", np.ascontiguousarray(probes, np.float32), count, across, along, entries, lows, steps)
    return entries, lows, steps


def cosines(probe: Floats, vectors: Floats) -> Floats:
    """The inner products (n,) of one probe (128,) with vectors (n, 128).

    One order of summation, so that a pair has the same cosine to the last bit wherever it is computed.
    """
    values = np.empty(len(vectors), np.float32)
    probe, vectors = np.ascontiguousarray(probe, np.float32), np.ascontiguousarray(vectors, np.float32)
    call("cosines", vectors, len(vectors), probe, values)
    return values


def call(name: str, *arguments: Array | int) -> Any:
    """Run a kernel; arrays go by their addresses, so their types and shapes must be what it takes."""
    given = [one.ctypes.data if isinstance(one, np.ndarray) else one for one in arguments]
    with _COMPILING:
        code = compiled_here()
    return code.functions[name](*given)


@cache
def compiled_here() -> Code:
    """The kernels for this processor, with the best look-up that it has."""
    return compiled(KERNELS, lookups()[0])
