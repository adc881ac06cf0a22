"""Reserve disk space by a file, so that an erasure can be carried out, and a key revoked, on a full disk."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from mien.gallery.store import private_files

RESERVED_BYTES = 16 << 20
"""Twice what SQLite's log grows to before it is written into the database."""
_MIN_FREE_BYTES = 128 << 20
"""Less free space than this is not taken for a reserve."""


class DiskReserve:
    """Reserves space in a data folder, when there is plenty, until it is released."""

    def __init__(self, path: Path) -> None:
        """Create the file `path` where it is missing; no error where that cannot be."""
        self._path = path
        with suppress(OSError):
            if not path.exists() and shutil.disk_usage(path.parent).free >= _MIN_FREE_BYTES:
                self._create()

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
