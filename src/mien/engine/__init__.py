"""The recognition path: image bytes in, faces with vectors out; it knows nothing of storage or HTTP."""

from mien.engine.decode import Limits, open_photo
from mien.engine.engine import Face, FaceEngine
from mien.engine.quality import reasons as rejection_reasons
from mien.engine.quality import select as filter_faces

__all__ = ["Face", "FaceEngine", "Limits", "filter_faces", "open_photo", "rejection_reasons"]
