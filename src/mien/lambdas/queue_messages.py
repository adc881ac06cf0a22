"""Send, hide and read the messages of the upload queue, which are events of S3, or like them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from aws_lambda_powertools.utilities.data_classes import S3Event

from mien.domain.errors import SetupError
from mien.settings import Settings

CREATED = "ObjectCreated"
REMOVED = ("ObjectRemoved", "LifecycleExpiration")
ERASURES = json.dumps({"Erasures": "finish"})
"""The message that has pending erasures finished. It names nobody."""


def send(body: str) -> None:
    """Send a message to the queue. Raises SetupError when the environment does not name it."""
    from mien.backends.aws import clients

    queue = Settings.from_environment().upload_queue_url
    if queue is None:
        raise SetupError("MIEN_UPLOAD_QUEUE_URL is not set.")
    with clients.domain_errors():
        _sqs().send_message(QueueUrl=queue, MessageBody=body)


def hide(receipt_handle: str, seconds: int) -> None:
    """Let a message that was received come again after some seconds, where the environment names the queue."""
    from mien.backends.aws import clients

    queue = Settings.from_environment().upload_queue_url
    with clients.domain_errors():
        if queue is not None:
            _sqs().change_message_visibility(QueueUrl=queue, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds)


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
def _sqs() -> Any:
    from mien.backends.aws import clients

    return clients.sqs()
