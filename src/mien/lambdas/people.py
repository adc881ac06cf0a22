"""The function `people`: the API's routes that read and erase what is stored or describe the API; the page."""

from __future__ import annotations

from typing import Any

from mien.lambdas import api_gateway
from mien.lambdas.telemetry import logger, metrics, tracer

ROUTES = frozenset(
    {
        ("GET", "/recognitions"),
        ("GET", "/recognitions/{recognition_id}"),
        ("GET", "/faces"),
        ("GET", "/faces/{face_id}"),
        ("DELETE", "/faces/{face_id}"),
        ("GET", "/rejections"),
        ("DELETE", "/rejections/{face_id}"),
        ("GET", "/hygiene"),
        ("GET", "/users"),
        ("GET", "/users/{user_id+}"),
        ("DELETE", "/users/{user_id+}"),
        ("GET", "/images/{image_path+}"),
        ("GET", "/calibration"),
        ("GET", "/openapi.json"),
        ("GET", "/"),
        ("GET", "/static/{file+}"),
    }
)


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> Any:
    return api_gateway.answer(event, context, ROUTES)
