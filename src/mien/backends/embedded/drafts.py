"""Write photos into the bucket's folder: a draft is written aside, then moved to its place in one step.

A draft is locked while its process lives, so that what a killed process left can be told from what is being written.
Its name begins with a hash of the folder that it is for: erasing a person finds their drafts, and no name is told.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mien.backends.embedded import folder_tree
from mien.domain.errors import StorageBusy
from mien.gallery.store import private_files

INCOMING = ".incoming"
MAX_ATTEMPTS = 5
MAX_AGE_SECONDS = 3600.0
"""How old a draft is that nobody writes any more, where the disk has no locks."""

_PERSONS_PARTS = 2


def write(root: Path, key: str, body: bytes) -> None:
    """Store a file completely or not at all.

    Args:
        root: The bucket's folder.
        key: The file's path below it.
        body: Its content.

    Raises OSError when the disk fails, and StorageBusy when the draft is removed again and again.
    """
    target = root / key
    for _ in range(MAX_ATTEMPTS):
        draft = root / INCOMING / f"{_prefix(key)}{uuid.uuid4().hex}"
        try:
            with os.fdopen(private_files.create_file(draft), "wb") as file:
                _lock(file.fileno())
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
                is_moved = _move(root, draft, target)
        finally:
            draft.unlink(missing_ok=True)
        if is_moved:
            sync_folder(target.parent)
            return
    raise StorageBusy("The photo was removed while it was stored; try again.")


def remove_abandoned(root: Path, prefix: str | None = None) -> int:
    """Remove the drafts that nobody writes any more, with `prefix` only those for that folder; return how many."""
    count = 0
    for path in _drafts(root, prefix):
        with suppress(FileNotFoundError):  # its writer has just moved it, or somebody else removes it, too
            mode = path.lstat().st_mode
            if not stat.S_ISDIR(mode) and not (stat.S_ISREG(mode) and _is_written(path)):
                path.unlink()
                count += 1
    return count


def holds(root: Path, prefix: str) -> bool:
    """Whether there is a draft for a folder."""
    return any(True for _ in _drafts(root, prefix))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power failure; one that was removed meanwhile holds none."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drafts(root: Path, prefix: str | None) -> Iterator[Path]:
    start = "" if prefix is None else _prefix(prefix)
    with os.scandir(root / INCOMING) as entries:
        yield from (Path(entry.path) for entry in entries if entry.name.startswith(start))


def _prefix(key: str) -> str:
    """How the drafts of a person's photos begin: the key is one of their photos, or their folder with its slash."""
    folder = "/".join(key.split("/")[:_PERSONS_PARTS])
    return f"{hashlib.sha256(folder.encode()).hexdigest()[:16]}."


def _lock(descriptor: int) -> bool:
    """Lock an open file for as long as it is open; False where the disk has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _is_written(path: Path) -> bool:
    """Whether a living process holds a draft."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor) and time.time() - os.fstat(descriptor).st_mtime < MAX_AGE_SECONDS
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def _move(root: Path, draft: Path, target: Path) -> bool:
    """Move a draft to its place; False when it was removed. Raises NotADirectoryError for a place behind a link."""
    while True:
        private_files.make_folder(target.parent)
        folder = target.parent.relative_to(root)
        if not folder_tree.is_folder(root, folder.as_posix()):
            if any(_is_in_the_way(root / part) for part in (folder, *folder.parents)):
                raise NotADirectoryError("A folder of the photo's path is a link, or a file.")
            continue  # the folder was removed as empty in between
        try:
            draft.replace(target)
        except FileNotFoundError:
            if not draft.exists():
                return False
            continue  # the folder was removed as empty in between
        return True


def _is_in_the_way(place: Path) -> bool:
    """Whether something is there that is no folder."""
    try:
        return not stat.S_ISDIR(place.lstat().st_mode)
    except FileNotFoundError:
        return False
