"""List and remove what lies in a folder, however deep, where the standard library calls itself for each level.

Whoever may copy files into a folder may also nest a thousand folders there. Links are never followed.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

LONG_PATH_BYTES = 2048
"""Half of what systems take as a path: beyond, a folder is brought nearer before it is removed."""


def below(folder: Path) -> Iterator[Path]:
    """Yield all that lies below a folder, each folder before what is in it; what cannot be read is passed over."""
    pending = [folder]
    while pending:
        entries: list[os.DirEntry[str]] = []
        with suppress(OSError), os.scandir(pending.pop()) as found:
            entries = list(found)
        for entry in entries:
            yield Path(entry)
            if entry.is_dir(follow_symlinks=False):
                pending.append(Path(entry))


def remove(folder: Path, unlink: Callable[[Path], object] = os.unlink) -> None:
    """Remove a folder with all that is in it.

    Args:
        folder: The folder.
        unlink: Removes an entry that is no folder.

    Raises OSError when something is left, and what `unlink` raises.
    """
    folders = [(folder, folder.lstat().st_ino)]
    for place, inode in folders:
        descriptor = _open(place, inode)
        if descriptor is None:
            continue
        try:
            with os.scandir(descriptor) as found:
                entries = list(found)
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append((_within_reach(place / entry.name, folder, descriptor), entry.inode()))
                else:
                    unlink(place / entry.name)
        finally:
            os.close(descriptor)
    for place, _ in reversed(folders[1:]):
        with suppress(OSError):  # filled again in between
            place.rmdir()
    folder.rmdir()


def _open(place: Path, inode: int) -> int | None:
    """Open a folder that was listed before; None for one that cannot be opened, or that a link has replaced since."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    if os.fstat(descriptor).st_ino == inode:
        return descriptor
    os.close(descriptor)
    return None


def _within_reach(path: Path, top: Path, parent: int) -> Path:
    if len(os.fsencode(path)) <= LONG_PATH_BYTES:
        return path
    near = top / uuid.uuid4().hex
    os.rename(path.name, near, src_dir_fd=parent)
    return near
