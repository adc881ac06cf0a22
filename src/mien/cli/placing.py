"""Put files into folders without losing any: copy, link or move them, and undo that from a journal.

What is about to be made is written into the journal first, so that whatever interrupts the work, the same command
continues it and `undo` finds all of it. A photo that is moved leaves its place last. One run at a time works in a
folder: two would write one journal.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path

from mien.cli import whole_files
from mien.cli.journal import Entry, Journal
from mien.cli.photos import real_path
from mien.domain.errors import StorageBusy, StorageError, StorageFull


class Placing(StrEnum):
    """How a photo comes into a person's folder."""

    COPY = "copy"
    LINK = "link"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Undone:
    """How many files `undo` removed and put back, and which it left.

    `kept` were changed, or are the only copy; `unsealed` were moved by somebody else, or so an edited journal says.
    """

    removed: int
    restored: int
    kept: tuple[str, ...] = ()
    unsealed: tuple[str, ...] = ()


@contextmanager
def opened(root: Path, *, make: bool) -> Iterator[Folder]:
    """Open a folder for one run alone, until the block, or the process, ends.

    Args:
        root: The folder.
        make: Whether to make it, if there is none; it is removed again if nothing was put into it.

    Raises StorageBusy at once while another run works in it, and StorageError.
    """
    made = make and not root.exists()
    with _target(root):
        if make:
            root.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(root) if root.is_dir() else None
    try:
        yield Folder(root)
    finally:
        if made:
            with suppress(OSError):  # not empty, or gone
                root.rmdir()
        if descriptor is not None:
            os.close(descriptor)


