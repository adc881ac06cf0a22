"""Open a deployed stack as the command line and the functions see it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mien.app.app import FaceApp
from mien.backends.aws import clients
from mien.backends.aws.bucket import S3Bucket
from mien.backends.aws.catalog import DynamoCatalog, tables
from mien.backends.aws.recognizer import RekognitionRecognizer
from mien.domain import object_keys
from mien.domain.errors import Overloaded
from mien.domain.records import Upload, UploadStatus

if TYPE_CHECKING:
    from mien.config import Settings

INDEXING_TIMEOUT_SECONDS = 600.0
POLL_SECONDS = 0.5
GRACE_SECONDS = 90.0  # longer than the upload function may run


def open_app(settings: Settings) -> FaceApp:
    """Return the application on the stack that the settings name; this does not call AWS yet."""
    return RemoteApp(*ports(settings), settings.policy)


def ports(settings: Settings) -> tuple[S3Bucket, RekognitionRecognizer, DynamoCatalog]:
    """Return the three ports on the resources that the settings name."""
    named = tables(settings.faces_table, settings.recognitions_table, settings.records_table)
    return (
        S3Bucket(clients.s3(), settings.bucket),
        RekognitionRecognizer(
            clients.rekognition(settings.rekognition_keys_secret),
            settings.collection,
            object_keys.installation_mark(settings.bucket),
        ),
        DynamoCatalog(clients.dynamodb(), named, settings.policy.result_days),
    )


class RemoteApp(FaceApp):
    """The application on a deployed stack, whose upload function does the indexing."""

    def enroll(self, image: bytes, user_id: str | None = None, name: str | None = None) -> Upload:
        """Upload a photo and wait until the stack has indexed it.

        Raises:
            Overloaded: The photo was not indexed within ten minutes. It stays in the queue.
        """
        upload = self.upload(image, user_id, name)
        until = time.monotonic() + INDEXING_TIMEOUT_SECONDS
        while upload.status is UploadStatus.PENDING:
            if time.monotonic() > until:
                raise Overloaded("The photo is uploaded but not indexed yet. Check the stack's queue and alarms.")
            time.sleep(POLL_SECONDS)
            upload = self.upload_status(upload.image_path)
        return upload
