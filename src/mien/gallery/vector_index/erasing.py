"""Erase deleted rows from the segments on disk: overwrite their vectors and codes with zeros.

Whoever deletes rows from the database leaves a note in the vector set's folder before, and removes it once the rows
are gone from the files. A note that is still there belongs to a process that died, or to one that did not wait for a
builder: then all rows of the files are compared with the database. A zeroed row is deleted anyway, so searches in
progress miss nothing; checksums are carried along, so that the segment stays valid.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import numpy as np

from mien.domain.faces import EMBEDDING_DIMENSION
from mien.gallery.store import private_files
from mien.gallery.vector_index import files
from mien.gallery.vector_index.kernels import BLOCK_ROWS, LANES
from mien.gallery.vector_index.quantization import find_rows
from mien.gallery.vector_index.source import Rows, VectorSource

_NOTE = "erasing-"
_LEFT_BEHIND = "stale-"
_FETCH_ROWS = 8192
_MAX_CARRIED = 256
"""Beyond so many rows, reading the files for their checksums is quicker than carrying these along row by row."""
_POLYNOMIAL = 0xEDB88320


class Eraser:
    """Erases rows of one vector set from its files, in any number of processes.

    Args:
        folder: Of the set's segments; it need not exist.
        vector_set: The name of the set.
        source: The database.
    """

    def __init__(self, folder: Path, vector_set: str, source: VectorSource) -> None:
        self._folder, self._vector_set, self._source = folder, vector_set, source

    @contextmanager
    def deletion(self, rows: Sequence[int], *, wait: bool) -> Iterator[None]:
        """Erase rows from the files once the block has deleted them from the database.

        Args:
            rows: The rows; the block may still add to them.
            wait: Whether to wait for a builder, or else to leave the rows to it.

        Raises OSError when the files cannot be overwritten.
        """
        note = self._leave_note()
        try:
            yield
        except BaseException:
            if note:
                note.unlink(missing_ok=True)
            raise
        if not rows or not self._folder.is_dir():
            if note:
                note.unlink(missing_ok=True)
            return
        with files.locked(self._folder / files.LOCK, wait) as is_locked:
            if is_locked:
                self._erase(np.array(rows, np.int64))
            elif note:
                note.rename(note.with_name(note.name.replace(_NOTE, _LEFT_BEHIND)))
                return
        if note:
            note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Erase what others left behind; only for who holds the set's lock. Raises OSError."""
        if notes := self.notes():
            self.scrub()
            for note in notes:
                note.unlink(missing_ok=True)

    def scrub(self) -> None:
        """Erase every row that the database does not have; only for who holds the set's lock. Raises OSError."""
        for segment in files.segments(self._folder):
            _zero_or_remove(segment, self._stale(segment))

    def count_stale(self) -> int:
        """Count the rows in the files, not zeroed, that the database does not have. Reads all of the files."""
        return sum(len(self._stale(segment)) for segment in files.segments(self._folder))

    def notes(self) -> list[Path]:
        """Return the notes of deletions in progress, cut off, or left to a builder."""
        return [*self._folder.glob(f"{_NOTE}*"), *self._folder.glob(f"{_LEFT_BEHIND}*")]

    def _leave_note(self) -> Path | None:
        note = self._folder / f"{_NOTE}{uuid4().hex}"
        with suppress(OSError):  # no folder, so no files; or a full disk, on which a crash now would cost the note
            note.touch(private_files.FILE_MODE)
            return note
        return None

    def _erase(self, rows: Rows) -> None:
        for unfinished in files.abandoned(self._folder, files.chain(self._folder)):
            files.remove(unfinished)
        for segment in files.segments(self._folder):
            _zero_or_remove(segment, rows)
        if any(self._folder.glob(f"{_LEFT_BEHIND}*")):
            self.finish()

    def _stale(self, segment: Path) -> Rows:
        try:
            rows = np.fromfile(segment / "rows", np.int64)
            vectors = np.memmap(segment / "vectors", np.int8, "r", shape=(len(rows), EMBEDDING_DIMENSION))
        except (OSError, ValueError):  # removed meanwhile, or damaged: removed by the next build
            return np.empty(0, np.int64)
        present = rows[vectors.any(axis=1)]
        stale = [present[:0]]
        for start in range(0, len(present), _FETCH_ROWS):
            some = present[start : start + _FETCH_ROWS]
            stale.append(np.setdiff1d(some, self._source.fetch(self._vector_set, some)[0]))
        return np.concatenate(stale)


def _zero_or_remove(segment: Path, rows: Rows) -> None:
    """Zero rows in a segment's files and flush them; a segment that is damaged is removed, to be built again."""
    try:
        _zero(segment, rows)
    except (ValueError, KeyError, TypeError):
        files.remove(segment)


def _zero(segment: Path, rows: Rows) -> None:
    held = np.memmap(segment / "rows", np.int64, "r")
    positions = find_rows(held, np.unique(rows)).tolist()
    if not positions:
        return
    manifest = files.read_manifest(segment)
    checksums = manifest["crc32"]
    spans = {
        "vectors": [(position * EMBEDDING_DIMENSION, EMBEDDING_DIMENSION, 1) for position in positions],
        "codes": [(_first_code(position), (BLOCK_ROWS - 1) * LANES + 1, LANES) for position in positions],
    }
    for name, own in spans.items():
        path = segment / name
        changed = _zero_bytes(path, own, checksums[name])
        checksums[name] = files.checksum(path) if changed is None else changed
    files.replace_manifest(segment, manifest)


def _first_code(position: int) -> int:
    """Return where the codes of a row begin: one byte in each of its block's rows of `LANES` bytes."""
    block, lane = divmod(position, LANES)
    half, place = divmod(lane, LANES // 2)
    return block * BLOCK_ROWS * LANES + 2 * place + half


def _zero_bytes(path: Path, spans: list[tuple[int, int, int]], checksum: int) -> int | None:
    """Zero every `step`-th byte of spans (start, length, step) and flush the file.

    Returns the new CRC-32, None when it is quicker to compute it anew.
    """
    carried: int | None = checksum if len(spans) <= _MAX_CARRIED else None
    with path.open("r+b", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if any(start + length > size for start, length, _ in spans):
            raise ValueError("the file is not of the length that was written")
        for start, length, step in spans:
            before = os.pread(file.fileno(), length, start)
            after = bytearray(before)
            after[::step] = bytes(len(after[::step]))
            os.pwrite(file.fileno(), after, start)
            if carried is not None:
                change = bytes(old ^ new for old, new in zip(before, after, strict=True))
                carried ^= _shifted(zlib.crc32(change) ^ zlib.crc32(bytes(length)), size - start - length)
        os.fsync(file.fileno())
    return carried


def _shifted(crc: int, zeros: int) -> int:
    """Return the CRC-32, without initial and final inversion, of bytes with this one and some zero bytes after them.

    The CRC is linear, and appending bytes multiplies by powers of x; as in zlib's crc32_combine.
    """
    power, exponent = 1 << 30, 8 * zeros
    while exponent and crc:
        if exponent & 1:
            crc = _product(power, crc)
        power = _product(power, power)
        exponent >>= 1
    return crc


def _product(a: int, b: int) -> int:
    """Return the product of two polynomials modulo that of the CRC; the highest bit is the constant term."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return product
