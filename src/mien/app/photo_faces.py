"""Track which photos show which faces: a face that copies of one photo share is kept until the last of them goes.

Face ids come from a photo's content and its person, so copies of a photo have the same faces. An Upload lists the
faces of its photo, and the uploads of one digest are the copies; a FaceRecord names one of the photos that show the
face. Everything here may run at the same time as itself and as indexing: what was decided is checked once more after
it was done, and repeated when something changed in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from mien.app.ports import Bucket, Catalog, Recognizer
from mien.domain.errors import StorageError
from mien.domain.faces import iterate_pages
from mien.domain.records import FaceRecord, Upload, UploadStatus

PAGE = 1000


class PhotoFaces:
    """Tells which photos show a face, and removes the faces that no photo shows any more."""

    def __init__(self, bucket: Bucket, recognizer: Recognizer, catalog: Catalog) -> None:
        self._bucket, self._recognizer, self._catalog = bucket, recognizer, catalog

    def exists(self, path: str) -> bool:
        """Tell whether there is a photo under a path."""
        return path in self._bucket.keys(path)

    def are_enrolled(self, face_ids: Iterable[str]) -> bool:
        """Tell whether each of the faces has its record."""
        wanted = set(face_ids)
        return len(self._catalog.get(FaceRecord, sorted(wanted))) == len(wanted)

    def showing(self, face: FaceRecord) -> list[Upload]:
        """Return the uploads of the photos that show a face: the one that its record names, and that one's copies."""
        named = self._catalog.get(Upload, [face.image_path])
        copies = self._copies(named[0].digest) if named else iter(())
        uploads = {upload.image_path: upload for upload in (*named, *copies)}
        return [upload for upload in uploads.values() if face.face_id in upload.face_ids]

    def release(self, path: str, keep: Iterable[str] = ()) -> list[str]:
        """Remove the faces that only this photo showed, but for those to `keep`.

        The record of a face that a copy of the photo shows, too, names the copy from now on.

        Returns the paths of photos that began to show a removed face meanwhile; they have to be indexed again.
        """
        upload = next(iter(self._catalog.get(Upload, [path])), None)
        digest = upload.digest if upload else None
        face_ids = {face.face_id for face in self._recorded(path)} | set(upload.face_ids if upload else ())
        face_ids -= set(keep)
        removed = [face_id for face_id in sorted(face_ids) if not self._hand_over(face_id, digest, path)]
        self._recognizer.delete(removed)
        self._catalog.delete(FaceRecord, removed)
        if not removed:
            return []
        return [copy.image_path for copy in self._holders(digest, path) if set(copy.face_ids) & set(removed)]

    def _hand_over(self, face_id: str, digest: str | None, path: str) -> bool:
        """Let the face's record name another photo that shows it; False when there is none."""
        while True:
            record = next(iter(self._catalog.get(FaceRecord, [face_id])), None)
            if record is not None and record.negative:
                return True
            if record is None:
                return False
            if record.image_path != path and self._may_exist(record.image_path):
                return True
            other = next((copy for copy in self._holders(digest, path) if face_id in copy.face_ids), None)
            if other is None:
                return False
            is_handed_over = self._catalog.put(replace(record, image_path=other.image_path), unchanged=[record])
            if is_handed_over and self._holds(other.image_path, face_id):
                return True

    def _holders(self, digest: str | None, path: str) -> Iterator[Upload]:
        """The indexed copies of a photo that exist, without the photo itself."""
        return (copy for copy in self._copies(digest) if copy.image_path != path and self._may_exist(copy.image_path))

    def _holds(self, path: str, face_id: str) -> bool:
        uploads = self._catalog.get(Upload, [path])
        return any(face_id in upload.face_ids for upload in uploads) and self._may_exist(path)

    def _may_exist(self, path: str) -> bool:
        """Whether a copy exists; one whose folder cannot be read may exist, and then its faces must not go."""
        with suppress(StorageError):
            return self.exists(path)
        return True

    def _copies(self, digest: str | None) -> Iterator[Upload]:
        if digest is None:
            return iter(())
        pages = iterate_pages(lambda token: self._catalog.find(Upload, digest=digest, limit=PAGE, token=token))
        return (upload for upload in pages if upload.status is UploadStatus.INDEXED and upload.digest == digest)

    def _recorded(self, path: str) -> Iterator[FaceRecord]:
        return iterate_pages(lambda token: self._catalog.find(FaceRecord, image_path=path, limit=PAGE, token=token))
