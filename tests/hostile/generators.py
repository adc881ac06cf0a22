"""Requests that no honest client sends, from a seeded random generator: the same number gives the same request."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from botocore.model import ListShape, MapShape, Shape, StructureShape

from mien.api.openapi import document
from mien.rekognition.parsing import operation_model, service_model
from tests.hostile.target import CANARY, JPEG, JSON, Request, wire
from tests.hostile.values import HEADER_VALUES, METHODS, QUERY_NAMES, TEXTS, UNLISTED
from tests.support.painter import photo_of

ROUTES: tuple[tuple[str, str], ...] = tuple(
    (method.upper(), path) for path, methods in json.loads(document())["paths"].items() for method in methods
)
PHOTO = photo_of("Ada")
PHOTOS = (
    PHOTO,
    PHOTO[: len(PHOTO) // 2],
    PHOTO[:20],
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"RIFF\0\0\0\0WEBP",
    b"BM",
)


def any_request(number: int, keys: tuple[str | None, ...]) -> Request:
    """A request of the REST API or of what stands beside it, with one of these API keys or none (None)."""
    rng = random.Random(number)
    method, template = rng.choice(ROUTES) if rng.random() < 0.9 else (rng.choice(METHODS), rng.choice(UNLISTED))
    if rng.random() < 0.05:
        method = rng.choice(METHODS)
    path = "/".join(_segment(rng) if part.startswith("{") else part for part in template.split("/"))
    kind, body = rng.choice(_BODIES)(rng)
    headers = [("host", "127.0.0.1:8000"), *([("content-type", kind)] if kind else [])]
    key = rng.choice(keys)
    headers += [] if key is None else [("x-api-key", key)]
    if rng.random() < 0.6:
        headers.append(("content-length", str(len(body))))
    for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
        name = rng.choice(tuple(HEADER_VALUES))
        value = rng.choice(HEADER_VALUES[name])
        if rng.random() < 0.5:
            headers = [pair for pair in headers if pair[0] != name]
        headers.append((name, value))
    encoded = tuple((name.encode(), value.encode("latin-1")) for name, value in headers)
    return Request(method, path, _query(rng), encoded, _chunks(rng, body), hangs_up=rng.random() < 0.03)


def any_wire_request(number: int) -> Request:
    """A correctly signed call whose parameters are of the right shape or nearly so."""
    rng = random.Random(number)
    operation = rng.choice(service_model().operation_names)
    value = _of_shape(rng, operation_model(operation).input_shape, 0)
    body = json.dumps(value).encode() if rng.random() < 0.9 else _mutated(rng, json.dumps(value).encode())
    return wire(operation, body)


def any_signature(number: int) -> Request:
    """A signed call whose signature, headers or path were changed afterwards."""
    rng = random.Random(number)
    request = wire("ListCollections", b"{}")
    headers = dict(request.headers)
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(
            (b"authorization", b"authorization", b"x-amz-date", b"x-amz-target", b"host", b"content-type")
        )
        headers[name] = _mutated(rng, headers.get(name, b""))
    if rng.random() < 0.3:
        presigned = headers.pop(b"authorization").decode("latin-1").replace(", ", "&").replace(" ", "&")
        query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260101T000000Z&X-Amz-Expires={_text(rng)}&{presigned}"
        return Request("POST", "/", quote(query, safe="&=").encode(), tuple(headers.items()), request.chunks)
    return Request("POST", "/", _query(rng) if rng.random() < 0.2 else b"", tuple(headers.items()), request.chunks)


def _text(rng: random.Random) -> str:
    if rng.random() < 0.8:
        return rng.choice(TEXTS)
    return "".join(chr(rng.choice((rng.randrange(128), rng.randrange(0xD800)))) for _ in range(rng.randrange(12)))


def _segment(rng: random.Random) -> str:
    text = _text(rng)
    return (
        quote(text, safe=rng.choice(("", "/", "/%")))
        if rng.random() < 0.9
        else "".join(c for c in text if " " < c < "\x7f")
    )


def _query(rng: random.Random) -> bytes:
    if rng.random() < 0.4:
        return b""
    if rng.random() < 0.1:
        return bytes(rng.randrange(33, 127) for _ in range(rng.randrange(60)))
    pairs = (
        f"{rng.choice(QUERY_NAMES)}={quote(_text(rng), safe=rng.choice(('', '%')))}" for _ in range(rng.randint(1, 4))
    )
    return "&".join(pairs).encode()


def _chunks(rng: random.Random, body: bytes) -> tuple[bytes, ...]:
    if rng.random() < 0.7:
        return (body,)
    at = sorted(rng.randrange(len(body) + 1) for _ in range(rng.randrange(4)))
    return tuple(body[first:last] for first, last in zip([0, *at], [*at, len(body)], strict=True))


def _mutated(rng: random.Random, content: bytes) -> bytes:
    """Some bytes changed, removed, doubled or cut off."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            changed[at : at + 1] = bytes([rng.randrange(1, 256)])
        elif kind == 1:
            del changed[at : at + rng.randint(1, 9)]
        elif kind == 2:
            changed[at:at] = changed[at : at + 20]
        else:
            del changed[at:]
    return bytes(changed.replace(b"\n", b" ").replace(b"\r", b" "))