class Folder:
    """A folder into which photos are sorted."""

    def __init__(self, root: Path) -> None:
        """`root` need not exist yet."""
        self._root, self._journal = root, Journal(root)
        self._disk: tuple[int, int] | None = None

    def place(self, source: Path, folders: Sequence[str], placing: Placing) -> tuple[list[Path], bool]:
        """Put a photo into sub-folders.

        Returns where it is there now, and whether a photo that was to be moved had to stay, because its own folder
        cannot be written. Raises StorageError for this folder, and OSError for the photo.
        """
        digest = whole_files.digest_of(source)
        places = [self._place(source, folder, placing, digest) for folder in folders]
        if placing is not Placing.MOVE:
            return places, False
        with _target(self._root):
            is_stored = all(not place.is_symlink() and whole_files.survives(place, digest, source) for place in places)
            folders_made = {folder for place in places for folder in place.relative_to(self._root).parents}
            for folder in folders_made:  # also the one of the journal
                whole_files.sync_folder(self._root / folder)
        try:
            if is_stored:
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
            self._require_disk()
            if not os.path.lexists(path):
                digest = hashlib.sha256(content).hexdigest()
                self._journal.note(Entry(self._relative(path), None, digest))
                whole_files.finish(whole_files.written(path, content), path)

    def undo(self, *, trusting: bool = False) -> Undone:
        """Remove what the journal tells of, put moved photos back, and remove the folders that are empty then.

        A file that was changed since stays, and so does one whose photo is gone from where it came. A photo is put
        back only where this user moved it from, unless the journal is trusted: others may have written it. Raises
        InvalidInput without a journal, and StorageError.
        """
        with _target(self._root):
            entries = self._journal.entries()
            by_file: dict[str, list[Entry]] = {}
            for entry in reversed(entries):
                by_file.setdefault(entry.made, []).append(entry)
            undone = [self._undo(made, own, trusting=trusting) for made, own in by_file.items()][::-1]
            kept = tuple(made for each in undone for made in each.kept)
            unsealed = tuple(made for each in undone for made in each.unsealed)
            self._remove_drafts()
            self._journal.keep({*kept, *unsealed})
            self._remove_folders(entries)
        return Undone(sum(each.removed for each in undone), sum(each.restored for each in undone), kept, unsealed)

    def _undo(self, made: str, entries: Sequence[Entry], *, trusting: bool) -> Undone:
        """Put back each photo that was moved to one file, then remove it: identical photos of two folders share it."""
        path = self._root / made
        if not os.path.lexists(path):
            return Undone(0, 0)
        own = [entry for entry in entries if self._is_ours(path, entry)]
        if not own:
            return Undone(0, 0, kept=(made,))
        restored = 0
        for entry in own:
            if (source := _missing(entry)) is not None and (trusting or entry.is_sealed):
                source.parent.mkdir(parents=True, exist_ok=True)
                whole_files.finish(whole_files.copied(path, source), source)
                whole_files.sync_folder(source.parent)
                restored += 1
        if any(_missing(entry) is not None for entry in own):
            return Undone(0, restored, unsealed=(made,))
        sources = [(Path(entry.source), entry.digest) for entry in own if entry.source]
        if not path.is_symlink() and not all(whole_files.survives(source, digest, path) for source, digest in sources):
            return Undone(0, restored, kept=(made,))  # this may be the only copy
        path.unlink()
        return Undone(1, restored)

    def _is_ours(self, path: Path, entry: Entry) -> bool:
        """Whether a file lies in this folder, behind no link that leads out of it, and is as it was made."""
        is_inside = real_path(self._root) in real_path(path.parent).parents
        return is_inside and ((path.is_symlink() and _missing(entry) is None) or whole_files.holds(path, entry.digest))

    def _require_disk(self) -> None:
        """Make the folder once; should it vanish, its disk was pulled out, and another must not take its place."""
        if self._disk is None:
            self._root.mkdir(parents=True, exist_ok=True)
            self._disk = whole_files.identity(self._root)
        elif not self._root.is_dir() or whole_files.identity(self._root) != self._disk:
            raise StorageError(f"{self._root} is gone; its disk may have been pulled out.")

    def _place(self, source: Path, folder: str, placing: Placing, digest: str) -> Path:
        with _target(self._root):
            self._require_disk()
            (self._root / folder).mkdir(parents=True, exist_ok=True)
            if real_path(self._root) not in real_path(self._root / folder).parents:
                raise StorageError(f"{self._root / folder} is a link that leads out of {self._root}; remove it first.")
            for name in _names(source):
                path = self._root / folder / name
                entry = Entry(self._relative(path), str(source.absolute()), digest, placing is Placing.MOVE)
                if not os.path.lexists(path):
                    self._journal.note(entry)
                    self._make(source, path, placing)
                    return path
                is_ours = entry.made in self._journal.made  # or else nothing could undo a move
                if not whole_files.holds(path, digest) or (placing is Placing.MOVE and not is_ours):
                    continue
                if placing is Placing.LINK or not path.is_symlink():
                    if placing is Placing.MOVE:
                        self._journal.note(entry)  # this photo is put back, too
                    return path
                if is_ours:  # a link is no copy: it would lead nowhere once its photo is gone
                    self._journal.note(entry)
                    whole_files.copied(source, path).replace(path)
                    return path
        raise AssertionError("names never end")

    def _make(self, source: Path, path: Path, placing: Placing) -> None:
        if placing is Placing.LINK:
            whole_files.link(source, path)
        else:
            whole_files.finish(whole_files.copied(source, path), path)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _remove_folders(self, entries: list[Entry]) -> None:
        """Remove this folder and those of files that were made, where they are empty; no others."""
        folders = {folder for entry in entries for folder in Path(entry.made).parents}
        for folder in sorted(folders, key=lambda each: len(each.parts), reverse=True):
            with suppress(OSError):  # not empty, or gone
                (self._root / folder).rmdir()

    def _remove_drafts(self) -> None:
        for draft in self._root.glob(f"**/{whole_files.DRAFT}*"):
            if draft.is_symlink() or not draft.is_dir():
                draft.unlink()


def _lock(root: Path) -> int:
    """Lock a folder and return the descriptor that holds the lock. Raises StorageBusy, and OSError."""
    while True:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock_descriptor(descriptor, root)
            if os.path.samestat(os.fstat(descriptor), root.stat()):  # or else its last run has just removed it
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock_descriptor(descriptor: int, root: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StorageBusy(f"Another `mien sort` is at work in {root}. Repeat the command when it has ended.") from None
    except OSError as error:
        if error.errno not in {errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK}:  # a file system without locks
            raise


def _names(source: Path) -> Iterator[str]:
    yield source.name
    yield from (f"{source.stem} ({number}){source.suffix}" for number in count(2))


def _missing(entry: Entry) -> Path | None:
    """Return where a moved photo came from, if nothing is there."""
    source = Path(entry.source) if entry.moved and entry.source else None
    return None if source is None or os.path.lexists(source) else source


@contextmanager
def _target(root: Path) -> Iterator[None]:
    """Raise StorageError for what the folder does not take: a full disk, one that is read-only, one that is gone.

    What is wrong with a single name, such as one that the disk's file system does not allow, stays an OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull(f"There is no space left for {root}.") from error
        if error.errno in {errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ}:
            raise
        raise StorageError(f"{root} cannot be written or read: {error.strerror}.") from error
