"""Let faces follow the photos of the bucket, as the upload queue tells of them, and find what no message told.

S3 sends a message for each photo that is created, deleted or expires, at least once and in any order. So a message
only says which photo to look at: whether it exists is asked of the bucket. A message that could not be handled goes
back to the queue alone, for longer each time; the rest of its batch is done. SQS counts the attempts, and after ten
moves the message to the dead letters, whose consumer marks the photo as failed. One that ended the process three times
is marked so at once.
Nothing here writes to the bucket, so that no message leads to another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, unquote_plus

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes import S3Event

from mien.config import open_app
from mien.domain.errors import ImageNotFound, InvalidInput, MienError, Overloaded, SetupError
from mien.domain.object_keys import UPLOADED
from mien.domain.records import UploadStatus
from mien.lambdas import deadline
from mien.lambdas.telemetry import MODEL, count, logger, metrics
from mien.security.audit import WORKER, Action, Activity, LogLines
from mien.security.signing import Signer
from mien.settings import Settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

    from mien.app.app import FaceApp
    from mien.app.reconciliation import Reconciliation
    from mien.backends.aws.attempts import Attempts

MAX_RECEIVES = 10  # maxReceiveCount of the upload queue
MAX_DEATHS = 3  # of processes in which a message was handled
FIRST_PAUSE, LONGEST_PAUSE = 10, 900  # seconds until a message comes again; the first one doubles
ATTEMPT_SECONDS = 40.0  # what a photo takes at most; with less left, its attempt is not begun
CREATED = "ObjectCreated"
REMOVED = ("ObjectRemoved", "LifecycleExpiration")
ERASURES = json.dumps({"Erasures": "finish"})
"""The message that has pending erasures finished. It names nobody."""
RECONCILE_MILLISECONDS = 600_000  # which erasing what is over leaves to the reconciliation, of 900 s
STEP_MILLISECONDS = 240_000  # more than one step of the reconciliation takes


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


@logger.inject_lambda_context
@metrics.log_metrics
def reconcile(event: dict[str, Any], context: Any) -> None:
    """Handle an event of the function `reconcile`, daily or by hand: erase what is over, and find inconsistencies.

    Args:
        event: `mode` is `repair` to repair inconsistencies, too, and anything else to count them; with `force`, they
            are repaired even if they are suspiciously many; with `retry_failed`, photos that could not be indexed are
            tried again. `progress` is what the function passes to itself when one
            call's time does not suffice.
        context: Lambda's context object.
    """
    from mien.app.reconciliation import Reconciliation
    from mien.backends.aws import clients, stack

    settings = Settings.from_environment()

    def announce(image_path: str, *, removed: bool) -> None:
        send(message_body(image_path, removed=removed))

    begun = Reconciliation.from_json(event["progress"]) if "progress" in event else None
    if begun is None:
        _erase_what_is_over(lambda: context.get_remaining_time_in_millis() < RECONCILE_MILLISECONDS)
    force = event.get("force") is True
    bucket, *_ = stack.ports(settings)
    index, remove = partial(announce, removed=False), partial(announce, removed=True)
    reconciler = stack.open_app(settings).reconciler(
        index, remove, lambda after: bucket.keys(UPLOADED, after), retry_failed=event.get("retry_failed") is True
    )
    reached = reconciler.run(
        repair=force or event.get("mode") == "repair",
        force=force,
        progress=begun,
        is_out_of_time=lambda: context.get_remaining_time_in_millis() < STEP_MILLISECONDS,
    )
    if reached.is_done:
        _report(reached)
    else:
        following = event | {"progress": reached.to_json()}
        with clients.domain_errors():
            clients.functions().invoke(
                FunctionName=context.function_name, InvocationType="Event", Payload=json.dumps(following)
            )


def _erase_what_is_over(stop: Callable[[], bool]) -> None:
    audit_log()
    app = application()
    erasures = app.resume_erasures()
    count("ErasuresResumed", len(erasures))
    expired = app.expire(stop)
    for report in (*erasures, *expired.receipts):
        _record(Action.ERASE, report)
    count("RecognitionsExpired", expired.recognitions)
    count("PhotosExpired", expired.photos)
    count("ConsentsExpired", len(expired.receipts))
    count("ExpiriesFailed", expired.failed)


def _report(reconciliation: Reconciliation) -> None:
    found = asdict(reconciliation.found)
    for name, number in found.items():
        count(metric(name), number)
    count("VectorsLeft", 0 if reconciliation.is_repairing else reconciliation.found.faces_without_metadata)
    count("RepairsStopped", reconciliation.is_stopped)
    logger.info("reconciled", repaired=reconciliation.is_repairing, stopped=reconciliation.is_stopped, **found)
    if reconciliation.found.overdue:
        logger.warning("what an erasure or the retention had missed is done", items=reconciliation.found.overdue)
    if reconciliation.found.foreign_faces:
        logger.warning("the collection has faces that are not this stack's", faces=reconciliation.found.foreign_faces)


def metric(name: str) -> str:
    """Return the metric of one of the reconciliation's counts."""
    return "".join(map(str.capitalize, name.split("_")))


