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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
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
    for _ in range(MAX_ATTEMPTS - 1):
        with suppress(StorageBusy), written(root, {key: body}) as move:
            move()
            return
    with written(root, {key: body}) as move:
        move()


@contextmanager
def written(root: Path, bodies: Mapping[str, bytes]) -> Iterator[Callable[[], None]]:
    """Write files aside, by their paths below the root, and return what moves all of them to their places.

    They are flushed to the disk together, which for many takes hardly longer than for one. Drafts that were not moved
    are removed at the end of the block. Moving raises StorageBusy when a draft was removed meanwhile.
    """
    drafts = {key: root / INCOMING / f"{_prefix(key)}{uuid.uuid4().hex}" for key in bodies}
    try:
        with ExitStack() as stack:
            files = {
                key: stack.enter_context(os.fdopen(private_files.create_file(draft), "wb"))
                for key, draft in drafts.items()
            }
            for key, file in files.items():
                _lock(file.fileno())
                file.write(bodies[key])
                file.flush()
            for file in files.values():
                os.fsync(file.fileno())
            yield lambda: _move_all(root, drafts)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _move_all(root: Path, drafts: Mapping[str, Path]) -> None:
    if not all(_move(root, draft, root / key) for key, draft in drafts.items()):
        raise StorageBusy("The photo was removed while it was stored; try again.")
    for folder in {(root / key).parent for key in drafts}:
        sync_folder(folder)


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
    """Tell whether there is a draft for a folder."""
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
