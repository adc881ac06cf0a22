"""Messages of the upload queue -> indexed photos, and the ids of the messages that have to come again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from mien.domain.errors import ImageNotFound, InvalidInput, Overloaded
from mien.domain.records import UploadStatus
from mien.lambdas.telemetry import count, logger

if TYPE_CHECKING:
    from mien.app.app import FaceApp
    from mien.domain.records import Upload

MAX_RECEIVES = 10  # the upload queue's maxReceiveCount


def index_all(messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The answer that SQS expects of a partial batch."""
    failed = [message["messageId"] for message in messages if not _settled(message)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def keys(body: str) -> Iterator[str]:
    """The keys of an S3 event, which are encoded like a form; S3's test event has none."""
    for record in json.loads(body).get("Records", ()):
        if record["eventName"].startswith("ObjectCreated:"):
            yield unquote_plus(record["s3"]["object"]["key"])


@cache
def _app() -> FaceApp:
    from mien.config import open_app

    return open_app()


def _settled(message: dict[str, Any]) -> bool:
    last = int(message["attributes"]["ApproximateReceiveCount"]) >= MAX_RECEIVES
    try:
        for key in keys(message["body"]):
            _index(key, last=last)
    except Exception as error:
        count("UploadsRetried")
        if isinstance(error, Overloaded):
            count("Throttled")
        logger.warning("a photo goes back to the queue", error=type(error).__name__)
        return False
    return True


def _index(key: str, *, last: bool) -> None:
    try:
        upload = _attempt(key, last=last)
    except ImageNotFound:
        logger.info("the photo was deleted before it was indexed")
    except InvalidInput:
        logger.warning("an object under uploaded/ has a name that no photo can have")
        count("UploadsRejected")
    else:
        count("FacesIndexed", len(upload.face_ids))
        count("UploadsRejected", upload.status is UploadStatus.REJECTED)


def _attempt(key: str, *, last: bool) -> Upload:
    """After the last one the message is set aside, and who asks for the photo's state has to know."""
    try:
        return _app().index_upload(key)
    except (ImageNotFound, InvalidInput):
        raise
    except Exception:
        if last:
            count("UploadsFailed", _app().mark_failed(key).status is UploadStatus.FAILED)
        raise
