"""Vector search: exact for small vector sets; a quantised scan, re-scored exactly, for large ones."""

from mien.gallery.vector_index.index import Hits
from mien.gallery.vector_index.manager import IndexManager
from mien.gallery.vector_index.source import IndexConfig, Rows, Vectors, VectorSource

__all__ = ["Hits", "IndexConfig", "IndexManager", "Rows", "VectorSource", "Vectors"]
