"""The recognition path: image bytes in, faces with vectors out; it knows nothing of storage or HTTP."""

from mien.engine.decode import Limits
from mien.engine.engine import Face, FaceEngine

__all__ = ["Face", "FaceEngine", "Limits"]
