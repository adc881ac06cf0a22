"""The function `reconcile`, once a day: finishes erasures that were cut off and puts leftovers right."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

from mien.backends.aws import clients
from mien.backends.aws.reconcile import open_reconciler
from mien.config import Settings, open_app
from mien.domain.errors import SetupError
from mien.lambdas.telemetry import count, logger, metrics, tracer


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(_event: dict[str, Any], _context: Any) -> None:
    settings = Settings.from_environment()
    count("ErasuresResumed", len(open_app(settings).resume_erasures()))
    queue = settings.upload_queue_url
    if queue is None:
        raise SetupError("MIEN_UPLOAD_QUEUE_URL names no queue.")
    sqs = clients.sqs()
    found = open_reconciler(settings, lambda path: sqs.send_message(QueueUrl=queue, MessageBody=event(path))).run()
    count("FacesWithoutMetadata", found.faces_without_metadata)
    count("MetadataWithoutFace", found.metadata_without_face)
    count("PhotosWithoutState", found.photos_without_state)


def event(path: str) -> str:
    """What S3 would say of the photo, so that the queue's reader knows one shape only."""
    record = {"eventName": "ObjectCreated:Reconcile", "s3": {"object": {"key": quote_plus(path)}}}
    return json.dumps({"Records": [record]})
