"""What an operator does in a month with a family's photos, by the real server and the real command line."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from mien.app.app import FaceApp
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.policy import Policy
from mien.domain.records import RecognitionStatus
from tests.app.served import JPEG, Served
from tests.support.fake_engine import FakeFaceEngine
from tests.support.painter import photo_of
from tests.support.process import free_port, serve, wait_for

FAMILY = ("Ada", "Grace", "Robert", "Edith")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Served]]:
    """Starts a server on the data folder, as often as a test wants."""
    with ExitStack() as opened:

        def start() -> Served:
            port = free_port()
            process = serve(tmp_path / "data", port, {"MIEN_VISITOR_DAYS": "30"})
            opened.callback(process.wait)
            opened.callback(process.kill)
            client = opened.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60))
            return Served(process, client, tmp_path / "data")

        yield start


def write_family(folder: Path) -> None:
    """Two photos each, and a folder of two more of Ada's by mistake."""
    for name, person, first in [*((name, name, 0) for name in FAMILY), ("Aunt Ada", "Ada", 5)]:
        (folder / name).mkdir(parents=True)
        for number in (first, first + 1):
            (folder / name / f"{number}.jpg").write_bytes(photo_of(person, photo=number))


def receive_visitors(folder: Path) -> None:
    machine = EmbeddedBackend(folder, "face-collection", Policy(), FakeFaceEngine)
    with machine.app:
        past = FaceApp(machine.bucket, machine.recognizer, machine.catalog, now=lambda: LONG_AGO)
        for number in range(3):
            past.index_upload(past.upload(photo_of("Hedy", photo=number)).image_path)


def film(served: Served, is_over: threading.Event) -> None:
    """Recognise the family again and again, as a camera does, until the server dies."""
    number = 0
    with suppress(httpx.TransportError):
        while not is_over.is_set():
            number += 1
            photo = photo_of(FAMILY[number % len(FAMILY)], "Robert", photo=number % 5 + 2)
            served.client.post("/recognize", content=photo, headers=JPEG)


def seen(served: Served, person: str) -> tuple[str, str | None]:
    photo = photo_of(person, photo=8)
    answer = served.client.post("/recognize", params={"store": "false"}, content=photo, headers=JPEG)
    (face,) = answer.json()["faces"]
    return face["status"], face["name"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before the answer", "after the answer"])
def test_whatever_an_operator_does_everything_is_as_it_should_be(
    tmp_path: Path, start: Callable[[], Served], moment: str
) -> None:
    folder, photos = tmp_path / "data", tmp_path / "family"
    write_family(photos)
    receive_visitors(folder)
    served = start()
    visitors = folder / "bucket" / "uploaded" / "_"
    wait_for(lambda: not any(visitors.glob("*")))
    assert served.answer("enroll", str(photos))["enrolled"] == 10
    ids = {person["name"]: person["user_id"] for person in served.answer("people")["people"]}
    assert served.mien("inspect").returncode == 1  # one face with two names
    served.answer("rename", "Ada", "Ada Lovelace")
    served.answer("merge", "Aunt Ada", "Ada Lovelace")
    gone = served.client.get("/faces", params={"user_id": ids["Grace"]}).json()["faces"][0]
    os.remove(folder / "bucket" / gone["image_path"])
    wait_for(lambda: served.client.get(f"/faces/{gone['face_id']}").status_code == 404)

    is_over = threading.Event()
    cameras = [threading.Thread(target=film, args=(served, is_over)) for _ in range(2)]
    for camera in cameras:
        camera.start()
    forget(served, ids["Robert"], waits=moment == "after the answer")
    served.process.kill()
    served.process.wait()
    is_over.set()
    for camera in cameras:
        camera.join()

    served = start()
    wait_for(lambda: served.answer("repair", "--report")["erasures"] == 0)
    served.client.delete(f"/users/{ids['Robert']}")  # killed before the request was stored
    check(served, ids)


def forget(served: Served, user_id: str, *, waits: bool) -> None:
    def ask() -> None:
        with suppress(httpx.TransportError):
            served.client.delete(f"/users/{user_id}")

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(None if waits else 0.05)


def check(served: Served, ids: dict[str, str]) -> None:
    matched, unknown = RecognitionStatus.MATCHED.value, RecognitionStatus.UNKNOWN.value
    assert {name: seen(served, name) for name in (*FAMILY, "Hedy")} == {
        "Ada": (matched, "Ada Lovelace"),
        "Grace": (matched, "Grace"),
        "Edith": (matched, "Edith"),
        "Robert": (unknown, None),
        "Hedy": (unknown, None),
    }
    for recognition in served.client.get("/recognitions", params={"limit": 1000}).json()["recognitions"]:
        assert ids["Robert"] not in {each["user_id"] for face in recognition["faces"] for each in face["candidates"]}
    faces = {person["name"]: person["faces"] for person in served.answer("people")["people"]}
    assert faces == {"Ada Lovelace": 4, "Grace": 1, "Edith": 2}
    for text in (ids["Robert"], "Robert"):
        assert served.answer("verify-erased", text)["erased"]
    assert served.answer("inspect")["findings"] == []
    assert set(served.answer("repair", "--report").values()) == {0}
    assert served.answer("audit", "--verify")["whole"]
    served.assert_sound()
