"""A running server keeps its locks on mien.db, whatever routes and commands do; without them, SQLite loses writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config

from mien.backends.embedded import byte_search
from mien.cli import main
from tests.app.served import JPEG, Served
from tests.support.painter import photo_of
from tests.support.process import free_port, serve

pytestmark = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux lists locks in /proc/locks")

SETTLED = ("serve", "demo", "evaluate")
"""Commands that have nothing to do with the data folder of a running server."""


def test_every_route_keeps_the_locks(served: Served, robert: list[bytes]) -> None:
    path = served.enroll("Robert", robert[0])
    seen = served.client.post("/recognize", content=robert[1], headers=JPEG).json()
    face_id = served.client.get("/faces").json()["faces"][0]["face_id"]
    values = {"user_id": "Robert", "face_id": face_id, "image_path": path, "recognition_id": seen["recognition_id"]}
    routes: list[tuple[str, str]] = [
        (method, path)
        for path, methods in served.client.get("/openapi.json").json()["paths"].items()
        for method in methods
    ]
    assert len(routes) > 15
    for method, path in sorted(routes, key=lambda route: (route[0] == "delete", "users" in route[1])):
        served.client.request(method, path.format_map(_Known(values)), params={"user_id": "Robert"}, **_body(method))
        served.assert_sound()
    assert served.client.get("/users/Robert").status_code == 404


def test_the_wire_api_keeps_the_locks(served: Served, robert: list[bytes]) -> None:
    wire: Any = boto3.client(
        "rekognition",
        endpoint_url=str(served.client.base_url),
        region_name="eu-west-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"max_attempts": 0}),
    )
    wire.create_collection(CollectionId="other")
    wire.index_faces(CollectionId="other", Image={"Bytes": robert[0]}, ExternalImageId="Robert")
    served.assert_sound()
    assert wire.search_faces_by_image(CollectionId="other", Image={"Bytes": robert[1]})["FaceMatches"]
    wire.delete_collection(CollectionId="other")
    served.assert_sound()


def test_every_command_keeps_the_locks_of_the_server(served: Served, robert: list[bytes], tmp_path: Path) -> None:
    served.enroll("Robert", robert[0])
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(robert[1])
    words = {
        "enroll": [str(photo), "--user", "Venus"],
        "recognize": [str(photo)],
        "detect": [str(photo)],
        "compare": [str(photo), str(photo)],
        "reject": ["Robert", str(photo)],
        "verify-erased": ["Robert"],
        "forget": ["Robert", "--yes"],
    }
    commands = [command.name or command.callback.__name__.replace("_", "-") for command in _commands()]
    for name in sorted(set(commands) - set(SETTLED), key=lambda name: name == "forget"):
        served.mien(name, *words.get(name, []))
        served.assert_sound()
    assert served.client.get("/users/Robert").status_code == 404


def test_no_answered_write_is_lost_when_a_command_follows_an_erasure_and_the_server_dies(
    served: Served, robert: list[bytes], venus: list[bytes]
) -> None:
    served.enroll("Robert", robert[0])
    served.enroll("Venus", venus[0])
    assert served.client.delete("/users/Robert").status_code == 200
    assert served.mien("people").returncode == 0
    answered = [
        served.client.post("/recognize", content=venus[1], headers=JPEG).json()["recognition_id"] for _ in range(3)
    ]
    assert served.mien("people").returncode == 0
    os.kill(served.process.pid, signal.SIGKILL)
    served.process.wait()
    again = serve(served.folder, port := free_port())
    try:
        listed = httpx.get(f"http://127.0.0.1:{port}/recognitions", timeout=60).json()["recognitions"]
        assert {recognition["recognition_id"] for recognition in listed} == set(answered)
    finally:
        again.kill()
        again.wait()


@pytest.mark.parametrize("offset", [0, byte_search.CHUNK_BYTES - 3, byte_search.CHUNK_BYTES, 5])
def test_bytes_are_found_wherever_they_are_in_a_file(tmp_path: Path, offset: int) -> None:
    paths = [tmp_path / name for name in ("with", "without", "missing", "empty")]
    paths[0].write_bytes(bytes(offset) + b"needle" + bytes(7))
    paths[1].write_bytes(bytes(byte_search.CHUNK_BYTES) + b"needl")
    paths[3].write_bytes(b"")
    assert byte_search.search(paths, [b"something else", b"needle"]) == [paths[0]]


def test_a_search_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "endless")
    monkeypatch.setattr(byte_search, "STARTUP_SECONDS", 0.5)
    with pytest.raises(byte_search.SearchFailed):
        byte_search.search([tmp_path / "endless"], [b"needle"])


def test_the_search_imports_nothing_of_ours() -> None:
    program = f"import runpy, sys; runpy.run_path({byte_search.__file__!r}); print('mien' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-I", "-S", "-c", program]).split() == [b"False"]


class _Known(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "unknown"


def _body(method: str) -> dict[str, Any]:
    return {"content": photo_of("Venus"), "headers": JPEG} if method in {"post", "put", "patch"} else {}


def _commands() -> list[Any]:
    return list(main.app.registered_commands)
