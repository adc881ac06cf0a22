"""The loops that look at every face, compiled for this processor when they are first used.

`calls` is the way in; the rest is how they are made.
"""

from mien.gallery.vector_index.kernels.calls import cosines, encode, packed, tables
from mien.gallery.vector_index.kernels.lookup import ENTRIES, LANES
from mien.gallery.vector_index.kernels.plan import Cut, Held, Plan
from mien.gallery.vector_index.kernels.scan import GROUPS, MOST, ROWS

__all__ = [
    "ENTRIES",
    "GROUPS",
    "LANES",
    "MOST",
    "ROWS",
    "Cut",
    "Held",
    "Plan",
    "cosines",
    "encode",
    "packed",
    "tables",
]
