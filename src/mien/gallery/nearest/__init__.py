"""Vector search: exact for small spaces, a quantised scan with exact verification for large ones."""

from mien.gallery.nearest.indexes import Indexes
from mien.gallery.nearest.space import Hits
from mien.gallery.nearest.truth import Rows, Truth, Vectors
from mien.gallery.nearest.tuning import Tuning

__all__ = ["Hits", "Indexes", "Rows", "Truth", "Tuning", "Vectors"]
