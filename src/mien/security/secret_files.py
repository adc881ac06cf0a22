"""Write and read files that hold keys, so that none is ever half written, lost between two writers, or out of date."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

from mien.domain.errors import SetupError

FILE_MODE, FOLDER_MODE, NO_PERMISSIONS = 0o600, 0o700, 0o777
SETTLED_NANOSECONDS = 2_000_000_000
"""A file that changed less than this ago may change again without a new time: some file systems count in seconds."""

T = TypeVar("T")


def write(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, in one step: afterwards it has all of the content, or is as it was.

    What is written survives a crash once this returns. Raises OSError.
    """
    with _draft(path, content) as draft:
        draft.replace(path)
    _flush_folder(path.parent)


def create(path: Path, content: bytes) -> None:
    """Write a file as `write` does, unless there is one already, which then stays. Raises OSError."""
    with _draft(path, content) as draft:
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links; which error that is differs
            if not path.exists():
                draft.replace(path)
    _flush_folder(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file while it is read and written again; others wait for it. Raises OSError."""
    path.parent.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def check_permissions(path: Path) -> None:
    """Refuse a file of secrets that everybody may change, and take from everybody the permission to read one's own.

    Where that is not possible nothing happens: a file of another owner, such as one that was mounted into a container,
    a file system that is read-only or has no permissions (there everything has the mode 0777).

    Raises:
        SetupError: Everybody may change it.
        OSError: There is no such file.
    """
    status = path.stat()
    if status.st_mode & stat.S_IWOTH and stat.S_IMODE(status.st_mode) & NO_PERMISSIONS != NO_PERMISSIONS:
        raise SetupError(
            f"Everybody may change {path}, so its keys cannot be trusted: make new ones, and chmod 600 it."
        )
    if status.st_mode & stat.S_IROTH and status.st_uid == os.geteuid():
        with suppress(OSError):
            path.chmod(stat.S_IMODE(status.st_mode) & ~stat.S_IRWXO)


def read_json(path: Path) -> Any:
    """Return the JSON of a file of keys, as `check_permissions` allows.

    Raises SetupError, OSError, RecursionError, and ValueError for what is not JSON or names a thing twice: whoever
    edits such a file must not leave in force, further down, what they have just limited.
    """
    check_permissions(path)
    return json.loads(path.read_text("utf-8"), object_pairs_hook=_object)


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a name stands twice in one object")
    return found


class WatchedFile(Generic[T]):
    """The value that a file's content stands for; it is read again when the file changes. Safe to use from threads."""

    def __init__(self, path: Path, parse: Callable[[Path], T], if_missing: T) -> None:
        """Name the file.

        Args:
            path: The file.
            parse: Reads it; what it raises is raised at every use until the file can be read.
            if_missing: The value while there is no file.
        """
        self._path, self._parse, self._if_missing = path, parse, if_missing
        self._value, self._stamp = if_missing, (0, 0, 0, 0)
        self._lock = Lock()

    def __call__(self) -> T:
        """Return the value that the file has now."""
        with self._lock:
            try:
                stamp = _stamp(self._path)
            except FileNotFoundError:
                self._stamp = (0, 0, 0, 0)
                return self._if_missing
            if stamp != self._stamp:
                self._stamp = (0, 0, 0, 0)
                self._value = self._parse(self._path)
                self._stamp = stamp if max(stamp[:2]) < time.time_ns() - SETTLED_NANOSECONDS else (0, 0, 0, 0)
            return self._value


def _stamp(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


@contextmanager
def _draft(path: Path, content: bytes) -> Iterator[Path]:
    path.parent.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
