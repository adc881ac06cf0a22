"""Keep portraits of unknown faces, which their photos are not needed for any more."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from mien.app.group_ports import Grouping
from mien.app.grouping import Grouper
from mien.app.indexing import IndexingService
from mien.domain import image_types, object_keys
from mien.domain.errors import MienError, StorageError
from mien.domain.groups import DismissedFace
from mien.domain.records import FaceRecord, Upload, UploadStatus
from mien.domain.results import Image, Portrait

MAX_FILES = 64
"""Portraits that are written at once: their files are open at the same time."""


class PortraitKeeper:
    """Stores portraits as photos of nobody, each face in its group."""

    def __init__(
        self,
        ports: Grouping,
        grouper: Grouper,
        indexing: IndexingService,
        now: Callable[[], datetime],
        group: Callable[[Sequence[str]], None],
    ) -> None:
        """Compose it; `group` puts faces that are enrolled, and of nobody, into groups."""
        self._bucket, self._recognizer, self._catalog = ports.bucket, ports.recognizer, ports.catalog
        self._grouper, self._indexing, self._now, self._group = grouper, indexing, now, group

    def keep(self, portraits: Sequence[Portrait]) -> list[str | None]:
        """Store portraits, and return the group of each; None for one that was dismissed.

        One that is stored already changes nothing. The files are written before anything is stored of the faces, and
        get their places afterwards: an error leaves nothing, and a reconciliation finds what a crash leaves.
        """
        parts = (portraits[start : start + MAX_FILES] for start in range(0, len(portraits), MAX_FILES))
        return [group_id for part in parts for group_id in self._keep(part)]

    def _keep(self, portraits: Sequence[Portrait]) -> list[str | None]:
        by_path = {_path(portrait): portrait for portrait in portraits}
        dismissed = {each.upload_id for each in self._catalog.get(DismissedFace, list(map(_upload_id, portraits)))}
        wanted = {path: each for path, each in by_path.items() if _upload_id(each) not in dismissed}
        new = {path: each for path, each in wanted.items() if not self._stored(path)}
        with self._bucket.staged({path: _image(each) for path, each in new.items()}) as move, self._grouper.lock:
            groups = {path: self._group_again(face_ids) for path in wanted if (face_ids := self._stored(path))}
            groups |= self._store({path: each for path, each in new.items() if path not in groups})
            try:
                move()
            except StorageError:
                for path in new:
                    with suppress(MienError):  # or else a reconciliation removes it
                        self._indexing.remove_missing(path)
                raise
        return [groups.get(_path(portrait)) for portrait in portraits]

    def _stored(self, path: str) -> Sequence[str]:
        """The faces of a portrait that is stored already."""
        uploads = self._catalog.get(Upload, [path])
        is_stored = uploads and uploads[0].status is UploadStatus.INDEXED and path in self._bucket.keys(path)
        return uploads[0].face_ids if is_stored else ()

    def _group_again(self, face_ids: Sequence[str]) -> str | None:
        self._group(face_ids)
        return next(iter(self._catalog.groups_of(face_ids).values()), None)

    def _store(self, portraits: dict[str, Portrait]) -> dict[str, str]:
        if not portraits:
            return {}
        face_ids, now = self._recognizer.index_portraits(list(portraits.values())), self._now()
        new = []
        for (path, portrait), face_id in zip(portraits.items(), face_ids, strict=True):
            digest = hashlib.sha256(portrait.image).hexdigest()
            face = FaceRecord(face_id, None, path, now, portrait.box, portrait.probe.face.confidence)
            new.append((face, Upload(path, None, UploadStatus.INDEXED, now, digest, (face_id,))))
        return dict(zip(portraits, self._grouper.store(new), strict=True))


def _upload_id(portrait: Portrait) -> str:
    return object_keys.upload_id(portrait.image)


def _path(portrait: Portrait) -> str:
    return object_keys.image_path(None, _upload_id(portrait), "jpg")


def _image(portrait: Portrait) -> Image:
    content_type, _ = image_types.sniff(portrait.image)
    return Image(portrait.image, content_type, {"user-id": object_keys.to_recognizer_id(None)})
