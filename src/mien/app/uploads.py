"""Photos come in: each gets its place in the bucket and a state in the catalog; indexing follows by an event."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime

from mien.app.ports import Bucket, Catalog
from mien.domain import image_types, object_keys
from mien.domain.errors import ImageNotFound, InvalidInput
from mien.domain.records import Upload, UploadForm, UploadStatus

FORM_SECONDS = 900


class UploadService:
    """Paths and user ids are checked already."""

    def __init__(self, bucket: Bucket, catalog: Catalog, now: Callable[[], datetime]) -> None:
        self._bucket, self._catalog, self._now = bucket, catalog, now

    def take(self, image: bytes, owner: str | None) -> Upload:
        """The content gives the path; a photo that is indexed and there already is not stored again."""
        _, extension = image_types.sniff(image)
        path = object_keys.image_path(owner, object_keys.upload_id(image), extension)
        known = self._catalog.get(Upload, [path])
        if known and known[0].status is UploadStatus.INDEXED and path in self._bucket.keys(path):
            return known[0]
        upload = Upload(path, owner, UploadStatus.PENDING, self._now())
        self._catalog.put(upload)
        self.take_at(path, image)
        return upload

    def take_at(self, path: str, image: bytes) -> None:
        content_type, _ = image_types.sniff(image)
        self._bucket.put(path, image, content_type, {"user-id": object_keys.recognizer_name(object_keys.owner(path))})

    def form(self, content_type: str, owner: str | None, max_bytes: int) -> UploadForm:
        """InvalidInput for a type that is not an image's."""
        extension = image_types.CONTENT_TYPES.get(content_type)
        if extension is None:
            raise InvalidInput(f"The content type is not one of {', '.join(image_types.CONTENT_TYPES)}.")
        path = object_keys.image_path(owner, uuid.uuid4().hex, extension)
        return self._bucket.presign(path, content_type, max_bytes, FORM_SECONDS)

    def state(self, path: str) -> Upload:
        """Raises ImageNotFound; a photo that came by a form or by hand is pending before anything is known of it."""
        if known := self._catalog.get(Upload, [path]):
            return known[0]
        if path not in self._bucket.keys(path):
            raise ImageNotFound("No photo was uploaded under this path.")
        return Upload(path, object_keys.owner(path), UploadStatus.PENDING, self._now())
