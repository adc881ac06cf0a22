"""Write down what `mien sort` makes in a folder, so that it can be undone, and read it again without trusting it.

Where a moved photo is put back is sealed with a key of this user: the journal lies in a folder that others may have
made or changed, and must not write a file wherever they like. Nor is a link in its place followed, or added to a file
that is no journal: photos have the names that strangers gave them, and a shell would run some of those.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Set
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mien.domain.errors import InvalidInput, StorageError
from mien.security import secret_files

JOURNAL = ".mien-sort.jsonl"
KEY_BYTES = 32
_BEGIN = '{"made": '
"""How each line begins."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal: a file that was made, from which file, with which content.

    Attributes:
        made: The file, by its path below the sorted folder.
        source: The photo that it was made of; None for a sidecar.
        digest: The SHA-256 of its content, in hexadecimal.
        moved: Whether the photo is put back when the sorting is undone.
        seal: For a moved photo, the text that only this user's key makes of the rest.
    """

    made: str
    source: str | None
    digest: str
    moved: bool = False
    seal: str = ""

    @property
    def is_sealed(self) -> bool:
        """Whether this user wrote the entry of a moved photo, as it is. Raises StorageError."""
        return hmac.compare_digest(self.seal, _seal(self))


class Journal:
    """The journal of a folder."""

    def __init__(self, root: Path) -> None:
        self._root, self.path = root, root / JOURNAL
        self._is_whole = False
        self._noted = set(self._read() or ())
        self.made = {entry.made for entry in self._noted}

    def note(self, entry: Entry) -> None:
        """Add a line, unless it is there, which survives a crash. Raises OSError, and StorageError."""
        if entry.moved and not entry.seal:
            entry = replace(entry, seal=_seal(entry))
        if entry in self._noted:
            return
        with open(self.path, "ab", opener=_open_file) as journal:
            journal.write(b"\n" * self._is_cut_off() + _line(entry))
            journal.flush()
            os.fsync(journal.fileno())
        self._is_whole = True
        self._noted.add(entry)
        self.made.add(entry.made)

    def entries(self) -> list[Entry]:
        """Return what was made, in order.

        Raises InvalidInput without a journal, and for what Mien does not write, and StorageError.
        """
        if (entries := self._read()) is None:
            raise InvalidInput(f"Nothing was sorted into {self._root}: it has no {JOURNAL}.")
        return entries

    def keep(self, made: Set[str]) -> None:
        """Leave only the lines of these files as they were read, in one step, or no journal. Raises OSError."""
        entries = self.entries()
        kept = [entry for entry in entries if entry.made in made]
        if not kept:
            self.path.unlink()
        elif len(kept) < len(entries):
            status = self.path.stat()
            secret_files.write(self.path, b"".join(map(_line, kept)))
            with suppress(OSError):  # the group of another user, or a file system without groups
                os.chown(self.path, status.st_uid if os.geteuid() == 0 else -1, status.st_gid)
                self.path.chmod(stat.S_IMODE(status.st_mode))

    def _read(self) -> list[Entry] | None:
        try:
            with open(self.path, "rb", opener=_open_file) as journal:
                lines = journal.read().decode(errors="surrogateescape").splitlines()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read: {error.strerror}.") from error
        return [entry for line in lines if (entry := self._entry(line)) is not None]

    def _is_cut_off(self) -> bool:
        if self._is_whole:
            return False
        with open(self.path, "rb", opener=_open_file) as journal:
            content = journal.read()
        return bool(content) and not content.endswith(b"\n")

    def _entry(self, line: str) -> Entry | None:
        """Read a line; None for one that was cut off, before anything was made of it."""
        entry = None
        try:
            entry = Entry(**json.loads(line))
        except ValueError:
            if line.startswith(_BEGIN) or _BEGIN.startswith(line):
                return None
        except (TypeError, RecursionError):
            pass
        if entry is None or not _is_possible(entry):
            raise InvalidInput(f"{self.path} holds something that Mien does not write. Nothing was changed.")
        return entry


def _open_file(path: str, flags: int) -> int:
    """Open or create the journal, but neither what a link leads to nor a pipe. Raises StorageError, and OSError."""
    misplaced = StorageError(f"{path} cannot be read: it is a link or no file, which Mien does not make; remove it.")
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise misplaced from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise misplaced
    return descriptor


def _line(entry: Entry) -> bytes:
    return json.dumps(asdict(entry)).encode() + b"\n"


def _is_possible(entry: Entry) -> bool:
    texts = (entry.made, entry.source or "", entry.digest, entry.seal)
    if not all(isinstance(text, str) for text in texts) or "\0" in "".join(texts) or not entry.seal.isascii():
        return False
    if not isinstance(entry.moved, bool):
        return False
    try:
        os.fsencode("".join(texts))
    except UnicodeEncodeError:
        return False
    made = Path(entry.made)
    return len(made.parts) > 1 and not made.is_absolute() and ".." not in made.parts


def _seal(entry: Entry) -> str:
    rest = json.dumps([entry.made, entry.source, entry.digest]).encode()
    return hmac.new(_key(), rest, hashlib.sha256).hexdigest()


def _key() -> bytes:
    """Read the user's key, which is made at first use."""
    from platformdirs import user_state_path

    path = user_state_path("mien") / "sort.key"
    try:
        if not path.exists():
            secret_files.create(path, secrets.token_bytes(KEY_BYTES))
        key = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}, with which moves are signed, cannot be used: {error.strerror}.") from error
    if len(key) != KEY_BYTES:
        raise StorageError(f"{path}, with which moves are signed, is damaged: remove it, and a new one is made.")
    return key
