"""Upload photos: a photo gets its path in the bucket and a status in the catalog; an event then has it indexed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime

from mien.app.people import PeopleService
from mien.app.ports import Bucket, Catalog
from mien.domain import image_types, object_keys
from mien.domain.errors import ImageNotFound, UserExists
from mien.domain.records import Upload, UploadStatus
from mien.domain.results import UploadForm

FORM_SECONDS = 900


class UploadService:
    """Stores photos and tells their status. Image paths and user ids have to be valid already."""

    def __init__(self, bucket: Bucket, catalog: Catalog, people: PeopleService, now: Callable[[], datetime]) -> None:
        self._bucket, self._catalog, self._people, self._now = bucket, catalog, people, now

    def store(self, image: bytes, user_id: str | None, *, is_known: bool = True) -> Upload:
        """Store a photo as `pending`, under a path made from its content.

        Where it is not known yet whether the person may have the id, indexing finds out, as for a copied file. A photo
        that is in the bucket and indexed already is not stored again; its upload is returned. Raises
        EmptyImage or UnsupportedImage.
        """
        _, extension = image_types.sniff(image)
        path = object_keys.image_path(user_id, object_keys.upload_id(image), extension)
        stored = self._catalog.get(Upload, [path])
        if stored and stored[0].status is UploadStatus.INDEXED and path in self._bucket.keys(path):
            return stored[0]
        digest = stored[0].digest if stored else None  # names the faces of the photo that was here before
        owner = user_id if is_known else None
        upload = Upload(path, owner, UploadStatus.PENDING, self._now(), digest)
        self._catalog.put(upload)
        self.store_at(path, image)
        return upload

    def store_at(self, path: str, image: bytes) -> None:
        """Store a photo under a given path. Raises EmptyImage or UnsupportedImage."""
        content_type, _ = image_types.sniff(image)
        user_id = object_keys.user_id_of(path)
        self._bucket.put(path, image, content_type, {"user-id": object_keys.to_recognizer_id(user_id)})

    def presign(self, content_type: str, user_id: str | None, max_bytes: int) -> UploadForm:
        """Sign a form for a direct upload, valid for 15 minutes. InvalidInput when the type is not an image's."""
        path = object_keys.image_path(user_id, uuid.uuid4().hex, image_types.extension(content_type))
        return self._bucket.presign(path, content_type, max_bytes, FORM_SECONDS)

    def status(self, path: str) -> Upload:
        """Return the upload of a path; `pending` for a photo without a record, which came by a form or by hand.

        Raises ImageNotFound when there is neither a record nor a photo.
        """
        if stored := self._catalog.get(Upload, [path]):
            return stored[0]
        if path not in self._bucket.keys(path):
            raise ImageNotFound("No photo was uploaded under this path.")
        try:
            user_id = self._people.owner(path)
        except UserExists:  # indexing will say so
            user_id = None
        return Upload(path, user_id, UploadStatus.PENDING, self._now())
