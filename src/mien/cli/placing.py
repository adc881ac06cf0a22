"""Put files into folders without losing any: copy, link or move them, and undo that from a journal.

A file gets its name only once it is complete, and never takes the place of another. What is about to be made is written
into the journal first, so that whatever interrupts the work, the same command continues it and `undo` finds all of it.
A photo that is moved leaves its place last.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path

from mien.domain.errors import InvalidInput, StorageError, StorageFull

JOURNAL = ".mien-sort.jsonl"
DRAFT = ".mien-sort-draft-"
CHUNK = 1 << 20


class Placing(StrEnum):
    """How a photo comes into a person's folder."""

    COPY = "copy"
    LINK = "link"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal: a file that was made, from which file, with which content."""

    made: str
    source: str | None
    digest: str
    moved: bool = False


@dataclass(frozen=True, slots=True)
class Undone:
    """How many files `undo` removed and put back, and which it left because they were changed."""

    removed: int
    restored: int
    kept: tuple[str, ...]


class Folder:
    """A folder into which photos are sorted."""

    def __init__(self, root: Path) -> None:
        """`root` need not exist yet."""
        self._root = root
        self._made = {entry.made for entry in self._entries()} if (root / JOURNAL).exists() else set()

    def place(self, source: Path, folders: Sequence[str], placing: Placing) -> tuple[list[Path], bool]:
        """Put a photo into sub-folders.

        Returns where it is there now, and whether a photo that was to be moved had to stay, because its own folder
        cannot be written. Raises StorageError for this folder, and OSError for the photo.
        """
        digest = _digest(source)
        places = [self._place(source, folder, placing, digest) for folder in folders]
        if placing is not Placing.MOVE:
            return places, False
        try:
            if all(_digest(place) == digest for place in places):  # read back before the only other copy goes
                source.unlink()
                return places, False
        except PermissionError:
            pass
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
        return places, True

    def write(self, path: Path, content: bytes) -> None:
        """Write a new file beside a photo; one that exists stays as it is. Raises StorageError."""
        with _target(self._root):
            if not path.exists():
                digest = hashlib.sha256(content).hexdigest()
                self._note(Entry(self._relative(path), None, digest))
                self._finish(self._draft(path, content), path)

    def undo(self) -> Undone:
        """Remove what the journal tells of, put moved photos back, and remove the folders that are empty then.

        A file that was changed since stays, and so does one whose photo is gone from where it came. Raises
        InvalidInput without a journal, and StorageError.
        """
        removed = restored = 0
        kept: list[Entry] = []
        with _target(self._root):
            entries = self._entries()
            for entry in reversed(entries):
                made, source = self._root / entry.made, Path(entry.source) if entry.source else None
                if not os.path.lexists(made):
                    continue
                if not made.is_symlink() and _digest(made) != entry.digest:
                    kept.append(entry)
                    continue
                if source is not None and entry.moved and not os.path.lexists(source):
                    source.parent.mkdir(parents=True, exist_ok=True)
                    self._finish(self._copied(made, source), source)
                    restored += 1
                if source is not None and not made.is_symlink() and not _holds(source, entry.digest):
                    kept.append(entry)  # this may be the only copy
                    continue
                made.unlink()
                removed += 1
            self._remove_drafts()
            self._rewrite(kept[::-1])
            self._remove_folders(entries)
        return Undone(removed, restored, tuple(entry.made for entry in kept[::-1]))

    def _place(self, source: Path, folder: str, placing: Placing, digest: str) -> Path:
        with _target(self._root):
            (self._root / folder).mkdir(parents=True, exist_ok=True)
            for name in _names(source):
                path = self._root / folder / name
                if os.path.lexists(path):
                    is_ours = self._relative(path) in self._made  # or else nothing could undo a move
                    if _holds(path, digest) and (is_ours or placing is not Placing.MOVE):
                        return path
                    continue
                self._note(Entry(self._relative(path), str(source.absolute()), digest, placing is Placing.MOVE))
                if placing is Placing.LINK:
                    _link(source, path)
                else:
                    self._finish(self._copied(source, path), path)
                return path
        raise AssertionError("names never end")

    def _copied(self, source: Path, path: Path) -> Path:
        draft = path.with_name(DRAFT + uuid.uuid4().hex)
        try:
            shutil.copyfile(source, draft)
            with suppress(OSError):  # a file system without times or permissions
                shutil.copystat(source, draft)
            _sync(draft)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise
        return draft

    def _draft(self, path: Path, content: bytes) -> Path:
        draft = path.with_name(DRAFT + uuid.uuid4().hex)
        draft.write_bytes(content)
        _sync(draft)
        return draft

    def _finish(self, draft: Path, path: Path) -> None:
        """Give a complete file its name, which nobody else has taken meanwhile."""
        try:
            os.link(draft, path)
        except FileExistsError:
            draft.unlink()
            raise
        except OSError:  # a file system without links
            draft.rename(path)
            return
        draft.unlink()

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _note(self, entry: Entry) -> None:
        with open(self._root / JOURNAL, "ab") as journal:
            cut_off = journal.tell() and not (self._root / JOURNAL).read_bytes().endswith(b"\n")
            journal.write(b"\n" * bool(cut_off) + json.dumps(asdict(entry)).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())
        self._made.add(entry.made)

    def _entries(self) -> list[Entry]:
        try:
            lines = (self._root / JOURNAL).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except FileNotFoundError:
            raise InvalidInput(f"Nothing was sorted into {self._root}: it has no {JOURNAL}.") from None
        return [entry for line in lines if (entry := self._entry(line)) is not None]

    def _entry(self, line: str) -> Entry | None:
        """Read a line; None for one that was cut off, before anything was made of it."""
        try:
            entry = Entry(**json.loads(line))
            is_inside = not Path(entry.made).is_absolute() and ".." not in Path(entry.made).parts
        except ValueError:
            return None
        except TypeError:
            is_inside = False
        if not is_inside:
            raise InvalidInput(f"{self._root / JOURNAL} holds something that Mien does not write. Nothing was changed.")
        return entry

    def _rewrite(self, entries: list[Entry]) -> None:
        (self._root / JOURNAL).unlink()
        for entry in entries:
            self._note(entry)

    def _remove_folders(self, entries: list[Entry]) -> None:
        """Remove the folders of files that were made, where they are empty; not those that somebody else made."""
        folders = {folder for entry in entries for folder in Path(entry.made).parents} - {Path()}
        for folder in sorted(folders, key=lambda each: len(each.parts), reverse=True):
            with suppress(OSError):  # not empty, or gone
                (self._root / folder).rmdir()

    def _remove_drafts(self) -> None:
        for draft in self._root.glob(f"**/{DRAFT}*"):
            draft.unlink()


def _names(source: Path) -> Iterator[str]:
    yield source.name
    yield from (f"{source.stem} ({number}){source.suffix}" for number in count(2))


def _link(source: Path, path: Path) -> None:
    try:
        os.link(source.resolve(), path)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES}:
            raise
        path.symlink_to(source.resolve())


def _digest(path: Path) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
    return sha256.hexdigest()


def _holds(path: Path, digest: str) -> bool:
    return path.is_file() and _digest(path) == digest


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _target(root: Path) -> Iterator[None]:
    """Raise StorageError for what the folder does not take: a full disk, one that is read-only, one that is gone."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull(f"There is no space left for {root}.") from error
        raise StorageError(f"{root} cannot be written or read: {error.strerror}.") from error
