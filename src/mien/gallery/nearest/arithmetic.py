"""Inner products, finding rows, and keeping FAISS to one thread.

FAISS's plain loop instead of BLAS: no threads to wait for, and one order of summation, so that a pair
has the same cosine to the last bit wherever it is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import faiss
import numpy as np
from numpy.typing import NDArray

from mien.gallery.nearest.truth import Rows, Vectors


def cosines(probe: Vectors, vectors: Vectors) -> Vectors:
    """The inner products (n,) of one probe (128,) with vectors (n, 128), all C-contiguous float32."""
    found = np.empty(len(vectors), np.float32)
    if len(vectors):
        faiss.fvec_inner_products_ny(  # type: ignore[attr-defined]  # the stubs leave the plain loops out
            faiss.swig_ptr(found),
            faiss.swig_ptr(probe),
            faiss.swig_ptr(vectors),
            vectors.shape[1],
            len(vectors),
        )
    return found


def nth_best(values: Vectors, n: int) -> float:
    """The n-th largest value, -inf when there are fewer."""
    return float(np.partition(values, -n)[-n]) if len(values) >= n else -np.inf


def places(rows: Rows, wanted: Rows) -> NDArray[np.intp]:
    """Where those of the wanted rows that are there stand among `rows` (ascending), in the order of `wanted`."""
    found = np.searchsorted(rows, wanted)
    within = found < len(rows)
    found, wanted = found[within], wanted[within]
    there: NDArray[np.intp] = found[rows[found] == wanted]
    return there


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep FAISS to this thread, for as long: its own threads wait for each other, long on a busy machine."""
    threads = faiss.omp_get_max_threads()
    if threads == 1:
        yield
        return
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
