"""Events for the functions on AWS: of API Gateway in both of its formats, of SQS and of S3, whole and damaged.

They come from a seeded random generator: the same number gives the same event.
"""

from __future__ import annotations

import base64
import json
import random
from copy import deepcopy
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus

from mien.lambdas.api_gateway import ROUTES
from mien.lambdas.queue_messages import ERASURES
from tests.hostile.generators import any_request
from tests.hostile.target import CANARY, Request
from tests.hostile.values import TEXTS

FUNCTIONS = tuple(sorted(ROUTES))
JUNK: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 10**400, "", " ", CANARY, "\ud800", "\0", "a" * 100_000, "%zz", "=" * 7),
    *([], {}, [None], [[]], {"": ""}, {CANARY: [CANARY]}, {"a": {"b": {"c": []}}}),
)
KEYS = (
    *("uploaded/p-quillfeather/x.jpg", "uploaded/x/y.jpg", "uploaded/", "uploaded/../keys.json", "index/x.jpg", "x"),
    *("../../etc/passwd", "uploaded//x.jpg", "uploaded/./x.jpg", "/uploaded/x/y.jpg", "uploaded/" + "a" * 2000, ""),
    *(f"uploaded/{CANARY}/x.jpg", "uploaded/x/y.jpg\0", "uploaded/\udcff/x.jpg", "uploaded/\u202ex/y.jpg"),
)
EVENTS = (
    *("ObjectCreated:Put", "ObjectCreated:Copy", "s3:ObjectCreated:Post", "ObjectRemoved:Delete", "s3:TestEvent"),
    *("LifecycleExpiration:Delete", "ObjectRestore:Post", "ObjectCreated", "", CANARY),
)


def any_gateway_event(number: int, keys: tuple[str | None, ...]) -> tuple[str, dict[str, Any]]:
    """Return a function and an event of API Gateway, every other one damaged."""
    rng = random.Random(number)
    request, function = any_request(number, keys), rng.choice(FUNCTIONS)
    resource = rng.choice(sorted(ROUTES[function])) if rng.random() < 0.9 else ("GET", rng.choice(TEXTS))
    event = _of_http_api(request) if rng.random() < 0.1 else _of_rest_api(rng, request, *resource)
    if rng.random() < 0.5:
        damage(rng, event)
    return function, event


def any_question(number: int, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return what API Gateway asks an authorizer of the type REQUEST, every other one damaged."""
    rng = random.Random(number)
    key = rng.choice((*keys, *(each[:-1] for each in keys), *(each + " " for each in keys), *TEXTS))
    path = quote(rng.choice(TEXTS), safe="/")
    event = {
        "type": "REQUEST",
        "methodArn": f"arn:aws:execute-api:eu-west-1:123456789012:abcdef123/dev/GET/{path}",
        "resource": "/users",
        "path": f"/{path}",
        "httpMethod": "GET",
        "headers": {rng.choice(("X-Api-Key", "x-api-key", "X-API-KEY", "X-Api-Kez")): key},
        "requestContext": {"path": f"/dev/{path}", "stage": "dev", "identity": {"sourceIp": "203.0.113.7"}},
    }
    if rng.random() < 0.5:
        damage(rng, event)
    return event


def any_batch(number: int) -> dict[str, Any]:
    """Return an event of the queue, or one that S3 sends; every other one damaged."""
    rng = random.Random(number)
    messages = [_message(rng, f"m-{place}") for place in range(rng.randrange(4))]
    event: dict[str, Any] = {"Records": [_s3_record(rng)] if rng.random() < 0.1 else messages}
    if rng.random() < 0.5:
        damage(rng, event)
    return event | {"Records": event.get("Records")}


def damage(rng: random.Random, value: Any) -> None:
    """Replace or remove some of what is in a JSON value, at any depth."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        holder, place = rng.choice(list(_places(value)) or [({"": ""}, "")])
        if rng.random() < 0.2:
            del holder[place]
        else:
            holder[place] = deepcopy(rng.choice(JUNK))


def _places(value: Any) -> list[tuple[Any, Any]]:
    inner = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    here = [(value, place) for place, _ in inner]
    return here + [each for _, item in inner if isinstance(item, dict | list) for each in _places(item)]


def _of_rest_api(rng: random.Random, request: Request, method: str, resource: str) -> dict[str, Any]:
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        headers.setdefault(name.decode(), []).append(value.decode("latin-1"))
    query: dict[str, list[str]] = {}
    for name_text, text in parse_qsl(request.query.decode("latin-1"), keep_blank_values=True):
        query.setdefault(name_text, []).append(text)
    path = "/".join(
        quote(rng.choice(TEXTS), safe="/") if part.startswith("{") else part for part in resource.split("/")
    )
    body, is_base64 = b"".join(request.chunks), rng.random() < 0.9
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": {name: values[-1] for name, values in headers.items()} or None,
        "multiValueHeaders": headers or None,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": None,
        "requestContext": {"path": f"/dev{path}", "stage": "dev", "identity": {"sourceIp": "203.0.113.7"}},
        "body": (base64.b64encode(body).decode() if is_base64 else body.decode("latin-1")) or None,
        "isBase64Encoded": is_base64,
    }


def _of_http_api(request: Request) -> dict[str, Any]:
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query.decode("latin-1"),
        "headers": {name.decode(): value.decode("latin-1") for name, value in request.headers},
        "requestContext": {"http": {"method": request.method, "path": request.path, "sourceIp": "203.0.113.7"}},
        "body": base64.b64encode(b"".join(request.chunks)).decode(),
        "isBase64Encoded": True,
    }


def _s3_record(rng: random.Random) -> dict[str, Any]:
    key = rng.choice(KEYS)
    return {
        "eventSource": "aws:s3",
        "eventName": rng.choice(EVENTS),
        "s3": {
            "bucket": {"name": rng.choice(("photos", "photos", "elsewhere", CANARY))},
            "object": {"key": quote_plus(key, safe="/", errors="replace") if rng.random() < 0.9 else key, "size": 1},
        },
    }


def _message(rng: random.Random, message_id: str) -> dict[str, Any]:
    content: dict[str, Any] = {"Records": [_s3_record(rng) for _ in range(rng.randrange(4))]}
    if rng.random() < 0.3:
        damage(rng, content)
    text = json.dumps(content)
    body = rng.choice((text,) * 8 + (text[: len(text) // 2], "[" * 50_000, "null", "[]", "1" * 5000, ERASURES, CANARY))
    receives = rng.choice(("1", "1", "9", "10", "999", "-1", "x"))
    attributes = {"ApproximateReceiveCount": receives}
    return {"messageId": message_id, "body": body, "attributes": attributes, "eventSource": "aws:sqs"}
