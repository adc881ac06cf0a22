"""Segments on disk: one folder each, made under another name and renamed when whole.

The folder's name says which rows it covers; its `manifest` holds the version, whose cache it is,
the calibration and the CRC-32 of the other files, after its own. Whatever does not agree is not opened: the rows
are searched exactly until the segment is built anew. `vectors` is memory-mapped, so that processes
share it; the others are read at once.
"""

from __future__ import annotations

import json
import mmap
import re
import shutil
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mien.gallery.vector_index.kernels import ENTRIES, GROUPS, LANES, ROWS, Held
from mien.gallery.vector_index.quantization import Calibration, Codebook, Codes
from mien.gallery.vector_index.segment import Segment
from mien.gallery.vector_index.source import DIMENSIONS

VERSION = 3
BUILDING = "building"
_SEALED = ("rows", "steps", "codebook", "codes", "vectors")
_NAME = re.compile(r"\d+-\d+-\d+")


class DamagedSegment(Exception):
    """The folder is incomplete, damaged, of another version or of another database."""


def name_of(after: int, upto: int, size: int) -> str:
    """The folder's name. One rebuilt without its deleted rows has a smaller size."""
    return f"{after}-{upto}-{size}"


def span_of(name: str) -> tuple[int, int, int]:
    """The arguments of `name_of`."""
    after, upto, size = map(int, name.split("-"))
    return after, upto, size


def chain(folder: Path, damaged: frozenset[str] = frozenset()) -> list[str]:
    """The names of the segments that cover the rows without a gap or overlap from the first row on."""
    spans = [span_of(path.name) for path in _folders(folder) if _NAME.fullmatch(path.name)]
    best = sorted(spans, key=lambda span: (span[0], -span[1], span[2]))
    names, reached = [], 0
    for after, upto, size in best:
        name = name_of(after, upto, size)
        if after == reached and name not in damaged:
            names.append(name)
            reached = upto
    return names


def leftovers(folder: Path, kept: list[str]) -> list[Path]:
    """Folders that are no part of the chain: superseded, damaged, or half built by a process that died."""
    return [path for path in _folders(folder) if path.name not in kept]


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def write_manifest(folder: Path, identity: str, size: int, calibration: Calibration) -> None:
    """Seal a folder that holds the other files."""
    manifest = {
        "version": VERSION,
        "identity": identity,
        "size": size,
        "calibration": asdict(calibration),
        "crc32": {name: _checksum(folder / name) for name in _SEALED},
    }
    body = json.dumps(manifest)
    (folder / "manifest").write_text(f"{zlib.crc32(body.encode())}\n{body}")


def open_segment(folder: Path, identity: str) -> Segment:
    """Open and verify one. Raises DamagedSegment."""
    try:
        manifest = _manifest(folder)
        _verify(folder, manifest, identity)
        return _read(folder, manifest)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DamagedSegment(folder.name) from error


def _manifest(folder: Path) -> dict[str, Any]:
    checksum, _, body = (folder / "manifest").read_text().partition("\n")
    if int(checksum) != zlib.crc32(body.encode()):
        raise ValueError("the manifest is not the one that was written")
    manifest: dict[str, Any] = json.loads(body)
    return manifest


def _verify(folder: Path, manifest: dict[str, Any], identity: str) -> None:
    if (manifest["version"], manifest["identity"]) != (VERSION, identity):
        raise ValueError("another version or database")
    if manifest["crc32"] != {name: _checksum(folder / name) for name in _SEALED}:
        raise ValueError("the files are not those that were written")


def _read(folder: Path, manifest: dict[str, Any]) -> Segment:
    after, upto, size = span_of(folder.name)
    calibration = manifest["calibration"]
    for several in ("noise", "mean"):
        calibration[several] = tuple(calibration[several])
    held = Held(
        codes=_paged(folder / "codes").reshape(-1, ROWS, LANES),
        stored=np.asarray(np.memmap(folder / "vectors", np.int8, "r", shape=(size, DIMENSIONS))),
        steps=np.fromfile(folder / "steps", np.float32),
        rows=np.fromfile(folder / "rows", np.int64),
        dead=None,
    )
    if (len(held.codes), len(held.steps), len(held.rows)) != (-(-size // LANES), size, size):
        raise ValueError("the files are not of one length")
    book = Codebook.of(np.fromfile(folder / "codebook", np.float32).reshape(2, GROUPS, ENTRIES))
    return Segment(folder.name, (after, upto), held, book, Calibration(**calibration))


def _paged(path: Path) -> Codes:
    """The file in memory that begins with a page, so that no load of the scan straddles two lines of the cache."""
    with path.open("rb") as file:
        memory = mmap.mmap(-1, path.stat().st_size)
        file.readinto(memory)
    return np.frombuffer(memory, np.uint8)


def _checksum(path: Path) -> int:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return zlib.crc32(content)


def remove(folder: Path) -> None:
    """Delete a segment's folder; whoever has it open keeps what is mapped."""
    shutil.rmtree(folder, ignore_errors=True)
