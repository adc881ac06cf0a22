"""Face recognition on photos: detect faces and embed them. Knows nothing of storage or HTTP."""

from mien.engine.decode import Limits, open_photo
from mien.engine.engine import Face, FaceEngine
from mien.engine.quality import filter_faces, rejection_reasons

__all__ = ["Face", "FaceEngine", "Limits", "filter_faces", "open_photo", "rejection_reasons"]
