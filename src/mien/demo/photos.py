"""The demo's photos: a registry package's test images, fetched once, checked, kept in the user's cache."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from mien.demo.registry import fetch
from mien.domain.errors import SetupError

PROJECT = "face-recognition"
ARCHIVE = "face_recognition-1.3.0.tar.gz"
SHA256 = "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec"
FOLDER = "tests/test_images"
SUFFIXES = {".jpg"}  # its one PNG is a second copy of a JPEG
PEOPLE = {"obama": "Barack Obama", "biden": "Joe Biden"}  # what the files' names begin with


def demo_photos(cache: Path, index: str | None = None) -> list[Path]:
    """The photos in the order of their names. SetupError when they are neither in the cache nor to be had."""
    folder = cache / SHA256[:16]
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as draft:
            unpack(fetch(PROJECT, ARCHIVE, SHA256, index), Path(draft) / "photos")
            (Path(draft) / "photos").rename(folder)
    return sorted(folder.iterdir(), key=lambda file: file.stem)


def by_person(photos: Iterable[Path]) -> list[tuple[str, list[Path]]]:
    """The photos of each person whom a file's name begins with, who has the most first."""
    groups = [(name, [photo for photo in photos if photo.stem.startswith(start)]) for start, name in PEOPLE.items()]
    return sorted(groups, key=lambda group: -len(group[1]))


def keep(photos: Iterable[Path], folder: Path) -> None:
    """Sort copies into `folder`: people/<name>/ holds one photo of each person to enrol, new/ all others."""
    for name, (first, *others) in by_person(photos):
        for photo, place in ((first, folder / "people" / name), *((photo, folder / "new") for photo in others)):
            place.mkdir(parents=True, exist_ok=True)
            (place / photo.name).write_bytes(photo.read_bytes())


def unpack(archive: bytes, folder: Path) -> None:
    """Write the archive's photos, and nothing else, into a new folder, under their bare names."""
    folder.mkdir(parents=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for name, content in _members(tar):
                (folder / name).write_bytes(content)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SetupError(f"{ARCHIVE} cannot be unpacked: {error}.") from error


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        path = PurePosixPath(member.name)
        wanted = "/".join(path.parts[1:-1]) == FOLDER and path.suffix in SUFFIXES
        if member.isfile() and wanted and (file := tar.extractfile(member)):
            yield path.name, file.read()
