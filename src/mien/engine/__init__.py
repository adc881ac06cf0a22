"""Face recognition on photos: detect faces and embed them. Knows nothing of storage or HTTP.

What is named here is loaded at first use: a process that only decodes photos needs no networks.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.engine.decode import measure
    from mien.engine.engine import Face, FaceEngine, FacePortrait
    from mien.engine.limits import Limits
    from mien.engine.quality import filter_faces, rejection_reasons
    from mien.engine.rendition import render

__all__ = ["Face", "FaceEngine", "FacePortrait", "Limits", "filter_faces", "measure", "rejection_reasons", "render"]

_MODULES = {
    "Face": "engine",
    "FaceEngine": "engine",
    "FacePortrait": "engine",
    "Limits": "limits",
    "filter_faces": "quality",
    "measure": "decode",
    "rejection_reasons": "quality",
    "render": "rendition",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
