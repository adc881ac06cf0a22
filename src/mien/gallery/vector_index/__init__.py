"""Search vectors: exactly in small vector sets; by a quantised scan, re-scored exactly, in large ones."""

from mien.gallery.vector_index.index import Hits
from mien.gallery.vector_index.manager import IndexManager
from mien.gallery.vector_index.source import IndexConfig, Rows, Vectors, VectorSource

__all__ = ["Hits", "IndexConfig", "IndexManager", "Rows", "VectorSource", "Vectors"]
