"""What is refused, how it is said, and what never leaves."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import BaseModel

from mien.api import problems
from mien.api.api import LENGTHY_THREADS, STORAGE_THREADS
from mien.api.context import BoundedExecutor
from mien.api.logs import JsonLines
from mien.domain import errors
from mien.domain.policy import Policy
from mien.security.api_keys import KeyFile, Scope
from mien.security.signing import Signer
from mien.settings import Settings
from tests.api.conftest import JPEG, Service
from tests.hostile.bombs import NAMED_WEBP
from tests.support.process import wait_for


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", JPEG, 400),
        (b"not an image", JPEG, 415),
        (b"\xff\xd8\xff", {"Content-Type": "text/plain"}, 415),
        (b"\xff\xd8\xff", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"\xff\xd8\xff" + b"x" * 2_000_000, JPEG, 413),
        (b"x", {"Content-Type": "multipart/form-data; boundary=x"}, 400),
    ],
)
def test_uploads_that_cannot_be(
    open_service: Callable[..., Service], content: bytes, headers: dict[str, str], status: int
) -> None:
    service = open_service(Policy(max_image_bytes=1_000_000))
    answer = service.client.post("/upload?user_id=a", content=content, headers=headers)
    assert answer.status_code == status
    _is_problem(answer.headers, answer.json(), status)


@pytest.mark.parametrize("has_length", [True, False])
def test_a_photo_that_is_too_large_is_told_how_large_photos_may_be(
    open_service: Callable[..., Service], has_length: bool
) -> None:
    service, photo = open_service(Policy(max_image_bytes=100_000)), b"\xff\xd8\xff" + b"x" * 200_000
    answer = service.client.post("/recognize", content=photo if has_length else iter([photo]), headers=JPEG)
    assert (answer.status_code, answer.json()["detail"]) == (413, "The photo has more than 100,000 bytes.")


def test_a_body_without_a_length_is_cut_off(open_service: Callable[..., Service]) -> None:
    service = open_service(Policy(max_image_bytes=100_000))
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 50_000_000:
            sent += 10_000
            yield b"\xff\xd8\xff" + b"x" * 9_997

    answer = service.client.post("/recognize", content=endless(), headers=JPEG)
    assert answer.status_code == 413


def test_a_photo_over_a_limit_is_told_which(service: Service) -> None:
    answer = service.client.post("/recognize", content=NAMED_WEBP, headers={"Content-Type": "image/webp"})
    _is_problem(answer.headers, answer.json(), 413)
    assert answer.json()["limit"] == "pixels"


def test_truncated_photos_say_so(service: Service, damaged: bytes) -> None:
    answer = service.client.post("/recognize", content=damaged, headers=JPEG)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:mien:damaged-image"


@pytest.mark.parametrize(
    "path",
    ["../../etc/passwd", "uploaded/../../etc/passwd", "/etc/passwd", "secret", "uploaded/a/..%2f..%2fsecret", "\x00"],
)
def test_paths_that_lead_elsewhere(service: Service, path: str) -> None:
    assert service.client.get("/recognize", params={"image_path": path}).status_code in {404, 422}
    assert service.client.get("/images/" + quote(path, safe="")).status_code in {404, 422}


@pytest.mark.parametrize("query", ["threshold=101", "threshold=-1", "threshold=nan", "threshold=high"])
def test_thresholds_that_cannot_be(service: Service, query: str) -> None:
    answer = service.client.post(f"/recognize?{query}", content=b"\xff\xd8\xff", headers=JPEG)
    assert answer.status_code == 422


def test_every_error_has_a_status() -> None:
    def leaves(kind: type[errors.MienError]) -> Iterator[type[errors.MienError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from leaves(child)

    for kind in leaves(errors.MienError):
        if kind is not errors.MienError:
            assert 400 <= problems.status_of(kind("A sentence.")) < 600


def test_an_unforeseen_failure_tells_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(service.app, "people", fail)
    answer = service.client.get("/users")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    _is_problem(answer.headers, answer.json(), 500)


def test_the_request_id_of_a_client_comes_back(service: Service) -> None:
    answer = service.client.get("/users/nobody", headers={"X-Request-Id": "abc-123"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "abc-123"
    forged = service.client.get("/users/nobody", headers={"X-Request-Id": "a b\tc"})
    assert forged.headers["x-request-id"] != "a b\tc"


def test_logs_hold_no_personal_data(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        service.client.get("/users/Alice Secret", headers={"X-Api-Key": "mien_key"})
        service.client.get("/recognitions?user_id=Alice Secret")
    lines = [JsonLines().format(record) for record in caplog.records if record.name.startswith("mien")]
    requests = [json.loads(line) for line in lines if json.loads(line)["message"] == "request"]
    assert [request["route"] for request in requests] == ["/users/{user_id:path}", "/recognitions"]
    assert not any("Alice" in line or "mien_key" in line for line in lines)


# Who may call


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def guarded(open_service: Callable[..., Service], tmp_path: Path) -> Service:
    return open_service(settings=Settings(api_keys_file=tmp_path / "keys.json"))


def test_without_a_key_nothing_but_health(guarded: Service) -> None:
    answer = guarded.client.get("/users")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert guarded.client.get("/metrics").status_code == 401
    assert guarded.client.get("/health").status_code == 200


def test_a_key_may_do_what_its_scopes_say(guarded: Service, keys: KeyFile) -> None:
    key = keys.create("door", [Scope.UPLOAD])
    headers = JPEG | {"X-Api-Key": key}
    assert guarded.client.post("/upload", content=b"\xff\xd8\xff", headers=headers).status_code == 202
    assert guarded.client.post("/recognize", content=b"\xff\xd8\xff", headers=headers).status_code == 403
    assert guarded.client.delete("/users/x", headers=headers).status_code == 403


def test_a_revoked_key_is_refused_at_once(guarded: Service, keys: KeyFile) -> None:
    key = keys.create("door", list(Scope))
    headers = {"Authorization": f"Bearer {key}"}
    assert guarded.client.get("/users", headers=headers).status_code == 200
    keys.revoke(keys.list()[0].key_id)
    assert guarded.client.get("/users", headers=headers).status_code == 401


def test_keys_are_kept_as_hashes(keys: KeyFile, tmp_path: Path) -> None:
    key = keys.create("door", list(Scope))
    kept = (tmp_path / "keys.json").read_text()
    assert key.split("_", 2)[2] not in kept
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0
    assert keys.check(key).name == "door"
    for wrong in ("", "mien_", key[:-1] + ("a" if key[-1] != "a" else "b"), key + "x"):
        with pytest.raises(errors.NotAuthenticated):
            keys.check(wrong)


@pytest.mark.parametrize(("content", "mode"), [("{not json", 0o600), ("{}", 0o666)])
def test_a_key_file_that_cannot_be_used_lets_nobody_in_and_the_log_alone_names_it(
    guarded: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str, mode: int
) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    path.chmod(mode)
    answer = guarded.client.get("/users", headers={"X-Api-Key": "x"})
    assert (answer.status_code, answer.json()["detail"]) == (500, problems.NOT_SET_UP)
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert [str(path) in line["cause"] for line in lines if line["message"] == "request failed"] == [True]


def test_a_key_file_that_cannot_even_be_looked_at_is_said_to_be_unreadable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.SetupError, match="can be read"):
        KeyFile(tmp_path / "file" / "keys.json").list()


def test_rates_per_key(open_service: Callable[..., Service], tmp_path: Path, keys: KeyFile) -> None:
    service = open_service(settings=Settings(api_keys_file=tmp_path / "keys.json", rate_per_minute=1))
    one, two = ({"X-Api-Key": keys.create(name, list(Scope))} for name in "ab")
    assert service.client.get("/users", headers=one).status_code == 200
    refused = service.client.get("/users", headers=one)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert service.client.get("/users", headers=two).status_code == 200


# From where it may be called


def test_foreign_hosts_are_refused_on_loopback(open_service: Callable[..., Service]) -> None:
    service = open_service(hosts={"localhost", "127.0.0.1", "::1"})
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert service.client.get("/users", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", ""):
        assert service.client.get("/users", headers={"Host": host}).status_code == 403


def test_foreign_pages_cannot_post(service: Service) -> None:
    foreign = JPEG | {"Origin": "https://evil.example"}
    assert service.client.post("/upload", content=b"\xff\xd8\xff", headers=foreign).status_code == 403
    own = JPEG | {"Origin": "http://testserver"}
    assert service.client.post("/upload", content=b"\xff\xd8\xff", headers=own).status_code == 202


def test_cors_is_closed_unless_opened(open_service: Callable[..., Service]) -> None:
    origin = {"Origin": "https://app.example"}
    assert "access-control-allow-origin" not in open_service().client.get("/users", headers=origin).headers
    opened = open_service(settings=Settings(cors_origins=("https://app.example",)))
    for path in ("/users", "/users/nobody", "/recognitions?cursor=x"):
        answer = opened.client.get(path, headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in opened.client.get("/users", headers={"Origin": "https://b.c"}).headers


def test_a_full_queue_says_come_back(open_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch) -> None:
    service = open_service(settings=Settings(threads=1, max_waiting=0))
    most = 2
    inside, leave = threading.Barrier(most + 1), threading.Event()

    def slow(_: bytes) -> list[object]:
        inside.wait(60)
        leave.wait(60)
        return []

    monkeypatch.setattr(service.app, "detect", slow)
    with service.client, ThreadPoolExecutor(most) as callers:
        for _ in range(most):
            callers.submit(service.client.post, "/detect", content=b"x", headers=JPEG)
        inside.wait(60)
        answer = service.client.post("/detect", content=b"x", headers=JPEG)
        leave.set()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


def test_calls_that_have_ended_keep_nobody_out_while_the_event_loop_is_busy() -> None:
    async def ask() -> int:
        executor = BoundedExecutor(2, 4)
        many = [asyncio.create_task(executor.run(int)) for _ in range(6)]
        await asyncio.sleep(0)
        wait_for(lambda: executor.pending == 0)  # the loop has not heard of it
        assert not any(task.done() for task in many)
        answer = await executor.run(int, "7")
        await asyncio.gather(*many)
        return answer

    assert asyncio.run(ask()) == 7


def test_a_client_with_many_requests_waiting_keeps_no_other_out(
    open_service: Callable[..., Service], tmp_path: Path, keys: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy, honest = keys.create("greedy", [Scope.RECOGNIZE]), keys.create("honest", [Scope.RECOGNIZE])
    service = open_service(settings=Settings(threads=1, max_waiting=2, api_keys_file=tmp_path / "keys.json"))
    inside, leave = threading.Semaphore(0), threading.Event()

    def slow(_: bytes) -> list[object]:
        inside.release()
        leave.wait(60)
        return []

    monkeypatch.setattr(service.app, "detect", slow)
    with service.client, ThreadPoolExecutor(6) as callers:

        def ask(key: str) -> Future[int]:
            headers = {**JPEG, "X-Api-Key": key}
            return callers.submit(lambda: service.client.post("/detect", content=b"x", headers=headers).status_code)

        asked = [ask(greedy) for _ in range(5)]  # two are answered, two wait, and the fifth is refused
        assert all(inside.acquire(timeout=60) for _ in range(2))
        wait_for(lambda: sum(answer.done() for answer in asked) == 1)
        answer = ask(honest)
        wait_for(lambda: sum(answer.done() for answer in asked) == 2)  # the last one made room
        leave.set()
        assert answer.result(60) == 200
        assert sorted(answer.result(60) for answer in asked) == [200, 200, 200, 503, 503]


@pytest.mark.parametrize("path", ["/faces", "/users", "/recognitions", "/uploads", "/groups"])
def test_pages_of_a_thousand_items_are_written_where_clients_take_turns(
    service: Service, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    threads = []
    written = BaseModel.model_dump_json

    def write(model: BaseModel) -> str:
        threads.append(threading.current_thread().name)
        return written(model)

    monkeypatch.setattr(BaseModel, "model_dump_json", write)
    answer = service.client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["next_cursor"] is None
    assert [name.startswith("mien-api") for name in threads] == [True]


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [("GET", "/hygiene", "inspect"), ("POST", "/groups", "groups.add_all"), ("DELETE", "/users/Ada", "finish_erasure")],
)
def test_calls_that_take_long_keep_no_other_waiting(
    service: Service, monkeypatch: pytest.MonkeyPatch, method: str, path: str, call: str
) -> None:
    inside, leave = threading.Semaphore(0), threading.Event()

    def slow(*_: object) -> object:
        inside.release()
        leave.wait(60)
        raise errors.StorageBusy("Another call was first.")

    owner, _, name = call.rpartition(".")
    monkeypatch.setattr(service.app.groups if owner else service.app, name, slow)
    monkeypatch.setattr(service.app, "request_erasure", lambda _: None)
    many = STORAGE_THREADS + 1
    with service.client, ThreadPoolExecutor(many + 1) as callers:
        asked = [callers.submit(service.client.request, method, path) for _ in range(many)]
        assert all(inside.acquire(timeout=60) for _ in range(LENGTHY_THREADS))
        try:
            assert callers.submit(service.client.get, "/users").result(30).status_code == 200
        finally:
            leave.set()
        assert {answer.result(60).status_code for answer in asked} == {503}


def test_tokens_expire_and_keep_to_their_purpose() -> None:
    signer = Signer(b"0123456789abcdef")
    token = signer.sign("cursor", {"at": 1})
    assert signer.verify("cursor", token) == {"at": 1}
    with pytest.raises(errors.InvalidInput):
        signer.verify("upload form", token)
    with pytest.raises(errors.InvalidInput):
        Signer(b"another secret 12").verify("cursor", token)
    with pytest.raises(errors.AccessDenied):
        signer.verify("cursor", signer.sign("cursor", {}, expires_in=-1))


def _is_problem(headers: object, body: dict[str, object], status: int) -> None:
    assert headers["content-type"] == "application/problem+json"  # type: ignore[index]
    names = {"type", "title", "status", "detail", "request_id"} | ({"limit"} if status == 413 else set())
    assert set(body) == names
    assert body["status"] == status
