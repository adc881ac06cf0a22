"""The n-th best, and finding rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.gallery.nearest.truth import Rows, Vectors


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
