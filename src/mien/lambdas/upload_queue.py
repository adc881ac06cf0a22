"""Index the photos that the upload queue announces, and announce photos again that have no final status.

S3 sends a message for each image that lands in the bucket, at least once and in any order. A message whose photo
could not be indexed goes back to the queue alone; the rest of its batch is done. Indexing never writes to the bucket,
so that no message leads to another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, unquote_plus

from mien.config import Settings, open_app
from mien.domain.errors import ImageNotFound, InvalidInput, Overloaded, SetupError
from mien.domain.records import UploadStatus
from mien.lambdas.telemetry import MODEL, count, logger, metrics, tracer
from mien.security.audit import WORKER, Action, Activity, LogLines

if TYPE_CHECKING:
    from mien.app.app import FaceApp
    from mien.domain.records import Upload

MAX_RECEIVES = 10  # maxReceiveCount of the upload queue


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def upload(event: dict[str, Any], context: Any) -> Any:
    """Handle an event of the function `upload`: a batch of the queue's messages, or a request of its routes."""
    if "Records" in event:
        return index_all(event["Records"])
    from mien.lambdas import api_gateway  # loads the web framework, which a batch does not need

    return api_gateway.answer("upload", event, context)


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def reconcile(_event: dict[str, Any], _context: Any) -> None:
    """Handle the daily event of the function `reconcile`: complete interrupted erasures, and reconcile."""
    from mien.backends.aws import clients
    from mien.backends.aws.reconcile import open_reconciler

    settings = Settings.from_environment()
    erasures = open_app(settings).resume_erasures()
    count("ErasuresResumed", len(erasures))
    for report in erasures:
        _record(Action.ERASE, report)
    queue = settings.upload_queue_url
    if queue is None:
        raise SetupError("MIEN_UPLOAD_QUEUE_URL is not set.")
    sqs = clients.sqs()

    def reindex(image_path: str) -> None:
        sqs.send_message(QueueUrl=queue, MessageBody=message_body(image_path))

    found = open_reconciler(settings, reindex).run()
    count("FacesWithoutMetadata", found.faces_without_metadata)
    count("MetadataWithoutFace", found.metadata_without_face)
    count("PhotosWithoutState", found.photos_without_state)


def index_all(messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Index the photos of a batch, and return the messages that failed as SQS expects it of a partial batch."""
    failed = [message["messageId"] for message in messages if not _index_message(message)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def image_paths(body: str) -> Iterator[str]:
    """Yield the keys of the objects that an S3 event says were created. S3's test event has none."""
    for record in json.loads(body).get("Records", ()):
        if record["eventName"].startswith("ObjectCreated:"):
            yield unquote_plus(record["s3"]["object"]["key"])


def message_body(image_path: str) -> str:
    """Return an event like S3's for a photo that is in the bucket already."""
    record = {"eventName": "ObjectCreated:Reconcile", "s3": {"object": {"key": quote_plus(image_path)}}}
    return json.dumps({"Records": [record]})


@cache
def _app() -> FaceApp:
    return open_app()


def _index_message(message: dict[str, Any]) -> bool:
    is_last = int(message["attributes"]["ApproximateReceiveCount"]) >= MAX_RECEIVES
    try:
        for image_path in image_paths(message["body"]):
            _index(image_path, is_last=is_last)
    except Exception as error:
        count("UploadsRetried")
        if isinstance(error, Overloaded):
            count("Throttled")
        logger.warning("a photo goes back to the queue", error=type(error).__name__)
        return False
    return True


def _index(image_path: str, *, is_last: bool) -> None:
    try:
        indexed = _attempt(image_path, is_last=is_last)
    except ImageNotFound:
        logger.info("the photo was deleted before it was indexed")
    except InvalidInput:
        logger.warning("an object under uploaded/ has a key that no photo can have")
        count("UploadsRejected")
    else:
        _record(Action.ENROLL, indexed)
        count("FacesIndexed", len(indexed.face_ids))
        count("UploadsRejected", indexed.status is UploadStatus.REJECTED)


def _record(action: Action, answer: object) -> None:
    """Write an entry of the audit log. It names nobody: the request that began the work has an entry that does."""
    activity = Activity(WORKER, action)
    activity.note(answer)
    LogLines(model=MODEL).record(activity)


def _attempt(image_path: str, *, is_last: bool) -> Upload:
    try:
        return _app().index_upload(image_path)
    except (ImageNotFound, InvalidInput):
        raise
    except Exception:
        if is_last:  # SQS now moves the message to the dead letters; the photo's status has to say so
            count("UploadsFailed", _app().mark_failed(image_path).status is UploadStatus.FAILED)
        raise
