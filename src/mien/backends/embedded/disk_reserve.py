"""Reserve disk space by a file, so that an erasure can be carried out, and a key revoked, on a full disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from mien.domain.errors import StorageFull
from mien.gallery.store import private_files

T = TypeVar("T")

RESERVED_BYTES = 16 << 20
"""Twice what SQLite's log grows to before it is written into the database."""
_MIN_FREE_BYTES = 128 << 20
"""Less free space than this is not taken for a reserve."""


class DiskReserve:
    """Reserves space in a data folder by the file `path` until it is released."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Reserve the space, when there is plenty, unless it is reserved; no error where that cannot be."""
        with suppress(OSError):
            if not self._path.exists() and shutil.disk_usage(self._path.parent).free >= _MIN_FREE_BYTES:
                self._create()

    def give_room(self, work: Callable[[], T]) -> T:
        """Do some work; on a full disk once more, with the space."""
        try:
            return work()
        except StorageFull:
            if not self.release():
                raise
        return work()

    def release(self) -> bool:
        """Free the space until the next start; False when it is freed already."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def _create(self) -> None:
        descriptor = private_files.create_file(self._path)
        try:
            os.posix_fallocate(descriptor, 0, RESERVED_BYTES)
        finally:
            os.close(descriptor)
