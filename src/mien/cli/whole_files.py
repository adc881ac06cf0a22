"""Make and compare files so that none is lost: a file gets its name only once it is complete, and takes no other's."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mien.cli.photos import real_path

DRAFT = ".mien-sort-draft-"
CHUNK = 1 << 20
MAX_BYTES = 1 << 30
"""More than any photo has, and soon read: a file with a hole takes no space, and may be larger than any disk."""


def copied(source: Path, path: Path) -> Path:
    """Copy a file, with its times and permissions, to a draft beside a path, and return the draft."""
    with draft_of(path) as draft:
        shutil.copyfile(source, draft)
        with suppress(OSError):  # a file system without times or permissions
            shutil.copystat(source, draft)
    return draft


def written(path: Path, content: bytes) -> Path:
    """Write a draft beside a path, and return it."""
    with draft_of(path) as draft:
        draft.write_bytes(content)
    return draft


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Yield a new name beside a path, and sync the file that gets it; on an error, remove that file."""
    draft = path.with_name(DRAFT + uuid.uuid4().hex)
    try:
        yield draft
        sync(draft)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def finish(draft: Path, path: Path) -> None:
    """Give a draft its name. Raises FileExistsError when somebody else has taken that meanwhile."""
    try:
        os.link(draft, path)
    except FileExistsError:
        draft.unlink()
        raise
    except OSError:  # a file system without links
        _take_name(draft, path)
        return
    draft.unlink()


def _take_name(draft: Path, path: Path) -> None:
    """Rename a draft, unless there is a file of that name, which renaming alone would replace."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError:
        draft.unlink()
        raise
    try:
        draft.replace(path)
    except OSError:
        for each in (draft, path):
            each.unlink()
        raise


def link(source: Path, path: Path) -> None:
    """Link a path to a file: a second name where the file system allows it, else a symbolic link."""
    try:
        os.link(real_path(source), path)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES}:
            raise
        path.symlink_to(real_path(source))


def identity(folder: Path) -> tuple[int, int]:
    """Return the disk of a folder and its number there."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
    return sha256.hexdigest()


def holds(path: Path, digest: str) -> bool:
    """Tell whether there is a file with this content; one that is larger than any photo is not read."""
    return path.is_file() and path.stat().st_size <= MAX_BYTES and digest_of(path) == digest


def survives(path: Path, digest: str, other: Path) -> bool:
    """Tell whether a file has the content, and still has it when another is removed: they may be one and the same."""
    if not holds(path, digest) or real_path(path) == real_path(other):
        return False
    return not (path.samefile(other) and path.stat().st_nlink == 1)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power failure."""
    try:
        sync(path)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that writes folders by itself
            raise


def sync(path: Path) -> None:
    """Make the content of a file survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
