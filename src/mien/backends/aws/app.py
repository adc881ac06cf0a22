"""The application on a deployed stack: enrolling is the stack's work, and is waited for."""

from __future__ import annotations

import time

from mien.app.app import FaceApp
from mien.domain.errors import Overloaded
from mien.domain.records import Upload, UploadStatus

PATIENCE_SECONDS = 600.0
POLL_SECONDS = 0.5


class RemoteApp(FaceApp):
    """Photos go into the bucket; the event has them indexed, as fast as Rekognition's quota lets it."""

    def enroll(self, image: bytes, user_id: str) -> Upload:
        """Raises Overloaded when the event has not been worked on in ten minutes; it stays in the queue then."""
        upload = self.upload(image, user_id)
        until = time.monotonic() + PATIENCE_SECONDS
        while upload.status is UploadStatus.PENDING:
            if time.monotonic() > until:
                raise Overloaded("The photo is uploaded but not indexed yet; look at the stack's queue and alarms.")
            time.sleep(POLL_SECONDS)
            upload = self.upload_status(upload.image_path)
        return upload
