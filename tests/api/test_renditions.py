"""What the server does for browsers: it renders photos, has samples for a first try, and tells of the installation."""

from __future__ import annotations

import io
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image
from starlette.testclient import TestClient

from mien.api.api import create_api
from mien.app.app import FaceApp
from mien.backends.memory.bucket import MemoryBucket
from mien.backends.memory.catalog import MemoryCatalog
from mien.backends.memory.recognizer import MemoryRecognizer
from mien.domain.errors import SetupError
from mien.engine import render
from mien.settings import Settings
from tests.support import painter
from tests.support.fake_engine import FakeFaceEngine


@pytest.mark.parametrize("form", ["TIFF", "HEIF", "PNG"])
def test_a_photo_that_browsers_cannot_show_is_rendered_as_an_upright_jpeg(form: str) -> None:
    pillow_heif.register_heif_opener()
    scene = painter.landscape(300, 200)
    client = TestClient(create_api(FaceApp(*_ports(), render=render), Settings()))
    answer = client.post("/render?size=150", content=painter.encoded(scene, form), headers={"Content-Type": "image/x"})
    assert answer.status_code == 200, answer.text
    shown = Image.open(io.BytesIO(answer.content))
    assert (answer.headers["content-type"], shown.format, shown.size) == ("image/jpeg", "JPEG", (150, 100))


def test_a_stored_photo_is_rendered_at_a_size() -> None:
    app = FaceApp(*_ports(), render=render)
    path = app.upload(painter.photo_of("Ada")).image_path
    answer = TestClient(create_api(app, Settings())).get(f"/images/{path}?size=64")
    assert max(Image.open(io.BytesIO(answer.content)).size) == 64
    assert answer.headers["cache-control"] == "private, no-store"


def test_samples_are_listed_and_served_by_name_alone(tmp_path: Path) -> None:
    (tmp_path / "ada.jpg").write_bytes(painter.photo_of("Ada"))
    (tmp_path.parent / "other.jpg").write_bytes(b"private")
    samples = lambda: [("Ada", [tmp_path / "ada.jpg"])]  # noqa: E731
    client = TestClient(create_api(FaceApp(*_ports()), Settings(), samples=samples))
    assert client.get("/samples").json() == {"people": [{"name": "Ada", "photos": ["ada.jpg"]}]}
    assert client.get("/samples/ada.jpg").content == (tmp_path / "ada.jpg").read_bytes()
    assert client.get("/samples/..%2Fother.jpg").status_code == 404
    assert client.get("/samples/other.jpg").status_code == 404


def test_samples_that_cannot_be_fetched_say_why() -> None:
    def samples() -> list[tuple[str, list[Path]]]:
        raise SetupError("photos.tar.gz could not be fetched from https://pypi.org/simple/: no network.")

    client = TestClient(create_api(FaceApp(*_ports()), Settings(), samples=samples))
    answer = client.get("/samples")
    assert (answer.status_code, answer.json()["detail"].split(" from ")[0]) == (
        404,
        "photos.tar.gz could not be fetched",
    )


def test_the_system_tells_where_the_data_is_and_whether_a_key_is_needed(tmp_path: Path) -> None:
    told = TestClient(create_api(FaceApp(*_ports()), Settings(data_dir=tmp_path))).get("/system").json()
    assert told["data_dir"] == str(tmp_path)
    assert told["free_bytes"] > 0
    assert (told["threshold"], told["requires_key"]) == ("auto", False)


def _ports() -> tuple[MemoryBucket, MemoryRecognizer, MemoryCatalog]:
    return MemoryBucket(), MemoryRecognizer(FakeFaceEngine()), MemoryCatalog()


def test_the_system_is_told_before_there_is_a_data_folder(tmp_path: Path) -> None:
    told = TestClient(create_api(FaceApp(*_ports()), Settings(data_dir=tmp_path / "none"))).get("/system").json()
    assert told["free_bytes"] is None
