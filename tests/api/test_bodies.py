"""Bodies: not read before the caller is known, bounded in bytes, time and number, gone when the client goes."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from mien.api import request_bodies
from mien.domain.policy import Policy
from mien.security import bodies
from mien.security.api_keys import KeyFile, Scope, key_id_of
from mien.security.signing import UPLOAD_FORM, UPLOAD_FORM_ISSUER, Signer
from mien.settings import Settings
from tests.api.conftest import Service
from tests.support.painter import photo_of

SIGNER = Signer(b"0123456789abcdef")
JSON = "application/json"


def ask(
    service: Service, path: str, receive: Callable[[], Awaitable[Message]], method: str = "POST", **headers: str
) -> int:
    """Make a request whose body is what `receive` returns, and return the status."""
    sent: list[Message] = []
    told = {"host": "testserver"} | {name.replace("_", "-"): value for name, value in headers.items()}

    async def send(message: Message) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in told.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    asyncio.run(service.client.app(scope, receive, send))  # type: ignore[arg-type]
    return int(sent[0]["status"])


async def unwanted() -> Message:
    pytest.fail("the body was read")


def piecewise(*pieces: bytes, ending: str = "complete") -> Callable[[], Awaitable[Message]]:
    """A body in pieces; then it is complete, stalls, or the client goes."""
    left = list(pieces)

    async def receive() -> Message:
        if left:
            more = len(left) > 1 or ending != "complete"
            return {"type": "http.request", "body": left.pop(0), "more_body": more}
        if ending == "stall":
            await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    return receive


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def guarded(open_service: Callable[..., Service], tmp_path: Path) -> Service:
    settings = Settings(api_keys_file=tmp_path / "keys.json", rate_per_minute=1)
    return open_service(settings=settings, forms=True, signer=SIGNER)


ROUTES = [
    ("POST", "/upload", "image/jpeg"),
    ("POST", "/upload", JSON),
    ("POST", "/upload", "multipart/form-data; boundary=x"),
    ("POST", "/uploads", JSON),
    ("POST", "/recognize", JSON),
    ("POST", "/detect", "image/jpeg"),
    ("POST", "/compare", "multipart/form-data; boundary=x"),
    ("POST", "/rejections?user_id=Ada", JSON),
    ("PATCH", "/users/Ada", JSON),
    ("POST", "/users/Ada/merge", JSON),
    ("POST", "/users/Ada/unmerge", JSON),
    ("PATCH", "/images/uploaded/Ada/a.jpg", JSON),
    ("DELETE", "/users/Ada", JSON),
]


@pytest.mark.parametrize(("method", "path", "content_type"), ROUTES)
def test_without_a_valid_key_no_byte_is_read(
    guarded: Service, keys: KeyFile, method: str, path: str, content_type: str
) -> None:
    revoked = keys.create("revoked", list(Scope))
    keys.revoke(key_id_of(revoked))
    for key in ("", "mien_wrong", revoked):
        assert ask(guarded, path, unwanted, method, content_type=content_type, x_api_key=key) == 401
    lesser = keys.create("lesser", [Scope.MANAGE if path in {"/upload", "/uploads"} else Scope.UPLOAD])
    if path not in {"/recognize", "/detect", "/compare"}:
        assert ask(guarded, path, unwanted, method, content_type=content_type, x_api_key=lesser) == 403
    busy = keys.create("busy", list(Scope))
    guarded.client.get("/users", headers={"X-Api-Key": busy})
    assert ask(guarded, path, unwanted, method, content_type=content_type, x_api_key=busy) == 429


def test_one_request_counts_once(guarded: Service, keys: KeyFile) -> None:
    key = keys.create("manager", list(Scope))  # whose rate allows one request at a time
    body = piecewise(photo_of("Ada"))
    answer = ask(
        guarded, "/upload?user_id=Ada&consent_until=2099-01-01", body, content_type="image/jpeg", x_api_key=key
    )
    assert answer == 202


def form(fields: dict[str, str], photo: bytes, *, photo_first: bool = False) -> list[bytes]:
    texts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    file = [head, photo, b"\r\n"]
    return [*file, *texts, b"--x--\r\n"] if photo_first else [*texts, *file, b"--x--\r\n"]


def signed_fields(key_id: str | None, size: int = 1_000_000, path: str = "uploaded/Ada/a.jpg") -> dict[str, str]:
    now = int(datetime.now(UTC).timestamp())
    claims = {"key": path, "type": "image/jpeg", "bytes": size, "at": now}
    policy = SIGNER.sign(UPLOAD_FORM, claims, 900)
    return {"key": path, "policy": policy, "issuer": SIGNER.sign(UPLOAD_FORM_ISSUER, {"key": path, "key_id": key_id})}


MULTIPART = "multipart/form-data; boundary=x"


def only(*pieces: bytes) -> Callable[[], Awaitable[Message]]:
    """A body of which no more than these pieces may be read."""
    left = list(pieces)

    async def receive() -> Message:
        assert left, "more of the body was read"
        return {"type": "http.request", "body": left.pop(0), "more_body": True}

    return receive


@pytest.mark.parametrize("missing", ["policy", "issuer", "key", None])
def test_a_form_is_refused_at_its_file_unless_it_is_signed(
    guarded: Service, keys: KeyFile, missing: str | None
) -> None:
    fields = signed_fields(key_id_of(keys.create("door", [Scope.UPLOAD])))
    if missing is None:
        fields["policy"] = fields["policy"][:-4] + "AAAA"
    else:
        del fields[missing]
    pieces = form(fields, b"")
    until_file = pieces[: len(fields) + 1]
    assert ask(guarded, "/bucket", only(*until_file), content_type=MULTIPART) in {403, 422}


def test_a_form_with_the_photo_first_is_refused_at_once(guarded: Service, keys: KeyFile) -> None:
    fields = signed_fields(key_id_of(keys.create("door", [Scope.UPLOAD])))
    pieces = form(fields, photo_of("Ada"), photo_first=True)
    assert ask(guarded, "/bucket", only(pieces[0]), content_type=MULTIPART) == 422


def test_a_form_ends_with_the_key_that_asked_for_it_also_while_it_is_sent(guarded: Service, keys: KeyFile) -> None:
    key_id = key_id_of(keys.create("door", [Scope.UPLOAD]))
    pieces = form(signed_fields(key_id), photo_of("Ada"))
    assert ask(guarded, "/bucket", piecewise(*pieces), content_type=MULTIPART) == 204
    left = list(pieces)

    async def revoke_meanwhile() -> Message:
        if len(left) == 1:
            keys.revoke(key_id)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    assert ask(guarded, "/bucket", revoke_meanwhile, content_type=MULTIPART) == 403
    assert ask(guarded, "/bucket", only(*pieces[:4]), content_type=MULTIPART) == 403


def test_a_form_takes_no_more_than_it_was_signed_for(guarded: Service, keys: KeyFile) -> None:
    fields = signed_fields(key_id_of(keys.create("door", [Scope.UPLOAD])), size=1000)
    pieces = form(fields, b"\xff\xd8\xff" + b"x" * 5000)
    assert ask(guarded, "/bucket", only(*pieces[: len(fields) + 2]), content_type=MULTIPART) == 413


def test_fields_and_files_of_a_form_have_limits(service: Service) -> None:
    large = form({"user_id": "x" * 20_000}, photo_of("Ada"))
    assert ask(service, "/upload", piecewise(*large), content_type=MULTIPART) == 400
    many = form({f"f{number}": "" for number in range(40)}, photo_of("Ada"))
    assert ask(service, "/upload", piecewise(*many), content_type=MULTIPART) == 400


@pytest.mark.parametrize(
    "charset", ["undefined", "idna", "utf-7", "punycode", "zip", "rot13", "none", "utf-16", "\xe9"]
)
def test_a_form_in_a_strange_encoding_is_no_failure(service: Service, charset: str) -> None:
    sent = form({"user_id": "Ada \xff"}, b"\xff\xd8\xff")
    content_type = f"{MULTIPART}; charset={charset}"
    assert ask(service, "/detect", piecewise(*sent), content_type=content_type) in {400, 415, 422}


def test_photos_in_forms_touch_no_disk(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_, **__: pytest.fail("a file was made"))
    photo = photo_of("Ada") + bytes(3_000_000)
    assert service.client.post("/detect", files={"image": photo}).status_code == 200


@pytest.mark.parametrize("content_type", [JSON, "image/jpeg", MULTIPART])
@pytest.mark.parametrize("path", ["/recognize", "/uploads", "/users/Ada/merge"])
def test_a_body_that_stalls_is_given_up(
    service: Service, path: str, content_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "PAUSE_SECONDS", 0.05)
    begun = piecewise(b"--x\r\n" if content_type == MULTIPART else b"{", ending="stall")
    assert ask(service, path, begun, content_type=content_type) in {408, 415}


def test_a_byte_now_and_then_is_not_enough(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)

    async def drip() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    assert ask(service, "/recognize", drip, content_type="image/jpeg") == 408


def test_bodies_together_have_a_limit(open_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_bodies, "MAX_BODIES_BYTES", 1000)
    service = open_service()
    assert ask(service, "/detect", piecewise(b"x" * 600, b"x" * 600), content_type="image/jpeg") == 503
    assert ask(service, "/detect", piecewise(photo_of("Ada")[:700]), content_type="image/jpeg") == 422  # all given back


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("PATCH", "/users/Ada"), ("POST", "/users/Ada/merge"), ("POST", "/uploads"), ("PATCH", "/images/x")),
        *(("PATCH", "/users/recognize"), ("PATCH", "/images/uploaded/Ada/compare"), ("PATCH", "/images/bucket")),
    ],
)
def test_json_without_a_photo_is_small(service: Service, method: str, path: str) -> None:
    body = json.dumps({"name": "x", "more": ["x" * 60_000] * 3}).encode()
    assert ask(service, path, unwanted, method, content_type=JSON, content_length=str(len(body))) == 413
    assert ask(service, path, piecewise(body[:60_000], body[60_000:]), method, content_type=JSON) == 413
    assert ask(service, path, unwanted, method, content_type=JSON, content_length="9" * 5000) == 413


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"name":' * 8000, b'{"name": [' + b"[]," * 20_000 + b"1]}"])
def test_deep_and_wide_json_is_refused(service: Service, body: bytes) -> None:
    for method, path in (("PATCH", "/users/Ada"), ("POST", "/uploads"), ("POST", "/recognize")):
        assert ask(service, path, piecewise(body), method, content_type=JSON) in {400, 422}


def test_a_photo_in_json_has_the_limit_of_a_photo(open_service: Callable[..., Service]) -> None:
    service = open_service(Policy(max_image_bytes=100_000))
    for path in ("/recognize", "/upload?user_id=Ada", "/rejections?user_id=Ada"):
        answer = ask(service, path, piecewise(b'{"image": "' + b"A" * 250_000 + b'"}'), content_type=JSON)
        assert answer == 413


@pytest.mark.parametrize(
    ("path", "content_type"), [("/recognize", "image/jpeg"), ("/recognize", MULTIPART), ("/uploads", JSON)]
)
def test_a_client_that_hangs_up_is_no_failure_of_the_server(
    service: Service, path: str, content_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        begun = piecewise(b"--x\r\n" if content_type == MULTIPART else b"{", ending="gone")
        assert ask(service, path, begun, content_type=content_type) == 499
    lines: list[Any] = [record for record in caplog.records if record.name in {"mien.access", "mien.api.problems"}]
    assert [(line.levelname, line.status) for line in lines] == [("INFO", 499)]
