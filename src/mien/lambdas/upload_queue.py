"""Let faces follow the photos of the bucket, as the upload queue tells of them.

S3 sends a message for each photo that is created, deleted or expires, at least once and in any order. So a message
only says which photo to look at: whether it exists is asked of the bucket. A message that could not be handled goes
back to the queue alone, for longer each time; the rest of its batch is done. SQS counts the attempts, and after ten
moves the message to the dead letters, whose consumer marks the photo as failed. One that ended the process three times
is marked so at once.
Nothing here writes to the bucket, so that no message leads to another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

from mien.domain.errors import ImageNotFound, InvalidInput, MienError, Overloaded
from mien.domain.records import UploadStatus
from mien.lambdas import deadline, worker
from mien.lambdas.queue_messages import ERASURES, changes, hide
from mien.lambdas.telemetry import count, logger, metrics
from mien.security.audit import Action
from mien.settings import Settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

    from mien.backends.aws.attempts import Attempts

MAX_RECEIVES = 10  # maxReceiveCount of the upload queue
MAX_DEATHS = 3  # of processes in which a message was handled
FIRST_PAUSE, LONGEST_PAUSE = 10, 900  # seconds until a message comes again; the first one doubles
ATTEMPT_SECONDS = 40.0  # what a photo takes at most; with less left, its attempt is not begun


@logger.inject_lambda_context
@metrics.log_metrics
def upload(event: dict[str, Any], context: Any) -> Any:
    """Handle an event of the function `upload`: a batch of the queue's messages, or a request of its routes."""
    if "Records" in event:
        return _each_message(event, context, _follow)
    with deadline.without_collecting():
        from mien.lambdas import api_gateway  # loads the web framework, which a batch does not need

    return api_gateway.answer("upload", event, context)


@logger.inject_lambda_context
@metrics.log_metrics
def give_up(event: dict[str, Any], context: Any) -> Any:
    """Handle an event of the function `failed`: a batch of dead letters, whose photos become `failed`, or are gone."""
    return _each_message(event, context, _give_up)


@cache
def _attempts() -> Attempts:
    from mien.backends.aws import attempts, clients

    return attempts.Attempts(clients.dynamodb(), Settings.from_environment().records_table)


def pause(attempts: int) -> int:
    """Return the seconds after which a message comes again that has come so often."""
    return min(LONGEST_PAUSE, FIRST_PAUSE << min(attempts, MAX_RECEIVES) - 1)


def _each_message(event: dict[str, Any], context: Any, handle: Callable[[SQSRecord], None]) -> Any:
    """Handle the messages of a batch, and return those that failed as SQS expects it of a partial batch.

    Raises InvalidInput for what is no batch of SQS, such as an event that S3 itself sends.
    """
    messages = event["Records"]
    if not isinstance(messages, list) or not messages or not all(map(_is_of_queue, messages)):
        raise InvalidInput("The event is no batch of the queue's messages.")
    deadline.begin(context)
    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event, handle, processor, context)


def _is_of_queue(message: object) -> bool:
    return isinstance(message, dict) and message.get("eventSource") == "aws:sqs" and bool(message.get("messageId"))


def _follow(record: SQSRecord) -> None:
    if deadline.seconds_left() < ATTEMPT_SECONDS:
        raise Overloaded("The messages before this one took too long.")
    try:
        _attempt(record)
    except Exception as error:
        count("UploadsRetried")
        if isinstance(error, Overloaded):
            count("Throttled")
        logger.warning("a photo goes back to the queue", error=type(error).__name__)
        with suppress(MienError):  # then it comes after the queue's time
            hide(record.receipt_handle, pause(_receives(record)))
        raise


def _attempt(record: SQSRecord) -> None:
    worker.audit_log()  # before anything is done that could not be recorded
    if record.body == ERASURES:  # a large one may take several functions
        _finish_erasures()
        return
    attempts = _attempts()
    if attempts.begin(record.message_id, _receives(record)) >= MAX_DEATHS:
        logger.error("a message that ended its function each time is given up")
        _give_up(record, interrupted=True)
        return
    try:
        _follow_photos(record.body)
    except Exception:
        with suppress(MienError):  # then it counts as one that did not end
            attempts.end(record.message_id)
        raise


def _receives(message: SQSRecord) -> int:
    return int(message.attributes.approximate_receive_count)


def _follow_photos(body: str) -> None:
    for image_path, is_gone in changes(body):
        if is_gone:
            _remove(image_path)
        else:
            _index(image_path)


def _give_up(record: SQSRecord, *, interrupted: bool = False) -> None:
    """Mark a message's photos as failed. Those that are gone lose their faces however often it takes."""
    try:
        told = list(changes(record.body))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        logger.error("a message that is no event was dropped")
        return
    for image_path, is_gone in told:
        if is_gone:
            _remove(image_path)
            continue
        try:
            upload = worker.application().mark_failed(image_path, interrupted=interrupted)
        except (ImageNotFound, InvalidInput):
            logger.info("the photo that could not be indexed is gone")
        else:
            count("UploadsFailed", upload.status is UploadStatus.FAILED)


def _finish_erasures() -> None:
    for report in worker.application().resume_erasures():
        worker.record(Action.ERASE, report)
    if worker.application().pending_erasures():
        raise Overloaded("An erasure is not finished; try again.")


def _index(image_path: str) -> None:
    try:
        indexed = worker.application().index_upload(image_path)
    except ImageNotFound:
        logger.info("the photo was deleted before it was indexed")
    except InvalidInput:
        logger.warning("an object under uploaded/ has a key that no photo can have")
        count("UploadsRejected")
    else:
        worker.record(Action.ENROLL, indexed)
        count("FacesIndexed", len(indexed.face_ids))
        count("UploadsRejected", indexed.status is UploadStatus.REJECTED)


def _remove(image_path: str) -> None:
    try:
        worker.application().remove_upload(image_path)
    except InvalidInput:
        logger.info("an object that no photo can be was deleted")
    else:
        count("PhotosRemoved")


deadline.prepare(__name__, lambda _: worker.application())
