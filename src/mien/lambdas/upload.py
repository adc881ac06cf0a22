"""The function `upload`: indexes each image that lands in the bucket, and serves the API's routes that index photos.

S3 tells the queue, the queue tells us, at least once and in any order. What fails goes back to the queue
alone, the rest of the batch is done. Indexing never writes to the bucket, so no event makes another.
"""

from __future__ import annotations

from typing import Any

from mien.lambdas import events
from mien.lambdas.telemetry import logger, metrics, tracer

ROUTES = frozenset(
    {
        ("POST", "/upload"),
        ("POST", "/uploads"),
        ("GET", "/uploads/{image_path+}"),
        ("PATCH", "/images/{image_path+}"),
        ("POST", "/rejections"),
    }
)


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> Any:
    if "Records" in event:
        return events.index_all(event["Records"])
    from mien.lambdas import api_gateway  # the web framework: an event has no need of it

    return api_gateway.answer(event, context, ROUTES)
