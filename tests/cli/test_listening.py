"""`mien serve` and its socket: what stands in the way is said in one sentence."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from starlette.types import ASGIApp, Receive, Scope, Send

from mien.api.server import Server
from mien.cli.serve import _behind_proxies, check_certificate, listen
from mien.domain.errors import InvalidInput, SetupError
from mien.security import api_keys
from mien.settings import Settings
from tests.rekognition.wire_server import running
from tests.support.certificates import write_certificate
from tests.support.fake_engine import use_fake_engine
from tests.support.process import MIEN_ON_FAKE_ENGINE, PATIENCE_SECONDS, free_port, serve


def test_a_port_in_use_is_one_sentence_and_exit_code_4(mien):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        answer = mien("serve", "--port", port)
    assert answer.code == 4
    assert answer.err == f"Port {port} is in use by another program; name another one with --port.\n"
    assert answer.out == ""


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.7", "a" * 300])
def test_an_address_of_another_machine_is_refused(host):
    with pytest.raises(SetupError, match=r"^.*\.$"):
        listen(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_port_0_takes_a_free_one(host):
    with listen(host, 0) as listener:
        assert listener.getsockname()[1] > 0
        assert listener.proto == socket.IPPROTO_TCP, "or asyncio would leave Nagle's delay on"


def test_the_server_tells_of_a_misspelt_setting(tmp_path):
    log = tmp_path / "log"
    server = serve(tmp_path / "data", free_port(), {"MIEN_API_KEY_FILE": "keys.json"}, log=log)
    server.terminate()
    server.wait(PATIENCE_SECONDS)
    messages = [json.loads(line)["message"] for line in log.read_text().splitlines()]
    assert "MIEN_API_KEY_FILE is no setting, and has no effect. Did you mean MIEN_API_KEYS_FILE?" in messages


def test_a_file_of_keys_that_leads_nowhere_refuses_all(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "api-keys.json").symlink_to(tmp_path / "not mounted")
    port = free_port()
    server = serve(tmp_path / "data", port)
    try:
        assert httpx.get(f"http://127.0.0.1:{port}/users", timeout=PATIENCE_SECONDS).status_code == 401
    finally:
        server.terminate()
        server.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("content", "mode", "sentence"), [("{}", 0o666, "Everybody may change"), ('{"half', 0o600, "that can be read")]
)
def test_the_server_does_not_start_with_keys_that_it_would_refuse(mien, tmp_path, content, mode, sentence):
    keys = tmp_path / "keys.json"
    keys.write_text(content)
    keys.chmod(mode)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_API_KEYS_FILE", str(keys))
        answer = mien("serve", "--port", 0)
    assert answer.code == 4
    assert (sentence in answer.err, str(keys) in answer.err, len(answer.err.splitlines())) == (True, True, 1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    return write_certificate(folder, "one")


def test_a_certificate_and_its_key_are_checked_before_the_server_starts(certificate, tmp_path):
    cert, key = certificate
    check_certificate(None, None)
    check_certificate(cert, key)
    for pair in ((cert, None), (None, key)):
        with pytest.raises(InvalidInput, match="belong together"):
            check_certificate(*pair)
    _, foreign = write_certificate(tmp_path, "foreign")
    _, locked = write_certificate(tmp_path, "locked", b"secret")
    (tmp_path / "empty").write_bytes(b"")
    for wrong in (foreign, locked, cert, tmp_path / "empty"):
        with pytest.raises(SetupError, match="not a certificate and its private key"):
            check_certificate(cert, wrong)
    with pytest.raises(SetupError, match="cannot be read"):
        check_certificate(cert, tmp_path / "missing")


def test_a_certificate_that_cannot_be_read_is_exit_code_4(mien, tmp_path):
    answer = mien("serve", "--tls-cert", tmp_path / "missing", "--tls-key", tmp_path / "missing", "--port", 0)
    assert answer.code == 4
    assert len(answer.err.splitlines()) == 1
    assert mien("serve", "--tls-cert", tmp_path / "missing").code == 2


@contextmanager
def served(folder: Path, *options: object, **settings: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a server on a free port; yields the address that it tells."""
    server = subprocess.Popen(
        [*MIEN_ON_FAKE_ENGINE, "serve", "--port", "0", *map(str, options)],
        env=os.environ | {"MIEN_DATA_DIR": str(folder)} | settings,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    try:
        for line in server.stderr:
            if found := re.search(r"https?://\S+", line):
                yield found[0].rstrip("/"), server
                break
        else:
            pytest.fail("the server told no address")
    finally:
        server.terminate()
        server.wait(60)
        server.stderr.close()


def test_the_address_that_is_told_answers_at_once_by_https(certificate, tmp_path):
    cert, key = certificate
    with served(tmp_path, "--tls-cert", cert, "--tls-key", key) as (address, _):
        assert address.startswith("https://127.0.0.1:")
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=60):
            pass
        context = ssl.create_default_context(cafile=str(cert))
        assert httpx.get(f"https://localhost:{port}/health", verify=context, timeout=60).status_code == 200


