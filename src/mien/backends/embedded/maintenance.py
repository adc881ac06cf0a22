"""Maintain a data folder: find issues with enrolled faces, calibrate on them, verify erasures.

All of it needs what only the embedded backend has: the embeddings, and the bytes of every file.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.backends.embedded import byte_search
from mien.domain import object_keys
from mien.domain.errors import StorageError
from mien.domain.faces import Issue, StoredFace, iterate_pages
from mien.gallery.inspection import SAME_FACE, inspect
from mien.gallery.scoring import Calibration, calibrate, impostor_cosines

if TYPE_CHECKING:
    from mien.domain.records import Person
    from mien.gallery import Gallery

FACES_BATCH = 1000
_SETTING = "calibration"


def find_issues(
    gallery: Gallery, collection: str, by_id: Callable[[Collection[str]], Mapping[str, Person]]
) -> list[Issue]:
    """Find what looks wrong with the faces of a collection. Changes nothing.

    `by_id` returns whom each user id leads to, as `PeopleService.by_id` does: the issues name people by their names.
    """
    faces = _faces(gallery, collection)
    user_ids = {face.face_id: user_id for face in faces if (user_id := _user_id(face)) is not None}
    people = by_id(sorted(set(user_ids.values())))
    names = {face_id: people[each].name if each in people else each for face_id, each in user_ids.items()}
    ids = {person.name: person.user_id for person in people.values()}
    pairs = gallery.search.similar_pairs(collection, SAME_FACE)
    embeddings = gallery.faces.embeddings(collection, [face.face_id for face in faces])
    issues = inspect(faces, embeddings, names, pairs, calibration(gallery, collection))
    return [
        replace(issue, people=tuple(ids.get(name, name) for name in issue.people), names=issue.people)
        for issue in issues
    ]


def calibration(gallery: Gallery, collection: str) -> Calibration:
    """Return the calibration in use: the collection's own, or the default."""
    return gallery.collections.calibration(collection)


def calibrate_on_enrolled(gallery: Gallery, collection: str) -> Calibration:
    """Calibrate on the similarities between the enrolled people. Raises InvalidInput when they are too few."""
    people = {face.face_id: user_id for face in _faces(gallery, collection) if (user_id := _user_id(face)) is not None}
    return calibrate(impostor_cosines(gallery.faces.embeddings(collection, list(people)), list(people.values())))


def set_calibration(gallery: Gallery, collection: str, own: Calibration | None) -> None:
    """Store a collection's own calibration, or None for the default; the next search uses it."""
    settings = gallery.collections.settings(collection)
    settings.pop(_SETTING, None)
    gallery.collections.replace_settings(collection, settings | ({_SETTING: asdict(own)} if own else {}))


def find_remains(data_dir: Path, user_id: str) -> tuple[str, ...]:
    """Search the bytes of every file of a data folder for a user id, below the level of tables.

    The id is searched as it is stored: quoted in an item's JSON, and as the folder of its photos. Photos themselves
    are not read; links and special files are neither read nor followed. API keys have names of their own.

    Returns the files that hold it, relative to the data folder. Raises StorageError when they cannot all be read.
    """
    needles = [json.dumps(user_id, ensure_ascii=False).encode(), object_keys.folder(user_id).encode()]
    files = sorted(path for path in _regular_files(data_dir) if path.name != "api-keys.json")
    try:
        found = byte_search.search(files, needles)
    except byte_search.SearchFailed as error:
        raise StorageError("Not all files of the data folder could be searched.") from error
    return tuple(str(path.relative_to(data_dir)) for path in found)


def _regular_files(data_dir: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(data_dir):
        if folder == str(data_dir) and "bucket" in folders:
            folders.remove("bucket")
        for file in files:
            path = Path(folder, file)
            with suppress(FileNotFoundError):
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path


def _faces(gallery: Gallery, collection: str) -> list[StoredFace]:
    return list(iterate_pages(lambda token: gallery.faces.list(collection, limit=FACES_BATCH, token=token)))


def _user_id(face: StoredFace) -> str | None:
    if face.external_image_id is None:
        return None
    return object_keys.from_recognizer_id(object_keys.without_mark(face.external_image_id))
