"""Repair what a crash between two services left behind.

There are three kinds of inconsistencies: faces in Rekognition without metadata, metadata without a face, and photos
without a final status. Faces are listed first and the metadata is read after a pause, so that a photo that is being
indexed at that moment is not taken for an inconsistency.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mien.app.ports import Bucket, Catalog
from mien.backends.aws.clients import batches
from mien.backends.aws.recognizer import RekognitionRecognizer
from mien.backends.aws.stack import ports
from mien.domain.errors import MienError
from mien.domain.faces import iterate_pages
from mien.domain.records import FaceRecord, Upload

if TYPE_CHECKING:
    from mien.config import Settings

GRACE_SECONDS = 90  # longer than the upload function may run
STATES_BATCH = 100


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """How many inconsistencies there were. Each was deleted, or its photo is indexed again."""

    faces_without_metadata: int
    metadata_without_face: int
    photos_without_state: int


def open_reconciler(settings: Settings, reindex: Callable[[str], object]) -> Reconciler:
    """Make the reconciler of the stack that the settings name; see `Reconciler` for `reindex`."""
    return Reconciler(*ports(settings), reindex)


class Reconciler:
    """Finds and repairs the inconsistencies of one stack."""

    def __init__(
        self,
        bucket: Bucket,
        recognizer: RekognitionRecognizer,
        catalog: Catalog,
        reindex: Callable[[str], object],
        grace: float = GRACE_SECONDS,
    ) -> None:
        """Work on the three ports of a stack.

        Args:
            bucket: The photos.
            recognizer: The faces.
            catalog: The metadata.
            reindex: Indexes the photo of a path again, now or later.
            grace: Seconds between listing the faces and reading the metadata.
        """
        self._bucket, self._recognizer, self._catalog = bucket, recognizer, catalog
        self._reindex, self._grace = reindex, grace

    def run(self) -> Reconciliation:
        """Repair all inconsistencies, and return how many there were."""
        photos = set(self._bucket.keys("uploaded/"))
        faces = self._recognizer.all_face_ids()
        time.sleep(self._grace)
        records = {record.face_id: record for record in self._records()}
        without_metadata = sorted(faces - records.keys())
        self._recognizer.delete(without_metadata)
        remaining = self._recognizer.all_face_ids()
        without_face = [record for face_id, record in records.items() if face_id not in remaining]
        self._catalog.delete(FaceRecord, [record.face_id for record in without_face])
        unfinished = {path for path in photos if not path.endswith("/")} - self._with_final_state(photos)
        for path in sorted(unfinished | {record.image_path for record in without_face} & photos):
            self._index_again(path)
        return Reconciliation(len(without_metadata), len(without_face), len(unfinished))

    def _index_again(self, path: str) -> None:
        self._catalog.delete(Upload, [path])  # a photo whose status is `indexed` would be left as it is
        try:
            self._reindex(path)
        except MienError:  # the photo has no status now, so the next run finds it again
            return

    def _with_final_state(self, photos: set[str]) -> set[str]:
        return {
            upload.image_path
            for portion in batches(sorted(photos), STATES_BATCH)
            for upload in self._catalog.get(Upload, portion)
            if upload.status.final
        }

    def _records(self) -> Iterator[FaceRecord]:
        return iterate_pages(lambda token: self._catalog.find(FaceRecord, limit=1000, token=token))
