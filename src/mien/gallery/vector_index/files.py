"""Write and read segments on disk: one folder each, written under another name and renamed when complete.

The folder's name says which rows it covers. Its `manifest` holds the version, the database and model, what was measured
on the vectors, and the CRC-32 of the other files, after its own. A folder that does not agree with its manifest is not
opened, and its rows are searched exactly until the segment is rebuilt. `vectors` is memory-mapped, so that processes
share it; the other files are read at once.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mien.domain.faces import EMBEDDING_DIMENSION
from mien.gallery.store import private_files
from mien.gallery.vector_index.kernels import BLOCK_ROWS, ENTRIES, GROUPS, LANES, SegmentArrays
from mien.gallery.vector_index.quantization import Codebook, Codes, ScoreModel
from mien.gallery.vector_index.segment import Segment

VERSION = 4
BUILDING = "building"
"""The name of an incomplete folder begins with this."""
LOCK = "lock"
"""The file whose lock is held by who changes the segments of a vector set."""

_CHECKSUM_LINE = len("4294967295\n")
_CHECKED = ("rows", "steps", "codebook", "codes", "vectors")
_NAME = re.compile(r"\d+-\d+-\d+")


class DamagedSegment(Exception):
    """The folder is incomplete, damaged, of another version or of another database."""


def name_of(after: int, upto: int, size: int) -> str:
    """Name the folder of a segment of `size` rows in (after, upto]; rebuilt without deleted rows, it is smaller."""
    return f"{after}-{upto}-{size}"


def span_of(name: str) -> tuple[int, int, int]:
    """Return the arguments of `name_of`."""
    after, upto, size = map(int, name.split("-"))
    return after, upto, size


def chain(folder: Path, damaged: frozenset[str] = frozenset()) -> list[str]:
    """Name the segments that cover the rows without a gap or overlap from the first row on."""
    spans = [span_of(path.name) for path in _folders(folder) if _NAME.fullmatch(path.name)]
    names, reached = [], 0
    for after, upto, size in sorted(spans, key=lambda span: (span[0], -span[1], span[2])):
        name = name_of(after, upto, size)
        if after == reached and name not in damaged:
            names.append(name)
            reached = upto
    return names


def abandoned(folder: Path, kept: list[str]) -> list[Path]:
    """Return the folders outside the chain: superseded, damaged, or left incomplete by a process that died."""
    return [path for path in _folders(folder) if path.name not in kept]


def segments(folder: Path) -> list[Path]:
    """Return the folders of all complete segments, superseded ones included."""
    return [path for path in _folders(folder) if _NAME.fullmatch(path.name)]


@contextmanager
def locked(path: Path, wait: bool) -> Iterator[bool]:
    """Take a lock that ends with the process that holds it; yield whether it was free."""
    with open(path, "w", opener=private_files.opener) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def write_manifest(folder: Path, identity: str, size: int, model: ScoreModel) -> None:
    """Complete a folder that holds the other files."""
    manifest = {
        "version": VERSION,
        "identity": identity,
        "size": size,
        "calibration": _calibration(model),
        "crc32": {name: checksum(folder / name) for name in _CHECKED},
    }
    body = json.dumps(manifest)
    (folder / "manifest").write_text(f"{zlib.crc32(body.encode())}\n{body}")


def replace_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Overwrite a segment's manifest in place, which needs no free space; cut off, it is a damaged one.

    Raises OSError.
    """
    path = folder / "manifest"
    with path.open("r+b") as file:
        size = len(file.read())
        body = json.dumps(manifest).encode().ljust(size - _CHECKSUM_LINE)
        file.seek(0)
        file.write(f"{zlib.crc32(body):>{_CHECKSUM_LINE - 1}}\n".encode() + body)
        file.flush()
        os.fsync(file.fileno())


def open_segment(folder: Path, identity: str) -> Segment:
    """Open and verify a segment. Raises DamagedSegment."""
    try:
        manifest = read_manifest(folder)
        _verify(folder, manifest, identity)
        return _read(folder, manifest)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DamagedSegment(folder.name) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a segment's manifest. Raises OSError, and ValueError when it is not the one that was written."""
    checksum, _, body = (folder / "manifest").read_text().partition("\n")
    if int(checksum) != zlib.crc32(body.encode()):
        raise ValueError("the manifest is not the one that was written")
    manifest: dict[str, Any] = json.loads(body)
    return manifest


def _verify(folder: Path, manifest: dict[str, Any], identity: str) -> None:
    if (manifest["version"], manifest["identity"]) != (VERSION, identity):
        raise ValueError("another version or database")
    if manifest["crc32"] != {name: checksum(folder / name) for name in _CHECKED}:
        raise ValueError("the files are not those that were written")


def _read(folder: Path, manifest: dict[str, Any]) -> Segment:
    after, upto, size = span_of(folder.name)
    vectors = np.memmap(folder / "vectors", np.int8, "r", shape=(size, EMBEDDING_DIMENSION))
    arrays = SegmentArrays(
        codes=_page_aligned(folder / "codes").reshape(-1, BLOCK_ROWS, LANES),
        int8_vectors=np.asarray(vectors),
        scales=np.fromfile(folder / "steps", np.float32),
        rows=np.fromfile(folder / "rows", np.int64),
        tombstones=None,
    )
    if (len(arrays.codes), len(arrays.scales), len(arrays.rows)) != (-(-size // LANES), size, size):
        raise ValueError("the files are not of one length")
    codebook = Codebook.of(np.fromfile(folder / "codebook", np.float32).reshape(2, GROUPS, ENTRIES))
    return Segment(folder.name, (after, upto), arrays, codebook, _model(manifest["calibration"]))


def _calibration(model: ScoreModel) -> dict[str, Any]:
    """Return a score model as the manifest names it."""
    return {
        "offset": model.offset,
        "slope": model.slope,
        "noise": model.noise_std,
        "slack": model.sq8_error,
        "spread": model.impostor_std,
        "mean": model.mean,
    }


def _model(calibration: dict[str, Any]) -> ScoreModel:
    return ScoreModel(
        offset=calibration["offset"],
        slope=calibration["slope"],
        noise_std=tuple(calibration["noise"]),
        sq8_error=calibration["slack"],
        impostor_std=calibration["spread"],
        mean=tuple(calibration["mean"]),
    )


def _page_aligned(path: Path) -> Codes:
    """Read a file into memory that begins with a page, so that no load of the scan straddles two cache lines."""
    with path.open("rb") as file:
        memory = mmap.mmap(-1, path.stat().st_size)
        file.readinto(memory)
    return np.frombuffer(memory, np.uint8)


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return zlib.crc32(content)


def remove(folder: Path) -> None:
    """Delete a segment's folder; processes that have it open keep what is mapped."""
    shutil.rmtree(folder, ignore_errors=True)
