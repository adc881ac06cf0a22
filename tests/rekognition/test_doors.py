"""Who may call the wire API: nobody from elsewhere while it accepts any signature, and no removed key afterwards."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from select import select
from types import SimpleNamespace

import httpx
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from mien.domain.errors import SetupError
from mien.domain.waiting import client
from mien.rekognition import dispatcher, images
from mien.rekognition import server as wire
from mien.rekognition.access_keys import AccessKey, AccessKeyFile
from mien.rekognition.settings import SigV4, WireSettings
from mien.settings import Settings
from tests.support.process import PATIENCE_SECONDS, wait_for

from .raw import JSON_TYPE, PresignedBody, error, post, signed_headers

TARGET = "RekognitionService.ListCollections"
KEYS = {"AKID": AccessKey("someone", "s3cret")}


@pytest.fixture(scope="module")
def strict(serve):
    return serve(WireSettings(keys=KEYS))


def test_with_api_keys_signatures_are_verified(tmp_path: Path) -> None:
    with_keys = Settings(api_keys_file=tmp_path / "keys.json")
    assert with_keys.wire_settings("127.0.0.1").sigv4 is SigV4.VERIFY
    assert Settings().wire_settings("127.0.0.1").sigv4 is SigV4.ACCEPT_ANY
    opened = Settings(api_keys_file=tmp_path / "keys.json", sigv4=SigV4.ACCEPT_ANY)
    assert opened.wire_settings("127.0.0.1").sigv4 is SigV4.ACCEPT_ANY
    with pytest.raises(SetupError):
        opened.wire_settings("0.0.0.0")


def test_a_server_without_access_keys_says_what_is_missing(serve) -> None:
    answer = post(serve(WireSettings()).url, b"{}")
    assert error(answer) == "UnrecognizedClientException"
    assert "MIEN_ACCESS_KEYS_FILE" in answer.json()["message"]


def test_a_server_with_access_keys_tells_strangers_nothing(strict) -> None:
    answer = post(strict.url, b"{}", key="OTHER")
    assert answer.json()["message"] == "The security token included in the request is invalid."


@pytest.mark.parametrize(
    "told",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "127.0.0.1"},
        {"CF-Ray": "1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Referer": "http://127.0.0.1/"},
        {"Origin": "http://127.0.0.1"},
        {"Host": "mien.example"},
        {"Host": "127.0.0.1.example"},
    ],
)
def test_accept_any_refuses_what_comes_from_elsewhere(server, told: dict[str, str]) -> None:
    headers = signed_headers(f"{server.url}/", b"{}", TARGET)
    answer = httpx.post(server.url, content=b"{}", headers=headers | told, timeout=PATIENCE_SECONDS)
    assert error(answer) == "UnrecognizedClientException"
    assert "MIEN_ACCESS_KEYS_FILE" in answer.json()["message"]
    assert httpx.post(server.url, content=b"{}", headers=headers, timeout=PATIENCE_SECONDS).status_code == 200


def test_a_header_that_is_signed_twice_is_refused(strict) -> None:
    headers = signed_headers(f"{strict.url}/", b"{}", TARGET, key="AKID", secret="s3cret")
    twice = {"Authorization": headers["Authorization"].replace("SignedHeaders=", "SignedHeaders=host;")}
    answer = httpx.post(strict.url, content=b"{}", headers=headers | twice, timeout=PATIENCE_SECONDS)
    assert error(answer) == "InvalidSignatureException"
    assert "twice" in answer.json()["message"]


@pytest.mark.parametrize("seconds", ["0", "00", "-1", "", "1.5", "١"])
@pytest.mark.parametrize("ahead", [0, 5])
def test_a_presigned_url_has_to_be_valid_for_some_time(strict, seconds: str, ahead: int, monkeypatch) -> None:
    request = AWSRequest("POST", f"{strict.url}/", headers={"X-Amz-Target": TARGET, "Content-Type": JSON_TYPE})
    at = datetime.now(UTC) + timedelta(minutes=ahead)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: at)
    PresignedBody(b"{}", Credentials("AKID", "s3cret"), "rekognition", "eu-west-1", seconds).add_auth(request)
    answer = httpx.post(request.url, content=b"{}", headers=dict(request.headers.items()), timeout=PATIENCE_SECONDS)
    assert error(answer) == "IncompleteSignatureException"


@pytest.fixture
def half_sent() -> Iterator[Callable[..., socket.socket]]:
    with ExitStack() as stack:

        def send(port: int, length: int, **headers: str) -> socket.socket:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS))
            lines = [f"{name}: {value}" for name, value in headers.items()]
            head = ["POST / HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {length}", *lines]
            connection.sendall("\r\n".join([*head, "", "{"]).encode())
            return connection

        yield send


def test_stalled_requests_lock_nobody_out(serve, half_sent) -> None:
    server = serve(WireSettings(keys=KEYS, max_waiting=4))
    for _ in range(12):
        half_sent(server.port, 100)
    time.sleep(0.2)
    assert post(server.url, b"{}", key="AKID", secret="s3cret").status_code == 200


@pytest.mark.parametrize("key", ["OTHER", None])
def test_a_large_body_of_a_stranger_is_not_read(strict, half_sent, key: str | None) -> None:
    headers = {"X-Amz-Target": TARGET, "Content-Type": JSON_TYPE}
    if key is not None:
        headers = signed_headers(f"{strict.url}/", b"{}", TARGET, key=key)
    connection = half_sent(strict.port, 10_000_000, **{n: v for n, v in headers.items() if n != "Content-Length"})
    assert b"400 Bad Request" in connection.recv(1000)


def test_bodies_together_have_a_limit(serve, half_sent, monkeypatch) -> None:
    monkeypatch.setattr(wire, "MAX_BODIES_BYTES", 1_500_000)
    server = serve(WireSettings(keys=KEYS))
    body = b'{"a": "' + b"x" * 900_000
    headers = signed_headers(f"{server.url}/", body, TARGET, key="AKID", secret="s3cret")
    first = half_sent(server.port, 950_000, **{n: v for n, v in headers.items() if n != "Content-Length"})
    first.sendall(body)
    answers = []

    def is_throttled() -> bool:
        answers.append(post(server.url, body, key="AKID", secret="s3cret"))
        return error(answers[-1]) == "ThrottlingException"

    wait_for(is_throttled)
    first.close()
    wait_for(lambda: error(post(server.url, body, key="AKID", secret="s3cret")) == "SerializationException")


@pytest.mark.parametrize("length", [100, 900_000], ids=["small", "large"])
def test_one_keys_bodies_leave_room_for_those_of_others(serve, half_sent, monkeypatch, length: int) -> None:
    monkeypatch.setattr(wire, "MAX_BODIES_BYTES", 4_000_000)
    server = serve(WireSettings(keys=KEYS | {"OTHER": AccessKey("other", "s3cret")}))
    body = b'{"a": "' + b"x" * 900_000
    headers = signed_headers(f"{server.url}/", body, TARGET, key="AKID", secret="s3cret")
    greedy = {n: v for n, v in headers.items() if n != "Content-Length"}
    connections = [half_sent(server.port, 950_000, **greedy) for _ in range(5)]
    for connection in connections:
        connection.sendall(body)
    wait_for(lambda: len(select(connections, [], [], 0)[0]) == 2)
    assert all(b"Throttling" in connection.recv(1000) for connection in select(connections, [], [], 0)[0])
    other = b"{}".ljust(length)
    assert post(server.url, other, key="OTHER", secret="s3cret").status_code == 200


def test_a_key_with_many_calls_waiting_makes_room_for_others(serve, monkeypatch) -> None:
    end, begun = threading.Event(), threading.Event()

    def wait(*_: object) -> dict[str, object]:
        begun.set()
        end.wait(PATIENCE_SECONDS)
        return {"CollectionIds": []}

    monkeypatch.setitem(dispatcher.OPERATIONS, "DescribeCollection", wait)
    server = serve(WireSettings(keys=KEYS | {"OTHER": AccessKey("other", "s3cret")}, workers=1, max_waiting=2))
    body = json.dumps({"CollectionId": "any"}).encode()
    with ThreadPoolExecutor(8) as pool:
        greedy = [
            pool.submit(post, server.url, body, "DescribeCollection", key="AKID", secret="s3cret") for _ in range(5)
        ]
        assert begun.wait(PATIENCE_SECONDS)
        wait_for(lambda: sum(call.done() for call in greedy) == 2)
        other = pool.submit(post, server.url, b"{}", key="OTHER", secret="s3cret")
        wait_for(lambda: sum(call.done() for call in greedy) == 3)
        end.set()
        assert other.result().status_code == 200
        assert sorted(call.result().status_code for call in greedy) == [200, 200, 400, 400, 400]


def test_a_key_is_one_client_from_however_many_addresses_and_bodies_however_long(serve, monkeypatch) -> None:
    end, who = threading.Event(), []

    def wait(*_: object) -> dict[str, object]:
        who.append(client.get())
        end.wait(PATIENCE_SECONDS)
        return {"CollectionIds": []}

    monkeypatch.setitem(dispatcher.OPERATIONS, "DescribeCollection", wait)
    server = serve(WireSettings(keys=KEYS | {"OTHER": AccessKey("other", "s3cret")}, workers=1, max_waiting=3))
    describe = "RekognitionService.DescribeCollection"
    bodies = [b'{"CollectionId": "any"}'.ljust(length) for length in (30, 100_000)]

    def ask(number: int) -> httpx.Response:
        headers = signed_headers(f"{server.url}/", bodies[number % 2], describe, key="AKID", secret="s3cret")
        with httpx.Client(transport=httpx.HTTPTransport(local_address=f"127.0.0.{number + 1}")) as http:
            return http.post(server.url, content=bodies[number % 2], headers=headers, timeout=PATIENCE_SECONDS)

    with ThreadPoolExecutor(6) as pool:
        greedy = [pool.submit(ask, number) for number in range(5)]
        wait_for(lambda: sum(call.done() for call in greedy) == 1)  # one is answered, three wait
        other = pool.submit(post, server.url, b"{}", key="OTHER", secret="s3cret")
        wait_for(lambda: sum(call.done() for call in greedy) == 2)
        end.set()
        assert other.result().status_code == 200
        assert sorted(call.result().status_code for call in greedy) == [200, 200, 200, 400, 400]
    assert set(who) == {"AKID"}


def test_a_flood_of_members_is_refused_unparsed(strict) -> None:
    body = b'{"a": [' + b"[]," * 1_000_000 + b"1]}"
    assert error(post(strict.url, body, key="AKID", secret="s3cret")) == "SerializationException"


def test_the_most_face_ids_of_a_call_are_taken(strict) -> None:
    ids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(4096)]
    body = json.dumps({"CollectionId": "none", "FaceIds": ids}).encode()
    answer = post(strict.url, body, "DeleteFaces", key="AKID", secret="s3cret")
    assert error(answer) == "ResourceNotFoundException"


def test_access_keys_are_read_again(serve, tmp_path: Path, caplog) -> None:
    path = tmp_path / "access-keys.json"

    def write(*keys: str) -> None:
        path.write_text(json.dumps({key: {"secret": "s", "identity": key} for key in keys}))

    def status(key: str) -> int:
        return post(server.url, b"{}", key=key, secret="s").status_code

    write("ONE", "TWO")
    server = serve(WireSettings(keys=AccessKeyFile(path)))
    assert (status("ONE"), status("TWO"), status("SIX")) == (200, 200, 400)
    write("ONE", "SIX")
    assert (status("ONE"), status("TWO"), status("SIX")) == (200, 400, 200)
    whole = path.read_text()
    with caplog.at_level(logging.WARNING):
        path.write_text(whole[:-4])
        assert [status("ONE") for _ in range(3)] == [400, 400, 400]
    assert caplog.text.count("access keys file cannot be used") == 1
    assert "SIX" not in caplog.text
    path.write_text(whole)
    assert status("ONE") == 200
    caplog.clear()
    path.chmod(0o666)
    assert status("ONE") == 400
    assert [record.cause for record in caplog.records if "access keys file" in record.message] == [
        f"Everybody may change {path}, so its keys cannot be trusted: make new ones, and chmod 600 it."
    ]
    path.chmod(0o600)
    assert status("ONE") == 200
    path.unlink()
    assert status("ONE") == 400


def test_a_storage_that_does_not_answer_holds_up_only_those_who_ask_for_it(serve, monkeypatch) -> None:
    asked, answering = threading.Semaphore(0), threading.Event()

    def get_object(**_: str) -> None:
        asked.release()
        answering.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(images, "s3_client", lambda: SimpleNamespace(get_object=get_object))
    server = serve(WireSettings(keys=KEYS, workers=2))
    body = json.dumps({"Image": {"S3Object": {"Bucket": "far", "Name": "a.jpg"}}}).encode()
    with ThreadPoolExecutor(3) as pool:
        stalled = [pool.submit(post, server.url, body, "DetectFaces", key="AKID", secret="s3cret") for _ in range(2)]
        try:
            assert all(asked.acquire(timeout=PATIENCE_SECONDS) for _ in stalled)
            other = pool.submit(post, server.url, b"{}", key="AKID", secret="s3cret")
            assert other.result(timeout=PATIENCE_SECONDS).status_code == 200
        finally:
            answering.set()
        assert {error(each.result()) for each in stalled} == {"InvalidS3ObjectException"}
