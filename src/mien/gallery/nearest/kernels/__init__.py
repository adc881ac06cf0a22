"""The loops that look at every face, compiled for this processor when they are first used.

`calls` is the way in; the rest is how they are made.
"""

from mien.gallery.nearest.kernels.calls import cosines, encode, packed, tables
from mien.gallery.nearest.kernels.lookup import ENTRIES, LANES
from mien.gallery.nearest.kernels.plan import Cut, Held, Plan
from mien.gallery.nearest.kernels.scan import GROUPS, MOST, ROWS

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
