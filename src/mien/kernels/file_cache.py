"""Keep prepared models and machine code between runs, in folders that nobody else can change, and verify each file.

A prepared model decides who is recognised as whom, and machine code is run, so a planted one would be a key. Two checks
hold: the folder, its parents and the file belong to this user or to root and are writable by nobody else, which keeps
other users out; and the file begins with the SHA-256 of its key and content, which finds what a disk, a copy or a crash
damaged. Whoever may write as this user can change the digest too, and the program itself.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import time

from platformdirs import user_cache_path

FOLDER_MODE = 0o700
_DIGEST_BYTES = hashlib.sha256().digest_size
_WRITABLE_BY_GROUP_OR_OTHERS, _WRITABLE_BY_OTHERS = 0o022, 0o002

_PART = ".part"
_ABANDONED_SECONDS = 3600

log = logging.getLogger(__name__)


class FileCache:
    """Files by key in one folder. Open it with `open_user_cache` or `open_cache`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_or_make(self, key: str, make: Callable[[], bytes]) -> bytes:
        """Return the verified content of a key. When there is none, or it is damaged, make it and try to keep it.

        Args:
            key: file name that says all that the content depends on, such as the digest of its source.
            make: returns the content.
        """
        path = self._folder / key
        content = _read_verified(path, key)
        if content is None:
            content = make()
            with suppress(OSError):  # a full or read-only disk: the next run makes it again
                _write_atomically(path, _digest(key, content) + content)
        return content


def open_user_cache(name: str) -> FileCache | None:
    """Open a folder of the user's cache; None for a user without a home folder, and as `open_cache`."""
    try:
        folder = user_cache_path("mien")
    except RuntimeError:  # in a container, users often have a number alone
        return None
    return open_cache(folder / name)


def open_cache(folder: Path) -> FileCache | None:
    """Open a cache folder, and create it when missing; None when it cannot be created or trusted.

    A folder of this user is made accessible to nobody else. One that others own or could have written to is left
    alone, and a warning says so. One that is read-only is read.
    """
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        distrust = _reason_to_distrust(folder)
    except OSError:
        return None
    if distrust is not None:
        log.warning("The cache mien/%s is not used: %s.", folder.name, distrust)
        return None
    with suppress(OSError):  # root's, or on a read-only disk
        folder.chmod(FOLDER_MODE)
    return FileCache(folder)


def _reason_to_distrust(folder: Path) -> str | None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a folder, but a link"
    if not _is_trusted(status):
        return "it belongs to another user"
    if status.st_mode & _WRITABLE_BY_GROUP_OR_OTHERS:
        return "other users may write to it"
    if any(_can_be_replaced_in(parent) for parent in folder.resolve().parents):
        return "other users may write to a folder that it is in"
    return None


def _is_trusted(status: os.stat_result) -> bool:
    return status.st_uid in {0, os.geteuid()}


def _can_be_replaced_in(parent: Path) -> bool:
    """Whether another user could put a folder of theirs in the place of one in `parent`.

    The group of this process is not another user: many systems give each user a group of their own, and let it write.
    """
    status = parent.stat()
    if not _is_trusted(status):
        return True
    if status.st_mode & stat.S_ISVTX:
        return False
    is_own_group = status.st_gid == os.getegid()
    return bool(status.st_mode & (_WRITABLE_BY_OTHERS if is_own_group else _WRITABLE_BY_GROUP_OR_OTHERS))


def _read_verified(path: Path, key: str) -> bytes | None:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            is_file = stat.S_ISREG(status.st_mode)
            if is_file and _is_trusted(status) and not status.st_mode & _WRITABLE_BY_GROUP_OR_OTHERS:
                digest, content = file.read(_DIGEST_BYTES), file.read()
                if digest == _digest(key, content):
                    return content
    except FileNotFoundError:
        return None
    except OSError:  # a link or a folder in its place, a disk that fails
        log.warning("A file in the cache cannot be read; it is made anew.")
        return None
    log.warning("A file in the cache is damaged, or not this user's alone; it is made anew.")
    return None


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file, but neither what a link leads to nor a pipe that nobody writes to."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _digest(key: str, content: bytes) -> bytes:
    digest = hashlib.sha256(f"{key}\n".encode())
    digest.update(content)
    return digest.digest()


def _write_atomically(path: Path, content: bytes) -> None:
    _remove_abandoned(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=_PART)  # mode 0600
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _remove_abandoned(folder: Path) -> None:
    """Remove what processes that were killed, perhaps again and again, had not written to the end."""
    for part in folder.glob(f"*{_PART}"):
        with suppress(OSError):
            if part.lstat().st_mtime < time() - _ABANDONED_SECONDS:
                part.unlink()
