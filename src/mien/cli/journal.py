"""Write down what `mien sort` makes in a folder, so that it can be undone, and read it again without trusting it.

Where a moved photo is put back is sealed with a key of this user: the journal lies in a folder that others may have
made or changed, and must not write a file wherever they like.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mien.domain.errors import InvalidInput, StorageError
from mien.security import secret_files

JOURNAL = ".mien-sort.jsonl"
KEY_BYTES = 32


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
        self.made = {entry.made for entry in self.entries()} if self.path.exists() else set[str]()

    def note(self, entry: Entry) -> None:
        """Add a line, which survives a crash. Raises OSError, and StorageError."""
        if entry.moved and not entry.seal:
            entry = replace(entry, seal=_seal(entry))
        with open(self.path, "ab") as journal:
            journal.write(b"\n" * self._is_cut_off() + _line(entry))
            journal.flush()
            os.fsync(journal.fileno())
        self._is_whole = True
        self.made.add(entry.made)

    def entries(self) -> list[Entry]:
        """Return what was made, in order. Raises InvalidInput without a journal, and for what Mien does not write."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except FileNotFoundError:
            raise InvalidInput(f"Nothing was sorted into {self._root}: it has no {JOURNAL}.") from None
        return [entry for line in lines if (entry := self._entry(line)) is not None]

    def rewrite(self, entries: Iterable[Entry]) -> None:
        """Leave these lines as they were read, in one step, or no journal. Raises OSError."""
        if lines := list(map(_line, entries)):
            secret_files.write(self.path, b"".join(lines))
        else:
            self.path.unlink()

    def _is_cut_off(self) -> bool:
        return not self._is_whole and bool(content := self.path.read_bytes()) and not content.endswith(b"\n")

    def _entry(self, line: str) -> Entry | None:
        """Read a line; None for one that was cut off, before anything was made of it."""
        try:
            entry = Entry(**json.loads(line))
        except ValueError:
            return None
        except (TypeError, RecursionError):
            entry = None
        if entry is None or not _is_possible(entry):
            raise InvalidInput(f"{self.path} holds something that Mien does not write. Nothing was changed.")
        return entry


def _line(entry: Entry) -> bytes:
    return json.dumps(asdict(entry)).encode() + b"\n"


def _is_possible(entry: Entry) -> bool:
    texts = (entry.made, entry.source or "", entry.digest, entry.seal)
    if not all(isinstance(text, str) for text in texts) or "\0" in "".join(texts) or not entry.seal.isascii():
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
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}, with which moves are signed, cannot be used: {error.strerror}.") from error