def test_a_proxy_on_this_machine_names_prefix_and_scheme(tmp_path):
    told = {"X-Forwarded-Prefix": "/mien", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    asked = {"user_id": "Ada", "content_type": "image/jpeg"}
    with served(tmp_path) as (address, _):
        assert '<base href="/mien/">' in httpx.get(f"{address}/", headers=told, timeout=60).text
        form = httpx.post(f"{address}/uploads", json=asked, headers=told, timeout=60).json()
        assert form["url"] == f"{address.replace('http:', 'https:')}/mien/bucket"


def test_a_proxy_that_is_not_trusted_names_nothing(tmp_path):
    with served(tmp_path, FORWARDED_ALLOW_IPS="10.0.0.1", MIEN_ROOT_PATH="/set") as (address, _):
        answer = httpx.get(f"{address}/", headers={"X-Forwarded-Prefix": "/mien"}, timeout=60)
        assert '<base href="/set/">' in answer.text


def test_the_times_of_the_log_have_their_offset(tmp_path):
    with served(tmp_path, TZ="Asia/Kolkata") as (address, server):
        httpx.get(f"{address}/health", timeout=60)
        assert server.stderr is not None
        line = next(line for line in server.stderr if line.startswith("{"))
    assert re.search(r'"time": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+05:30"', line)


class StrippingProxy:
    """A reverse proxy as far as an application sees it: it removes the prefix and tells it."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            told = (b"x-forwarded-prefix", self._prefix.encode())
            path = scope["path"].removeprefix(self._prefix)
            scope = {**scope, "path": path, "raw_path": path.encode(), "headers": [*scope["headers"], told]}
        await self._app(scope, receive, send)


@pytest.mark.parametrize("secret", ["right", "wrong"])
def test_rekognitions_clients_sign_the_address_behind_the_prefix(tmp_path, monkeypatch, secret):
    use_fake_engine(monkeypatch)
    keys = {"AKIDEXAMPLE": {"secret": "right", "identity": "door"}}
    (tmp_path / "access.json").write_text(json.dumps(keys))
    settings = Settings(data_dir=tmp_path / "data", access_keys_file=tmp_path / "access.json")
    app = StrippingProxy(_behind_proxies(Server(settings), ""), "/mien")
    with running(app) as server:
        client = boto3.client(
            "rekognition",
            endpoint_url=f"{server.url}/mien/",
            region_name="eu-central-1",
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key=secret,
            config=Config(retries={"max_attempts": 0}),
        )
        if secret == "right":
            assert client.list_collections()["CollectionIds"] == []
        else:
            with pytest.raises(client.exceptions.ClientError, match="InvalidSignature"):
                client.list_collections()


def wire_call(address: str) -> Any:
    client = boto3.client(
        "rekognition",
        endpoint_url=address,
        region_name="eu-west-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"max_attempts": 0}),
    )
    return client.list_collections()["CollectionIds"]


def test_an_open_wire_api_says_so_at_the_start(tmp_path):
    with served(tmp_path) as (address, server):
        assert server.stderr is not None
        assert "any program on this machine may call it" in next(line for line in server.stderr if "wire API" in line)
        assert wire_call(address) == []


def test_api_keys_close_the_wire_api_until_there_are_access_keys(tmp_path):
    api_keys.KeyFile(tmp_path / "api-keys.json").create("door", list(api_keys.Scope))
    with served(tmp_path) as (address, server):
        assert server.stderr is not None
        assert "MIEN_ACCESS_KEYS_FILE" in next(line for line in server.stderr if "wire API" in line)
        with pytest.raises(ClientError, match="MIEN_ACCESS_KEYS_FILE"):
            wire_call(address)
    access_keys = tmp_path / "access-keys.json"
    access_keys.write_text('{"any": {"secret": "any", "identity": "door"}}')
    with served(tmp_path, MIEN_ACCESS_KEYS_FILE=str(access_keys)) as (address, _):
        assert wire_call(address) == []
