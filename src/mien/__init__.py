"""Recognise faces: on one machine with our own engine, or on AWS with Rekognition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.config import open_app
    from mien.settings import Settings

__all__ = ["Settings", "open_app"]


def __getattr__(name: str) -> Any:
    """Load the configuration at first use: a process that only decodes photos needs none."""
    if name not in __all__:
        raise AttributeError(name)
    import mien.config
    import mien.settings

    return getattr(mien.config if name == "open_app" else mien.settings, name)