def _json_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(10 if depth < 3 else 7)
    if kind < 3:
        return rng.choice((_text(rng), "\ud800", "\udfff" + CANARY, base64.b64encode(rng.choice(PHOTOS)).decode()))
    if kind < 7:
        return rng.choice((None, True, False, 0, -1, 1.5, 10**400, 1e308, 2**63, "NaN"))
    if kind < 8:
        return [_json_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return _json_object(rng, depth + 1)


def _json_object(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    names = (
        "image",
        "source",
        "target",
        "user_id",
        "name",
        "into",
        "consent_until",
        "content_type",
        "threshold",
        CANARY,
    )
    return {rng.choice(names): _json_value(rng, depth) for _ in range(rng.randrange(5))}


def _json_body(rng: random.Random) -> tuple[str, bytes]:
    text = json.dumps(_json_object(rng), ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        text = rng.choice(
            (b"[" * 5000, b'{"a":' * 5000, b"", b"\xff\xfe{", b"\xef\xbb\xbf{}", b"null", b"NaN", b"1" * 5000)
        )
    return JSON, _mutated(rng, text) if rng.random() < 0.2 else text


def _form_body(rng: random.Random) -> tuple[str, bytes]:
    names = (
        "image",
        "source",
        "target",
        "user_id",
        "name",
        "consent_until",
        "file",
        "policy",
        "key",
        "issuer",
        "",
        CANARY,
    )
    parts = []
    for _ in range(rng.randrange(22) if rng.random() < 0.1 else rng.randrange(4)):
        name, is_file = rng.choice(names), rng.random() < 0.5
        disposition = f'form-data; name="{name}"' + (f'; filename="{quote(_text(rng))}"' if is_file else "")
        content = rng.choice(PHOTOS) if is_file else _text(rng).encode("utf-8", "surrogatepass")
        more = rng.choice(("", "Content-Type: image/jpeg\r\n", "Content-Type: \r\n", "X: " + "y" * 9000 + "\r\n"))
        parts.append(f"--x\r\nContent-Disposition: {disposition}\r\n{more}\r\n".encode() + content + b"\r\n")
    body = b"".join(parts) + rng.choice((b"--x--\r\n", b"--x--", b"", b"--x", b"--y--\r\n"))
    return "multipart/form-data; boundary=x", _mutated(rng, body) if rng.random() < 0.3 else body


def _photo_body(rng: random.Random) -> tuple[str, bytes]:
    photo = rng.choice(PHOTOS)
    return rng.choice((JPEG, "image/png", "application/octet-stream")), _mutated(
        rng, photo
    ) if rng.random() < 0.3 else photo


def _no_body(_rng: random.Random) -> tuple[str, bytes]:
    return "", b""


_BODIES: tuple[Callable[[random.Random], tuple[str, bytes]], ...] = (_json_body, _form_body, _photo_body, _no_body)


def _of_shape(rng: random.Random, shape: Shape, depth: int) -> Any:
    """A value for a shape of Rekognition's model; now and then one of another type."""
    if rng.random() < 0.03 or depth > 6:
        return _json_value(rng, 3)
    if isinstance(shape, StructureShape):
        names = [name for name in shape.members if name in shape.required_members or rng.random() < 0.6]
        return {name: _of_shape(rng, shape.members[name], depth + 1) for name in names} | (
            {CANARY: 1} if rng.random() < 0.05 else {}
        )
    if isinstance(shape, ListShape):
        return [_of_shape(rng, shape.member, depth + 1) for _ in range(rng.choice((0, 1, 1, 2, 5)))]
    if isinstance(shape, MapShape):
        return {_text(rng): _of_shape(rng, shape.value, depth + 1) for _ in range(rng.randrange(3))}
    return _scalar(rng, shape)


def _scalar(rng: random.Random, shape: Shape) -> Any:
    if shape.type_name == "blob":
        return base64.b64encode(rng.choice(PHOTOS)).decode() if rng.random() < 0.9 else _text(rng)
    if shape.type_name == "boolean":
        return rng.random() < 0.5
    if shape.type_name in {"integer", "long", "float", "double"}:
        return rng.choice((0, 1, -1, 50, 100, 4096, 1.5, 1e308, 10**30, 2**63))
    choices = getattr(shape, "enum", None)
    if choices and rng.random() < 0.8:
        return rng.choice(choices)
    return rng.choice(
        ("face-collection", "face-collection", "c", "user", "00000000-0000-0000-0000-000000000000", _text(rng))
    )
