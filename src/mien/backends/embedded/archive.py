"""Write and read the file of a backup: a tar archive that tells whether it is whole, and may be encrypted.

    mien.json      what is in it: format, version of Mien, time, counts
    mien.db  secret  api-keys.json  photos/<image path>
    end.json       SHA-256 of all that comes before: of each entry its name, time, size and bytes

An encrypted archive is a line that tells so, a key, and the tar archive as a stream of age, encrypted with that key
(https://age-encryption.org/v1). The key is an age identity made for this file, encrypted with the passphrase.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol, Self

import pyrage

from mien.domain.errors import InvalidInput, Overloaded, StorageDamaged
from mien.gallery.store import private_files

FORMAT = 1
HEAD, END, PHOTOS = "mien.json", "end.json", "photos/"
ENCRYPTED = b"mien-backup-age-1\n"
MAX_KEY_BYTES = 4096
MAX_WORK_FACTOR = 21
"""Trying a passphrase takes 2^n KiB and some seconds: age chooses what a computer does in about one, today up to 20."""

CHUNK_BYTES = 1 << 20
ATTEMPTS, EXCESSIVE_WORK = 5, "Excessive work"
"""age measures for some milliseconds how fast this computer is, and refuses to try a passphrase when it seems too slow,
as it does when another process has the core at that moment."""

MAX_JSON_BYTES = MAX_HEADER_BYTES = 1 << 16
MAX_NS = 1 << 63
_KEY_HEAD = re.compile(rb"age-encryption\.org/v1\n-> scrypt [\w+/]{22} (\d{1,2})\n[\w+/]{43}\n--- ", re.ASCII)
_TIME = "MIEN.mtime_ns"
DAMAGED = "The backup is damaged or incomplete: {}. Nothing was restored from it."


class Readable(Protocol):
    """Bytes that are read from the begin to the end."""

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive: its name, when it was changed in nanoseconds since 1970, its size, and its bytes."""

    name: str
    changed_ns: int
    size: int
    stream: Readable


class _Tar(tarfile.TarFile):
    members: list[tarfile.TarInfo]
    """Those that were written or read, which grow with the archive unless they are cleared."""


class ArchiveWriter:
    """Appends files to an archive."""

    def __init__(self, stream: IO[bytes], head: dict[str, Any]) -> None:
        self._tar = _Tar.open(fileobj=_Closable(stream), mode="w|", format=tarfile.PAX_FORMAT)
        self._digest = hashlib.sha256()
        self.add_bytes(HEAD, json.dumps({"format": FORMAT, **head}).encode())

    def add_bytes(self, name: str, body: bytes, changed_ns: int = 0) -> None:
        """Append a file with this content."""
        self._add(name, io.BytesIO(body), len(body), changed_ns)

    def add_file(self, name: str, path: Path) -> None:
        """Append a file that does not change meanwhile. Raises OSError."""
        with path.open("rb") as stream:
            self._add(name, stream, path.stat().st_size, 0)

    def close(self) -> None:
        """Append the digest of all that was added."""
        self.add_bytes(END, json.dumps({"sha256": self._digest.hexdigest()}).encode())
        self._tar.close()

    def _add(self, name: str, stream: IO[bytes], size: int, changed_ns: int) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.pax_headers = size, 0o600, {_TIME: str(changed_ns)}
        self._digest.update(_header(name, changed_ns, size))
        self._tar.addfile(entry, _Digesting(stream, self._digest.update))
        self._tar.members.clear()


def entries(stream: IO[bytes]) -> Iterator[Entry]:
    """Yield the files of an archive in order, without its last entry, which is checked.

    The bytes of an entry that is not read to its end are skipped. Raises StorageDamaged when the archive is not whole:
    what was yielded before is not to be used then.
    """
    digest = hashlib.sha256()
    expected = None
    try:
        with _Tar.open(fileobj=stream, mode="r|", tarinfo=_BoundedHeader) as tar:
            while entry := tar.next():
                tar.members.clear()
                if not entry.isreg() or entry.issparse() or expected is not None:  # a hole may be larger than any disk
                    raise StorageDamaged(DAMAGED.format("it holds something that Mien does not write"))
                source = tar.extractfile(entry) or io.BytesIO()
                if entry.name == END:
                    expected = json.loads(source.read(MAX_JSON_BYTES))["sha256"]
                    continue
                changed_ns = _changed_ns(entry)
                digest.update(_header(entry.name, changed_ns, entry.size))
                content = _Digesting(source, digest.update)
                yield Entry(entry.name, changed_ns, entry.size, content)
                while content.read(CHUNK_BYTES):
                    pass
    except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageDamaged(DAMAGED.format("it is not an archive of Mien, or it was cut off")) from error
    if expected != digest.hexdigest():
        raise StorageDamaged(DAMAGED.format("its checksum is missing" if expected is None else "its checksum differs"))


