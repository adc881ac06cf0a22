"""The forms in which clients and proxies send the same request: HEAD, JSON, dates, path prefixes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from mien import setting_parsers
from mien.api.forwarding import PrefixMiddleware, trusted_peers
from mien.domain.errors import InvalidInput
from mien.domain.policy import Policy
from mien.security.signing import Signer
from mien.settings import Settings
from tests.api.conftest import JPEG, Service
from tests.support.painter import photo_of


def in_base64(photo: bytes) -> str:
    return base64.b64encode(photo).decode()


def test_a_head_stores_no_recognition(service: Service) -> None:
    path = f"/recognize?image_path={service.enroll(photo_of('Ada'), 'Ada')['image_path']}"
    assert service.client.head(path).status_code == 200
    assert service.client.get(f"{path}&store=false").status_code == 200
    assert service.client.get("/recognitions").json()["recognitions"] == []
    service.client.get(path)
    assert len(service.client.get("/recognitions").json()["recognitions"]) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/static/main.js",
        "/docs",
        "/openapi.json",
        "/health",
        "/calibration",
        "/system",
        "/metrics",
        "/users",
        "/users/Ada",
        "/faces",
        "/hygiene",
        "/rejections",
        "/recognitions",
        "/uploads/{image_path}",
        "/images/{image_path}",
        "/recognize?image_path={image_path}",
        "/users/Nobody",
        "/static/none.js",
        "/nothing",
    ],
)
def test_every_get_answers_head_with_the_same_headers(service: Service, path: str) -> None:
    path = path.format(image_path=service.enroll(photo_of("Ada"), "Ada")["image_path"])
    full, head = service.client.get(path), service.client.head(path)
    assert head.status_code == full.status_code
    assert head.content == b""
    for name in ("content-type", "etag", "content-security-policy", "cache-control"):
        assert head.headers.get(name) == full.headers.get(name)
    if path.split("?")[0] not in {"/metrics", "/recognize"} and full.status_code == 200:
        assert head.headers["content-length"] == full.headers["content-length"]


def test_head_is_no_way_around_keys_and_other_methods(open_service: Callable[..., Service], tmp_path) -> None:
    (tmp_path / "keys.json").write_text("{}")
    guarded = open_service(settings=Settings(api_keys_file=tmp_path / "keys.json")).client
    assert guarded.head("/users").status_code == 401
    assert guarded.head("/upload").status_code == 405


def test_head_is_counted_as_head(service: Service) -> None:
    service.client.head("/users")
    assert 'mien_requests_total{method="HEAD",route="/users",status="200"} 1.0' in service.client.get("/metrics").text


@pytest.mark.parametrize("written", [in_base64, lambda p: "data:image/jpeg;base64," + in_base64(p), base64.encodebytes])
def test_a_photo_may_come_as_base64_in_json(service: Service, written: Callable[[bytes], Any]) -> None:
    def text(photo: bytes) -> str:
        value = written(photo)
        return value if isinstance(value, str) else value.decode()

    client = service.client
    answer = client.post("/upload", json={"image": text(photo_of("Ada")), "user_id": "Ada"})
    assert answer.status_code == 202
    service.run_events()
    assert client.get(answer.headers["location"]).json()["user_id"] == "Ada"
    seen = client.post("/recognize", json={"image": text(photo_of("Ada", photo=1))}).json()
    assert [face["user_id"] for face in seen["faces"]] == ["Ada"]
    assert len(client.post("/detect", json={"image": text(photo_of("Ada", "Grace"))}).json()["faces"]) == 2
    photos = {"source": text(photo_of("Ada")), "target": text(photo_of("Grace", "Ada"))}
    assert len(client.post("/compare", json=photos).json()["matches"]) == 2


def test_the_query_has_precedence_over_json(service: Service) -> None:
    sent = {"image": in_base64(photo_of("Ada")), "user_id": "Grace"}
    assert service.client.post("/upload?user_id=Ada", json=sent).json()["user_id"] == "Ada"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 422),
        (b"", 422),
        (b"[]", 422),
        (b'"image"', 422),
        (b"{}", 422),
        (b'{"image": 5}', 422),
        (b'{"image": null}', 422),
        (b'{"image": "%%%"}', 422),
        (b'{"image": "abc"}', 422),
        (b'{"image": "\xc3\xa4"}', 422),
        (b'{"image": ""}', 400),
        (b'{"image": "data:,"}', 400),
        (b'{"image": "aGVsbG8="}', 415),
        (b"\xff\xfe", 422),
        (b"[" * 100_000, 422),
    ],
)
@pytest.mark.parametrize("route", ["/recognize", "/detect", "/upload"])
def test_json_without_a_photo_is_refused_with_a_sentence(
    service: Service, route: str, body: bytes, status: int
) -> None:
    answer = service.client.post(route, content=body, headers={"Content-Type": "application/json; charset=utf-8"})
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"].endswith(".")


UNREADABLE = {
    b'{"name": tru': "The body is not JSON from character 10 on.",
    b'{"name": "secret" "b"}': "The body is not JSON from character 19 on.",
    b'{"name": "\xff"}': "The body is not JSON.",
    b'{"name": ' + b"9" * 5000 + b"}": "The body is not JSON.",
    b"[" * 60_000: "The body is not JSON.",
}


@pytest.mark.parametrize(("body", "detail"), UNREADABLE.items(), ids=range(len(UNREADABLE)))
@pytest.mark.parametrize(("method", "path"), [("PATCH", "/users/Ada"), ("POST", "/groups/x/name")])
def test_what_is_no_json_is_told_from_where_on(
    service: Service, method: str, path: str, body: bytes, detail: str
) -> None:
    answer = service.client.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.json()["detail"] == detail


def test_json_with_a_photo_is_told_from_where_on(service: Service) -> None:
    answer = service.client.post("/detect", content=b'{"image": ', headers={"Content-Type": "application/json"})
    assert answer.json()["detail"] == "The body is not JSON from character 11 on."


@pytest.mark.parametrize(("body", "kind"), [(b"", "application/json"), (b"[]", "application/json"), (b"{}", "a/b")])
def test_a_body_that_is_no_object_is_told_what_to_send(service: Service, body: bytes, kind: str) -> None:
    answer = service.client.patch("/users/Ada", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "Send a JSON object with the content type application/json."


def test_json_of_a_comparison_needs_both_photos(service: Service) -> None:
    answer = service.client.post("/compare", json={"source": in_base64(photo_of("Ada"))})
    assert (answer.status_code, "`target`" in answer.json()["detail"]) == (422, True)


def test_base64_may_be_as_long_as_the_largest_photo_needs(open_service: Callable[..., Service]) -> None:
    photo = photo_of("Ada")
    exact = open_service(Policy(max_image_bytes=len(photo)))
    assert exact.client.post("/recognize", json={"image": in_base64(photo)}).status_code == 200
    too_much = json.dumps({"image": in_base64(bytes(len(photo) + 400_000))})
    assert exact.client.post("/recognize", content=too_much, headers=JSON).status_code == 413
    assert exact.client.post("/uploads", content=too_much, headers=JSON).status_code == 413


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("since", "listed"),
    [
        ("2026-11-27", 1),
        ("2000-01-01", 1),
        ("2000-01-01T10:00:00", 1),
        ("2000-01-01T10:00", 1),
        ("2000-01-01T10:00:00Z", 1),
        ("2000-01-01T10:00:00+02:00", 1),
        ("9999-12-31", 0),
        ("9999-12-31T23:59:59", 0),
    ],
)
def test_dates_without_a_zone_are_in_utc(service: Service, since: str, listed: int) -> None:
    service.client.post("/recognize", content=photo_of("Ada"), headers=JPEG)
    if since == "2026-11-27":
        stored = service.client.get("/recognitions").json()["recognitions"][0]["timestamp"]
        since = stored[:10]
    answer = service.client.get("/recognitions", params={"since": since})
    assert answer.status_code == 200
    assert len(answer.json()["recognitions"]) == listed


def test_a_moment_without_a_zone_is_the_same_as_in_utc(service: Service) -> None:
    for _ in range(2):
        service.client.post("/recognize", content=photo_of("Ada"), headers=JPEG)
    newest = service.client.get("/recognitions").json()["recognitions"][0]["timestamp"]
    for since in (newest, newest.removesuffix("Z")):
        answer = service.client.get("/recognitions", params={"since": since}).json()
        assert [one["timestamp"] for one in answer["recognitions"]] == [newest]


@pytest.mark.parametrize(
    "since",
    [
        *("yesterday", "2026-13-01", "27.11.2026", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
        *("2026", "-5", "20261127", "1795000000", "99999999999999"),
    ],
)
def test_a_date_that_cannot_be_is_refused(service: Service, since: str) -> None:
    answer = service.client.get("/recognitions", params={"since": since})
    assert answer.status_code == 422
    assert "since" in answer.json()["detail"]


def behind(service: Service, root_path: str = "", trusted: str = "testclient") -> TestClient:
    return TestClient(PrefixMiddleware(service.client.app, root_path, trusted_peers(trusted)))


@pytest.mark.parametrize("prefix", ["/mien", "/mien/", "/a/b.c", "/~ada"])
def test_a_trusted_proxy_names_the_prefix(open_service: Callable[..., Service], prefix: str) -> None:
    service = open_service(signer=Signer(b"0123456789abcdef"), forms=True)
    client, bare = behind(service), prefix.rstrip("/")
    headers = {"X-Forwarded-Prefix": prefix}
    assert f'<base href="{bare}/">' in client.get("/", headers=headers).text
    assert client.get("/static/main.js", headers=headers).status_code == 200
    answer = client.post("/upload?user_id=Ada", content=photo_of("Ada"), headers=headers | JPEG)
    assert answer.headers["location"].startswith(f"{bare}/uploads/")
    assert client.get("/users", headers=headers).status_code == 200
    assert client.head("/users", headers=headers).status_code == 200
    assert client.get("/openapi.json", headers=headers).json()["servers"] == [{"url": bare}]
    assert "servers" not in client.get("/openapi.json").json()
    assert f'"{bare}/openapi.json"' in client.get("/docs", headers=headers).text.replace("'", '"')


@pytest.mark.parametrize(
    "prefix",
    [
        "//evil.example",
        "https://evil.example",
        "/..",
        "/a/../b",
        "/./a",
        '/"><script>',
        "mien",
        "/a b",
        "/" + "a" * 300,
    ],
)
def test_a_prefix_that_leads_elsewhere_is_ignored(service: Service, prefix: str) -> None:
    answer = behind(service).get("/", headers={"X-Forwarded-Prefix": prefix})
    assert '<base href="/">' in answer.text


@pytest.mark.parametrize(
    ("trusted", "peer", "is_trusted"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "10.0.0.1", False),
        ("10.0.0.0/8, ::1", "10.9.8.7", True),
        ("10.0.0.0/8, ::1", "::1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("*", "203.0.113.9", True),
        ("", "127.0.0.1", False),
        ("proxy.sock", "127.0.0.1", False),
        ("127.0.0.1", "not an address", False),
    ],
)
def test_who_is_trusted(trusted: str, peer: str, is_trusted: bool) -> None:
    assert trusted_peers(trusted)(peer) is is_trusted


def test_a_stranger_names_no_prefix(service: Service) -> None:
    client = behind(service, trusted="10.0.0.1")
    assert '<base href="/">' in client.get("/", headers={"X-Forwarded-Prefix": "/mien"}).text


@pytest.mark.parametrize("sent", ["", "/mien"])
def test_the_root_path_holds_whether_the_proxy_removes_it_or_not(
    open_service: Callable[..., Service], sent: str
) -> None:
    service = open_service(signer=Signer(b"0123456789abcdef"), forms=True)
    client = behind(service, "/mien")
    assert '<base href="/mien/">' in client.get(f"{sent}/").text
    answer = client.post(f"{sent}/upload?user_id=Ada", content=photo_of("Ada"), headers=JPEG)
    assert answer.headers["location"].startswith("/mien/uploads/")
    assert client.get(answer.headers["location"]).json()["status"] == "pending"
    assert client.get(f"{sent}/nothing").status_code == 404


def test_the_proxys_word_is_newer_than_the_setting(service: Service) -> None:
    answer = behind(service, "/old").get("/", headers={"X-Forwarded-Prefix": "/new"})
    assert '<base href="/new/">' in answer.text


@pytest.mark.parametrize(("text", "prefix"), [("/", ""), ("", ""), ("/mien", "/mien"), ("/a/b/", "/a/b")])
def test_the_setting_is_a_path(text: str, prefix: str) -> None:
    assert setting_parsers.root_path(text) == prefix
    assert Settings.from_environment({"MIEN_ROOT_PATH": text}).root_path == prefix


@pytest.mark.parametrize("text", ["mien", "//x", "/a//b", "https://x/", "/..", "/a?b"])
def test_a_setting_that_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        setting_parsers.root_path(text)


def test_upload_forms_name_the_address_behind_the_prefix(open_service: Callable[..., Service]) -> None:
    service = open_service(signer=Signer(b"0123456789abcdef"), forms=True)

    class LocalForms:
        """The memory backend's bucket makes forms of its own; a folder's are relative."""

        def __init__(self, original: Callable[..., Any]) -> None:
            self.original = original

        def __call__(self, *arguments: Any, **more: Any) -> Any:
            form = self.original(*arguments, **more)
            return type(form)("/bucket", form.fields, form.image_path, form.expires_at)

    service.app.presign_upload = LocalForms(service.app.presign_upload)  # type: ignore[method-assign]
    asked = {"user_id": "Ada", "content_type": "image/jpeg"}
    answer = behind(service).post("/uploads", json=asked, headers={"X-Forwarded-Prefix": "/mien"})
    assert urlsplit(answer.json()["url"]).path == "/mien/bucket"
