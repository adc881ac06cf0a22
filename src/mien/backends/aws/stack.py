"""Open a deployed stack as the command line and the functions see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from math import inf
from typing import TYPE_CHECKING, TypeVar

from mien.app.app import FaceApp
from mien.app.erasure import keyed_hash
from mien.app.reconciler import Reconciler
from mien.backends.aws import clients, secret_keys
from mien.backends.aws.bucket import S3Bucket
from mien.backends.aws.catalog import DynamoCatalog
from mien.backends.aws.recognizer import RekognitionRecognizer
from mien.backends.aws.tables import tables
from mien.domain import object_keys
from mien.domain.errors import Overloaded
from mien.domain.records import Upload, UploadStatus

if TYPE_CHECKING:
    from mien.settings import Settings

A = TypeVar("A", bound=FaceApp)

INDEXING_TIMEOUT_SECONDS = 600.0
POLL_SECONDS = 0.5
GRACE_SECONDS = 90.0  # longer than the upload function may run


def open_app(settings: Settings) -> RemoteApp:
    """Return the application on the stack that the settings name; this does not call AWS yet."""
    return _compose(RemoteApp, settings)


def open_inside(settings: Settings, seconds_left: Callable[[], float] = lambda: inf) -> FaceApp:
    """Return the application for the stack's own functions, which do not wait for the stack to index a photo."""
    return _compose(FaceApp, settings, seconds_left)


def ports(
    settings: Settings, seconds_left: Callable[[], float] = lambda: inf
) -> tuple[S3Bucket, RekognitionRecognizer, DynamoCatalog]:
    """Return the three ports on the resources that the settings name; `seconds_left` is `RekognitionRecognizer`'s."""
    rekognition = clients.rekognition(settings.rekognition_keys_secret)
    named = tables(settings.faces_table, settings.recognitions_table, settings.records_table)
    return (
        S3Bucket(clients.s3(), settings.bucket, settings.policy.max_image_bytes),
        RekognitionRecognizer(
            rekognition,
            settings.collection,
            object_keys.installation_mark(settings.bucket),
            bucket=settings.bucket if clients.reads_buckets(rekognition) else None,
            user_vectors=settings.policy.user_vectors,
            seconds_left=seconds_left,
        ),
        DynamoCatalog(clients.dynamodb(), named, settings.policy.result_days),
    )


def _compose(kind: type[A], settings: Settings, seconds_left: Callable[[], float] = lambda: inf) -> A:
    bucket, recognizer, catalog = ports(settings, seconds_left)
    return kind(
        bucket,
        recognizer,
        catalog,
        settings.policy,
        find_remains=recognizer.find_remains,
        render=_render,
        pseudonym=_pseudonym(settings.keys_secret),
    )


def _render(image: bytes, long_side: int) -> bytes:
    from mien.backends.aws import image_limits  # loads Pillow, which most functions and commands do without

    return image_limits.render(image, long_side)


def _pseudonym(secret: str | None) -> Callable[[str], str]:
    """Return what makes pseudonyms with the stack's key, which is fetched at the first one."""

    @cache
    def hash_by_key() -> Callable[[str], str]:
        return keyed_hash(secret_keys.signing_key(secret))

    return lambda user_id: hash_by_key()(user_id)


class RemoteApp(FaceApp):
    """The application on a deployed stack, whose upload function does the indexing."""

    def reconciler(
        self,
        index: Callable[[str], object],
        remove: Callable[[str], object],
        photos_after: Callable[[str], Iterator[str]],
        *,
        retry_failed: bool,
    ) -> Reconciler:
        """Return a reconciler for the stack's function, which works step by step; the arguments are `Reconciler`'s."""
        return Reconciler(
            self._bucket,
            self._recognizer,
            self._catalog,
            index,
            remove,
            GRACE_SECONDS,
            photos_after,
            retry_failed=retry_failed,
            is_erased=self._erasure.is_erased,
            finish_overdue=True,
        )

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
