"""A person's name in the bytes of every file of the data folder: proof of absence below the level of tables.

Names are looked for as they are stored: quoted in an item's JSON, and as the folder of their photos.
"""

from __future__ import annotations

import json
from pathlib import Path

from mien.domain import object_keys

CHUNK = 1 << 20


def residue(data_dir: Path, user_id: str) -> tuple[str, ...]:
    """The files, relative to the data folder, that hold the name; photos of other people are not read."""
    needles = [json.dumps(user_id, ensure_ascii=False).encode(), object_keys.folder(user_id).encode()]
    bucket = data_dir / "bucket"
    files = (path for path in sorted(data_dir.rglob("*")) if path.is_file() and bucket not in path.parents)
    return tuple(str(path.relative_to(data_dir)) for path in files if _holds(path, needles))


def _holds(path: Path, needles: list[bytes]) -> bool:
    overlap = max(map(len, needles))
    before = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                window = before + chunk
                if any(needle in window for needle in needles):
                    return True
                before = window[-overlap:]
    except FileNotFoundError:
        return False
    return False
