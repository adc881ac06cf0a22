"""Puts right what a crash between two services left behind.

Three kinds of leftovers: faces in Rekognition without metadata, metadata without a face, photos without
a state that is final. Faces are listed first and the metadata is read after a pause, so that what is being
indexed at this moment is not taken for a leftover.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mien.app.ports import Bucket, Catalog
from mien.backends.aws import ports
from mien.backends.aws.calls import batches
from mien.backends.aws.recognizer import RekognitionRecognizer
from mien.domain.errors import MienError
from mien.domain.faces import iterate_pages
from mien.domain.records import FaceRecord, Upload

if TYPE_CHECKING:
    from mien.config import Settings

GRACE_SECONDS = 90  # longer than the upload function may run
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """How many leftovers there were; each was removed, or its photo sent to be indexed again."""

    faces_without_metadata: int
    metadata_without_face: int
    photos_without_state: int


def open_reconciler(settings: Settings, reindex: Callable[[str], object]) -> Reconciler:
    return Reconciler(*ports(settings), reindex)


class Reconciler:
    """`reindex` is told the path of each photo that has to be indexed again."""

    def __init__(
        self,
        bucket: Bucket,
        recognizer: RekognitionRecognizer,
        catalog: Catalog,
        reindex: Callable[[str], object],
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._bucket, self._recognizer, self._catalog = bucket, recognizer, catalog
        self._reindex, self._grace = reindex, grace

    def run(self) -> Reconciliation:
        photos = set(self._bucket.keys("uploaded/"))
        faces = self._recognizer.all_face_ids()
        time.sleep(self._grace)
        records = {record.face_id: record for record in self._records()}
        without_metadata = sorted(faces - records.keys())
        self._recognizer.delete(without_metadata)
        now = self._recognizer.all_face_ids()
        without_face = [record for face_id, record in records.items() if face_id not in now]
        self._catalog.delete(FaceRecord, [record.face_id for record in without_face])
        unfinished = {path for path in photos if not path.endswith("/")} - self._finished(photos)
        for path in sorted(unfinished | {record.image_path for record in without_face} & photos):
            self._again(path)
        return Reconciliation(len(without_metadata), len(without_face), len(unfinished))

    def _again(self, path: str) -> None:
        """A photo that counts as indexed would be left alone: its state goes first."""
        self._catalog.delete(Upload, [path])
        try:
            self._reindex(path)
        except MienError:  # it stays without a state, and the next run finds it again
            return

    def _finished(self, photos: set[str]) -> set[str]:
        return {
            upload.image_path
            for portion in batches(sorted(photos), AT_ONCE)
            for upload in self._catalog.get(Upload, portion)
            if upload.status.final
        }

    def _records(self) -> Iterator[FaceRecord]:
        return iterate_pages(lambda cursor: self._catalog.find(FaceRecord, limit=1000, cursor=cursor))
