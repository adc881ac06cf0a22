"""Folders nested more deeply than Python calls functions, and than a path may be long."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.gallery.store import deep_folders

LEVELS = 2100


@contextmanager
def nested(top: Path, photo: bytes = b"", *, levels: int = LEVELS) -> Iterator[Path]:
    """Make a folder with `levels` folders in one another and a file in the last; what is left of it is removed."""
    top.mkdir()
    folder = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    with os.fdopen(os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=folder), "wb") as file:
        file.write(photo)
    os.close(folder)
    try:
        yield top
    finally:
        if top.exists():
            deep_folders.remove(top)
