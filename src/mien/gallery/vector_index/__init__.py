"""Vector search: exact for small spaces, a quantised scan with exact verification for large ones."""

from mien.gallery.vector_index.index import Hits
from mien.gallery.vector_index.manager import Indexes
from mien.gallery.vector_index.source import Rows, Tuning, Vectors, VectorSource

__all__ = ["Hits", "Indexes", "Rows", "Tuning", "VectorSource", "Vectors"]
