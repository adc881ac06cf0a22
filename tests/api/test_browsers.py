"""What browsers may do with the server: nothing for pages of other sites, and nothing that stays behind."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mien.api import schemas
from mien.api.kept_answers import KeptFiles
from mien.api.server import Server
from mien.domain.errors import SetupError
from mien.security.api_keys import KeyFile, Scope
from mien.settings import Settings
from tests.api.conftest import JPEG, Service
from tests.support.painter import photo_of

ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "object"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://["},
    {"Origin": "null"},
    {"Referer": "https://evil.example/page"},
]


@pytest.mark.parametrize("told", ELSEWHERE)
@pytest.mark.parametrize(
    "path", ["/users/Ada", "/users", "/health", "/images/{photo}", "/recognize?image_path={photo}"]
)
def test_without_keys_other_sites_learn_nothing_and_store_nothing(
    service: Service, told: dict[str, str], path: str
) -> None:
    path = path.format(photo=service.enroll(photo_of("Ada"), "Ada")["image_path"])
    for method in ("GET", "HEAD"):
        assert service.client.request(method, path, headers=told).status_code == 403
    assert service.client.get("/recognitions").json()["recognitions"] == []
    assert service.client.get(path, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert service.client.get(path).status_code == 200


def test_an_address_that_is_typed_reads_but_stores_nothing(service: Service) -> None:
    photo = service.enroll(photo_of("Ada"), "Ada")["image_path"]
    typed = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert service.client.get("/users", headers=typed).status_code == 200
    assert service.client.get("/recognize", params={"image_path": photo}, headers=typed).status_code == 403
    assert service.client.get("/recognitions").json()["recognitions"] == []


def test_any_site_may_link_to_the_page_but_not_frame_it(service: Service) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    frame = link | {"Sec-Fetch-Dest": "iframe"}
    for path in ("/", "/docs"):
        answer = service.client.get(path, headers=link | {"Referer": "https://friend.example/"})
        assert answer.status_code == 200
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
        assert service.client.get(path, headers=frame).status_code == 403


def test_allowed_origins_and_keyed_clients_may_be_anywhere(
    open_service: Callable[..., Service], tmp_path: Path
) -> None:
    friend = {"Origin": "https://friend.example", "Sec-Fetch-Site": "cross-site"}
    opened = open_service(settings=Settings(cors_origins=("https://friend.example",)))
    assert opened.client.get("/users", headers=friend).status_code == 200
    keys = tmp_path / "keys.json"
    key = KeyFile(keys).create("page", list(Scope))
    guarded = open_service(settings=Settings(api_keys_file=keys))
    assert guarded.client.get("/users", headers=friend | {"X-Api-Key": key}).status_code == 200
    assert guarded.client.get("/users", headers=friend).status_code == 401


def test_no_answer_stays_in_a_browser(service: Service) -> None:
    photo = service.enroll(photo_of("Ada"), "Ada")["image_path"]
    paths = [
        "/users",
        "/users/Ada",
        f"/images/{photo}",
        f"/uploads/{photo}",
        "/recognitions",
        "/faces",
        "/users/nobody",
    ]
    for path in (*paths, "/audit", "/metrics", "/hygiene", "/nothing"):
        answer = service.client.get(
            path, headers={"If-None-Match": "*", "If-Modified-Since": "Fri, 01 Jan 2038 00:00:00 GMT"}
        )
        assert answer.status_code in {200, 404, 422}, "never 304: it would keep a copy alive"
        assert "no-store" in answer.headers["cache-control"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "etag" not in answer.headers
    recognised = service.client.post("/recognize", content=photo_of("Ada"), headers=JPEG)
    assert recognised.headers["cache-control"] == "no-store"


def test_refusals_and_failures_say_the_same(open_service: Callable[..., Service], tmp_path: Path) -> None:
    guarded = open_service(settings=Settings(api_keys_file=tmp_path / "none.json"), hosts={"localhost"}).client
    for host, status in (("localhost", 401), ("evil.example", 403)):
        answer = guarded.get("/users", headers={"Host": host})
        assert (answer.status_code, answer.headers["cache-control"]) == (status, "no-store")
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_the_pages_own_files_are_asked_for_again(service: Service) -> None:
    answer = service.client.get("/static/main.js")
    assert answer.headers["cache-control"] == "no-cache"
    again = service.client.get("/static/main.js", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.headers["cross-origin-resource-policy"]) == (304, "same-origin")


@pytest.mark.parametrize("path", ["/static/main.js", "/openapi.json", "/static-offline-docs/swagger-ui-bundle.js"])
def test_only_what_is_the_same_for_everybody_is_compressed(service: Service, path: str) -> None:
    answer = service.client.get(path)
    assert answer.headers["content-encoding"] == "gzip"
    plain = service.client.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == answer.content
    assert service.client.get(path, headers={"If-None-Match": plain.headers["etag"]}).status_code == 304
    assert "content-encoding" not in service.client.get("/calibration").headers


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip;q=0", False),
        ("gzip; Q=0.000, br", False),
        ("*, gzip;q=0.0", False),
        ("gzip;q=no", False),
        pytest.param("gzip;q=0." + "1" * 1_000_000 + "x", False, id="hours-where-time-grows-with-the-square"),
        ("gzip;q=0.001", True),
        ("xgzip", False),
        ("", False),
        ("br, GZIP ; q=0.5", True),
        ("*", True),
        ("br;q=1.0, gzip;q=1.0", True),
    ],
)
def test_files_are_compressed_for_those_who_take_gzip(service: Service, accepted: str, is_compressed: bool) -> None:
    answer = service.client.get("/static/main.js", headers={"Accept-Encoding": accepted})
    assert (answer.headers.get("content-encoding") == "gzip") == is_compressed
    assert "Accept-Encoding" in answer.headers["vary"]


def test_what_anybody_may_ask_for_is_not_made_anew_each_time(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ("/openapi.json", "/calibration", "/static/main.js", "/static-offline-docs/swagger-ui-bundle.js")
    first = [service.client.get(path).text for path in paths]

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(service.client.app, "openapi", fail)
    for owner, made in ((schemas, "CalibrationPoint"), (Path, "read_bytes"), (gzip, "compress")):
        monkeypatch.setattr(owner, made, fail)
    assert [service.client.get(path).text for path in paths] == first


def test_a_file_of_the_page_that_changes_is_served_anew(tmp_path: Path) -> None:
    (tmp_path / "main.js").write_text("1")
    client = TestClient(KeptFiles(tmp_path))
    first = client.get("/main.js")
    (tmp_path / "main.js").write_text("2")
    os.utime(tmp_path / "main.js", (1, 1))
    again = client.get("/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (first.text, again.text) == ("1", "2")


def test_compressed_and_plain_files_share_no_strong_tag(service: Service) -> None:
    tags = []
    for coding in ("gzip", "identity"):
        headers = {"Accept-Encoding": coding}
        tags.append(service.client.get("/static/main.js", headers=headers).headers["etag"])
        again = service.client.get("/static/main.js", headers=headers | {"If-None-Match": tags[-1]})
        assert (again.status_code, again.headers["etag"]) == (304, tags[-1])
    assert tags == [f"W/{tags[1]}", tags[1]]


@pytest.mark.parametrize("name", ["Host", "Origin", "Referer"])
@pytest.mark.parametrize(
    "value", ["[", "http://[", "http://[::1", "http://a]b", "//", "http://\u00e9", "a" * 9000, "\u2100"]
)
def test_headers_that_cannot_be_parsed_are_refused(service: Service, name: str, value: str) -> None:
    for method, path in (("POST", "/recognize"), ("GET", "/users"), ("DELETE", "/users/Ada"), ("HEAD", "/health")):
        headers = {**JPEG, name: value.encode("latin-1", "replace").decode("latin-1")}
        answer = service.client.request(method, path, headers={k: v.encode("latin-1") for k, v in headers.items()})
        assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("path", ["/recognitions?since=", "/audit?since=", "/audit?until=", "/users?consent_before="])
@pytest.mark.parametrize(
    "moment",
    [
        *("0001-01-01T00:00:00%2B23:59", "0001-01-01T00:00:00.000001%2B00:01", "9999-12-31T23:59:59.999999-00:01"),
        *(
            "-1",
            "1e400",
            "99999999999999999999",
            "nan",
            "inf",
            "%00",
            "2026-02-30",
            "T",
            "\u0661",
            "[",
            "2026-01-01T25:00",
        ),
    ],
)
def test_moments_that_cannot_be_are_refused(service: Service, path: str, moment: str) -> None:
    answer = service.client.get(path + moment)
    assert answer.status_code in {200, 422}, answer.text


@pytest.mark.parametrize("origins", [("*",), ("null",), ("https://a.example", "*")])
def test_every_origin_is_allowed_with_keys_only(origins: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="mien keys create"):
        Server(Settings(data_dir=tmp_path, cors_origins=origins))
    assert not (tmp_path / "mien.db").exists()
