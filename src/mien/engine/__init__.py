"""Face recognition on photos: detect faces and embed them. Knows nothing of storage or HTTP."""

from mien.engine.decode import Limits
from mien.engine.engine import Face, FaceEngine

__all__ = ["Face", "FaceEngine", "Limits"]
