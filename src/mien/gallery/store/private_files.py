"""Create files and folders that only their owner may read, and restrict those that exist.

Nothing here opens a file that exists: closing a handle of SQLite's files would drop its locks.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mien.gallery.store import deep_folders

FOLDER_MODE, FILE_MODE = 0o700, 0o600
_OTHERS = 0o077
"""The permissions of the group and of everybody."""


def make_folder(folder: Path) -> None:
    """Create a folder, and its parents where they are missing. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(FOLDER_MODE)


def create_file(path: Path) -> int:
    """Create a file and return a descriptor for writing it. Raises OSError: FileExistsError when it exists."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)


def opener(path: str, flags: int) -> int:
    """Open or create a file, as the built-in `open` asks its `opener` to."""
    return os.open(path, flags, FILE_MODE)


def restrict(folder: Path, names: Iterable[str]) -> None:
    """Take others' permissions from a folder, and, when it had any, from these entries with all that they contain.

    A file system or an owner that does not allow it is no error here; `find_open` tells.
    """
    if has_open_permissions(folder) and _restrict(folder):
        for name in names:
            restrict_tree(folder / name)


def restrict_tree(path: Path) -> None:
    """Take others' permissions from a file, or a folder and all that it contains, as far as that is possible."""
    for entry in find_open(path):
        _restrict(entry)


def find_open(path: Path) -> list[Path]:
    """List what others have permissions for: the path, and in a folder all below it. Links are never followed."""
    return [entry for entry in (path, *deep_folders.below(path)) if has_open_permissions(entry)]


def has_open_permissions(path: Path) -> bool:
    """Tell whether others have any permission for a file or folder that is there and no link."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return not stat.S_ISLNK(mode) and bool(mode & _OTHERS)


def _restrict(path: Path) -> bool:
    """Return whether others have no permissions now."""
    with suppress(OSError):
        path.chmod(path.lstat().st_mode & ~_OTHERS & 0o7777)
    return not has_open_permissions(path)