class _BoundedHeader(tarfile.TarInfo):
    """A header of an archive, or of headers that belong to the next one, which are read into memory as a whole."""

    BEFORE_ANOTHER = frozenset({tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}) | {
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parse a header. Raises StorageDamaged for one that is followed by much that belongs to it."""
        header = super().frombuf(buf, encoding, errors)
        if header.type in cls.BEFORE_ANOTHER and header.size > MAX_HEADER_BYTES:
            raise StorageDamaged(DAMAGED.format("it holds something that Mien does not write"))
        return header


def _changed_ns(entry: tarfile.TarInfo) -> int:
    changed_ns = int(entry.pax_headers.get(_TIME, 0))
    if not 0 <= changed_ns < MAX_NS:
        raise ValueError("no file was changed then")
    return changed_ns


def read_head(entry: Entry) -> dict[str, Any]:
    """Return what an archive's first entry tells. Raises InvalidInput for a format of the future, StorageDamaged."""
    not_ours = StorageDamaged(DAMAGED.format("it does not begin as a backup of Mien does"))
    if entry.name != HEAD or entry.size > MAX_JSON_BYTES:
        raise not_ours
    try:
        head: dict[str, Any] = json.loads(entry.stream.read(MAX_JSON_BYTES))
        if head["format"] > FORMAT:
            made_by = f"a newer version of Mien ({head['version']})"
            raise InvalidInput(f"The backup was made by {made_by}. Update Mien first.")
        is_aware = datetime.fromisoformat(head["created_at"]).tzinfo is not None
        is_whole = is_aware and head.keys() >= {"version", "has_keys"} and head["mark"].isascii()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise not_ours from error
    if not is_whole:
        raise not_ours
    return head


@contextmanager
def writing(file: IO[bytes], passphrase: str | None) -> Iterator[IO[bytes]]:
    """Yield the stream into which an archive is written; with a passphrase, `file` gets it encrypted."""
    if passphrase is None:
        yield file
        return
    identity = pyrage.x25519.Identity.generate()
    key = pyrage.passphrase.encrypt(str(identity).encode(), passphrase)
    file.write(ENCRYPTED + len(key).to_bytes(2, "big") + key)
    source, sink = _pipe()
    work = _Background(lambda: pyrage.encrypt_io(source, file, [identity.to_public()]), source)
    try:
        with sink:
            yield sink
    finally:
        work.join()
    work.raise_error()


@contextmanager
def reading(file: IO[bytes], passphrase: Callable[[], str]) -> Iterator[IO[bytes]]:
    """Yield the stream of an archive in `file`; `passphrase` is asked for when it is encrypted.

    Raises InvalidInput for a wrong passphrase, Overloaded when checking it takes too long, and StorageDamaged.
    """
    if file.read(len(ENCRYPTED)) != ENCRYPTED:
        file.seek(0)
        yield file
        return
    identity = _identity(file, passphrase)
    source, sink = _pipe()
    work = _Background(lambda: pyrage.decrypt_io(file, sink, [identity]), sink)
    try:
        with source:
            yield source
            while source.read(CHUNK_BYTES):  # what follows the archive belongs to age, which checks it
                pass
    finally:
        work.join()
    try:
        work.raise_error()
    except (pyrage.DecryptError, OSError) as error:
        raise StorageDamaged(DAMAGED.format("it cannot be decrypted as a whole")) from error


def _identity(file: IO[bytes], ask: Callable[[], str]) -> pyrage.x25519.Identity:
    size = int.from_bytes(file.read(2), "big")
    key = file.read(min(size, MAX_KEY_BYTES))
    if not size or len(key) < size:
        raise StorageDamaged(DAMAGED.format("it was cut off"))
    head = _KEY_HEAD.match(key)
    if head is None or int(head[1]) > MAX_WORK_FACTOR:
        raise StorageDamaged(DAMAGED.format("its key is not one that Mien writes"))
    passphrase = ask()
    for _ in range(ATTEMPTS):
        try:
            return pyrage.x25519.Identity.from_str(pyrage.passphrase.decrypt(key, passphrase).decode())
        except (pyrage.DecryptError, pyrage.IdentityError) as error:
            if EXCESSIVE_WORK not in str(error):
                raise InvalidInput("The passphrase is not that of this backup.") from error
    raise Overloaded("Checking the passphrase takes too long: this computer is too busy or too slow; try again.")


class _Background:
    """Runs something in a thread, closes its end of a pipe then, and keeps its error."""

    def __init__(self, work: Callable[[], object], end: IO[bytes]) -> None:
        self._work, self._end = work, end
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self._error = error
        with suppress(BrokenPipeError):
            self._end.close()

    def join(self) -> None:
        self._thread.join()

    def raise_error(self) -> None:
        if self._error:
            raise self._error


class _Closable(io.RawIOBase):
    """Passes on what is written, until the stream is closed: tarfile also writes when it is thrown away."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, chunk: Any) -> int:
        return len(chunk) if self._stream.closed else self._stream.write(chunk)


class _Digesting(io.RawIOBase):
    """Reads a stream and tells somebody what was read."""

    def __init__(self, stream: IO[bytes], update: Callable[[bytes], object]) -> None:
        self._stream, self._update = stream, update

    def read(self, size: int = -1) -> bytes:
        try:
            chunk = self._stream.read(size)
        except tarfile.TarError as error:
            raise StorageDamaged(DAMAGED.format("it was cut off")) from error
        self._update(chunk)
        return chunk


def _header(name: str, changed_ns: int, size: int) -> bytes:
    return json.dumps([name, changed_ns, size]).encode()


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    source, sink = os.pipe()
    return open(source, "rb"), open(sink, "wb")


def copy_to(entry: Entry, path: Path) -> None:
    """Write an entry to a new file for its owner's eyes only, with the time of its change. Raises OSError."""
    with os.fdopen(private_files.create_file(path), "wb") as file:
        shutil.copyfileobj(entry.stream, file, CHUNK_BYTES)
        file.flush()
        os.fsync(file.fileno())
    if entry.changed_ns:
        os.utime(path, ns=(entry.changed_ns, entry.changed_ns))
