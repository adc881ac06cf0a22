"""The function `recognize`: the API's routes that look at a photo and answer."""

from __future__ import annotations

import json
from typing import Any

from mien.lambdas import api_gateway
from mien.lambdas.telemetry import count, logger, metrics, tracer

ROUTES = frozenset(
    {
        ("GET", "/recognize"),
        ("POST", "/recognize"),
        ("POST", "/compare"),
        ("POST", "/detect"),
        ("GET", "/health"),
    }
)
_METRICS = {"matched": "FacesMatched", "ambiguous": "FacesAmbiguous", "unknown": "FacesUnknown"}


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> Any:
    answer = api_gateway.answer(event, context, ROUTES)
    if event["resource"] == "/recognize" and answer["statusCode"] == 200:
        for face in json.loads(answer["body"])["faces"]:
            count(_METRICS[face["status"]])
    return answer
