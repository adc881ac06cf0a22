"""Name what systems, network drives and programs leave in folders of photos: never a person or a photo."""

from __future__ import annotations

_FOLDERS = frozenset(
    {
        "@eadir",  # Synology
        "@recycle",  # QNAP
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        "$recycle.bin",  # Windows
        "system volume information",
        "__macosx",  # zip files made by macOS
        "lost+found",
    }
)
_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is to be passed over; that is also true of everything hidden."""
    return name.startswith(".") or name.lower() in _FOLDERS or name.lower() in _FILES