def send(body: str) -> None:
    """Send a message to the queue. Raises SetupError when the environment does not name it."""
    from mien.backends.aws import clients

    queue = Settings.from_environment().upload_queue_url
    if queue is None:
        raise SetupError("MIEN_UPLOAD_QUEUE_URL is not set.")
    with clients.domain_errors():
        _sqs().send_message(QueueUrl=queue, MessageBody=body)


def changes(body: str) -> Iterator[tuple[str, bool]]:
    """Yield the keys of the objects that an S3 event is about, each with whether it says that the object is gone.

    S3's test event is about none.
    """
    event = json.loads(body)
    for record in S3Event(event).records if "Records" in event else ():
        kind = record.event_name.removeprefix("s3:").partition(":")[0]
        if kind in {CREATED, *REMOVED}:
            yield unquote_plus(record.s3.get_object.key), kind in REMOVED


def message_body(image_path: str, *, removed: bool = False) -> str:
    """Return an event like S3's for a photo that is in the bucket already, or that has left it."""
    kind = REMOVED[0] if removed else CREATED
    record = {"eventName": f"{kind}:Reconcile", "s3": {"object": {"key": quote_plus(image_path)}}}
    return json.dumps({"Records": [record]})


@cache
def application() -> FaceApp:
    return open_app()


@cache
def audit_log() -> LogLines:
    """Open the audit log. Raises SetupError without the stack's key, so that nobody gets another pseudonym."""
    from mien.backends.aws.secret_keys import signing_key

    return LogLines(Signer(signing_key(Settings.from_environment().keys_secret)), MODEL)


@cache
def _attempts() -> Attempts:
    from mien.backends.aws import attempts, clients

    return attempts.Attempts(clients.dynamodb(), Settings.from_environment().records_table)


@cache
def _sqs() -> Any:
    from mien.backends.aws import clients

    return clients.sqs()


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
        _come_again_later(record)
        raise


def _attempt(record: SQSRecord) -> None:
    audit_log()  # before anything is done that could not be recorded
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


def _come_again_later(message: SQSRecord) -> None:
    """Hide a message for the longer the more often it has come; should that fail, it comes after the queue's time."""
    from mien.backends.aws import clients

    queue = Settings.from_environment().upload_queue_url
    seconds = pause(_receives(message))
    with suppress(MienError), clients.domain_errors():
        if queue is not None:
            _sqs().change_message_visibility(
                QueueUrl=queue, ReceiptHandle=message.receipt_handle, VisibilityTimeout=seconds
            )


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
            upload = application().mark_failed(image_path, interrupted=interrupted)
        except (ImageNotFound, InvalidInput):
            logger.info("the photo that could not be indexed is gone")
        else:
            count("UploadsFailed", upload.status is UploadStatus.FAILED)


def _finish_erasures() -> None:
    for report in application().resume_erasures():
        _record(Action.ERASE, report)
    if application().pending_erasures():
        raise Overloaded("An erasure is not finished; try again.")


def _index(image_path: str) -> None:
    try:
        indexed = application().index_upload(image_path)
    except ImageNotFound:
        logger.info("the photo was deleted before it was indexed")
    except InvalidInput:
        logger.warning("an object under uploaded/ has a key that no photo can have")
        count("UploadsRejected")
    else:
        _record(Action.ENROLL, indexed)
        count("FacesIndexed", len(indexed.face_ids))
        count("UploadsRejected", indexed.status is UploadStatus.REJECTED)


def _remove(image_path: str) -> None:
    try:
        application().remove_upload(image_path)
    except InvalidInput:
        logger.info("an object that no photo can be was deleted")
    else:
        count("PhotosRemoved")


def _record(action: Action, answer: object) -> None:
    """Write an entry of the audit log."""
    activity = Activity(WORKER, action)
    activity.note(answer)
    audit_log().record(activity)


deadline.prepare(__name__, lambda _: application())
