"""What only one's own gallery allows, because it knows the embeddings: finding errors in it, calibrating on it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from mien.domain import object_keys
from mien.domain.faces import Issue, StoredFace, iterate_pages
from mien.gallery.inspection import SAME_FACE, inspect
from mien.gallery.scoring import Calibration, calibrate, stranger_cosines

if TYPE_CHECKING:
    from mien.gallery import Gallery

AT_ONCE = 1000
SETTING = "calibration"


def hygiene(gallery: Gallery, collection: str) -> list[Issue]:
    """What is wrong with who is enrolled; nothing is changed."""
    faces = _faces(gallery, collection)
    people = {face.face_id: name for face in faces if (name := _name(face)) is not None}
    alike = gallery.search.similar_pairs(collection, SAME_FACE)
    return inspect(faces, _embeddings(gallery, collection, faces), people, alike, calibration(gallery, collection))


def calibration(gallery: Gallery, collection: str) -> Calibration:
    """The one in use: the collection's own, or the shipped one."""
    return Calibration(**gallery.collections.settings(collection).get(SETTING, {}))


def calibrate_on_itself(gallery: Gallery, collection: str) -> Calibration:
    """The calibration that the enrolled people's own impostor scores ask for. InvalidInput when they are too few."""
    faces = [face for face in _faces(gallery, collection) if _name(face) is not None]
    _, people = np.unique([_name(face) or "" for face in faces], return_inverse=True)
    return calibrate(stranger_cosines(_embeddings(gallery, collection, faces), people))


def use(gallery: Gallery, collection: str, own: Calibration | None) -> None:
    """Store a calibration with the collection, or None for the shipped one; the next search uses it."""
    settings = gallery.collections.settings(collection)
    settings.pop(SETTING, None)
    gallery.collections.replace_settings(collection, settings | ({SETTING: asdict(own)} if own else {}))


def _faces(gallery: Gallery, collection: str) -> list[StoredFace]:
    return list(iterate_pages(lambda token: gallery.faces.list(collection, limit=AT_ONCE, token=token)))


def _embeddings(gallery: Gallery, collection: str, faces: list[StoredFace]) -> np.ndarray:
    ids = [face.face_id for face in faces]
    parts = [gallery.faces.embeddings(collection, ids[at : at + AT_ONCE]) for at in range(0, len(ids), AT_ONCE)]
    return np.concatenate([np.empty((0, 128), np.float32), *parts])


def _name(face: StoredFace) -> str | None:
    return None if face.external_image_id is None else object_keys.from_recognizer_id(face.external_image_id)
