"""Run the loops over every face, compiled for this processor when they are first used. Callers use `calls` only."""

from mien.gallery.vector_index.kernels.calls import (
    QueryTables,
    ScanRequest,
    SegmentArrays,
    cosines,
    encode,
    lookup_tables,
    packed,
)
from mien.gallery.vector_index.kernels.scan import BLOCK_ROWS, ENTRIES, GROUPS, LANES, MAX_ENTRY

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
