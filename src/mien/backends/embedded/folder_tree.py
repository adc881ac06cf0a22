"""Read and clear a folder that others write to, without ever following a link.

Whoever may copy a photo into the folder may also put a link, a named pipe or a device there, by mistake or on purpose.
A link may lead anywhere, and opening a pipe may wait for ever, so every entry is looked at before it is used.
Paths are relative to the folder, with slashes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from mien.domain import image_types, object_keys
from mien.domain.errors import ImageTooLarge, InvalidInput
from mien.domain.image_types import is_ignored
from mien.gallery.store import deep_folders

_EXTENSIONS = frozenset(f".{extension}" for extension in (*image_types.CONTENT_TYPES.values(), "jpeg", "tif"))
_PERSONS_DEPTH = 2  # of uploaded/<folder of the person>


class Kind(StrEnum):
    """What an entry of the folder is, in words for people. Only a photo is an object of the bucket."""

    PHOTO = "photo"
    LINK = "link"
    SPECIAL = "pipe, socket or device"
    FOLDER = "folder named like a photo"
    NAME = "name that cannot be used"
    FOLDER_NAME = "folder with a name that is not Unicode"
    UNREADABLE = "folder that cannot be read"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the folder: its path, and what it is. A name that is not Unicode has surrogates in its path."""

    path: str
    kind: Kind


def walk(root: Path, start: str) -> Iterator[Entry]:
    """List whatever lies below a folder, in any order, except plain folders and what is ignored.

    Args:
        root: The bucket's folder.
        start: A folder below it; nothing is listed when it is missing or lies behind a link.
    """
    pending = [start.strip("/")] if is_folder(root, start) else []
    while pending:
        folder = pending.pop()
        try:
            entries = os.scandir(root / folder)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno not in {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}:
                raise
            yield Entry(folder, Kind.UNREADABLE)
            continue
        with entries:
            for entry in entries:
                path = f"{folder}/{entry.name}"
                if is_ignored(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False) and not _is_named_like_photo(path):
                    if _is_unicode(entry.name):
                        pending.append(path)
                    else:
                        yield Entry(path, Kind.FOLDER_NAME)
                else:
                    yield Entry(path, _kind(path, entry))


def is_folder(root: Path, path: str) -> bool:
    """Tell whether a path names a folder that is reached without a link."""
    place = root
    for part in PurePosixPath(path).parts:
        place = place / part
        with suppress(FileNotFoundError, NotADirectoryError):
            if stat.S_ISDIR(place.lstat().st_mode):
                continue
        return False
    return True


def is_filled(root: Path, path: str) -> bool:
    """Tell whether there is anything in a folder, or something that is no folder in its place."""
    if not is_folder(root, path):
        return os.path.lexists(root / path.rstrip("/"))
    with suppress(FileNotFoundError), os.scandir(root / path) as entries:
        return any(True for _ in entries)
    return False


def is_photo(root: Path, path: str) -> bool:
    """Tell whether a path names a plain file that is reached without a link. Raises OSError where it cannot be told."""
    if not is_folder(root, str(PurePosixPath(path).parent)):
        return False
    with suppress(FileNotFoundError, NotADirectoryError):
        return stat.S_ISREG((root / path).lstat().st_mode)
    return False


def changed_at(root: Path, path: str) -> float | None:
    """Return when a photo got its present content, in seconds since 1970; None when `is_photo` is false."""
    if is_photo(root, path):
        with suppress(FileNotFoundError):
            return (root / path).lstat().st_mtime
    return None


def read(root: Path, path: str, max_bytes: int) -> bytes | None:
    """Return the bytes of a photo; None when `is_photo` is false. Raises ImageTooLarge when it has more of them."""
    if not is_photo(root, path):
        return None
    try:
        descriptor = os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        size = os.fstat(descriptor).st_size
        content = file.read(max_bytes + 1) if size <= max_bytes else b""
    if max(size, len(content)) > max_bytes:
        raise ImageTooLarge(f"The photo has more than {max_bytes:,} bytes.")
    return content


def unlink(root: Path, path: str) -> bool:
    """Remove one entry that is no folder; a link goes, and what it leads to stays. True when it was a photo."""
    if not is_folder(root, str(PurePosixPath(path).parent)):
        return False
    place = root / path
    with suppress(FileNotFoundError):
        mode = place.lstat().st_mode
        if not stat.S_ISDIR(mode):
            place.unlink()
            return stat.S_ISREG(mode)
    return False


def clear(root: Path, path: str) -> int:
    """Remove a folder with whatever is in it, and return how many photos it held; a link in its place is removed."""
    place = root / path.strip("/")
    if not is_folder(root, path):
        unlink(root, path.strip("/"))
        return 0
    photos = 0

    def unlink_and_count(entry: Path) -> None:
        nonlocal photos
        photos += unlink(root, entry.relative_to(root).as_posix())

    try:
        deep_folders.remove(place, unlink_and_count)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:  # filled again in between, or gone
            raise
    return photos


def is_key(path: str) -> bool:
    """Tell whether a path can be the key of a photo."""
    try:
        object_keys.user_id_of(path)
    except InvalidInput:
        return False
    return True


def _kind(path: str, entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return Kind.LINK
    if entry.is_dir(follow_symlinks=False):
        return Kind.FOLDER
    if not entry.is_file(follow_symlinks=False):
        return Kind.SPECIAL
    return Kind.PHOTO if is_key(path) else Kind.NAME


def _is_unicode(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _is_named_like_photo(path: str) -> bool:
    """Below a person's folder; that may be called Ann.jpg."""
    parts = PurePosixPath(path)
    return len(parts.parts) > _PERSONS_DEPTH and parts.suffix.lower() in _EXTENSIONS
