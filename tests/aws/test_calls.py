"""What Rekognition is asked, and how often: every call that these count is billed."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any

import boto3
import pytest
from PIL import Image

from mien.app.app import FaceApp
from mien.backends.aws import clients
from mien.backends.aws.recognizer import RekognitionRecognizer
from mien.domain.errors import ImageNotFound, ImageTooSmall, Overloaded
from mien.domain.object_keys import installation_mark
from mien.domain.policy import Policy
from mien.domain.records import Recognition, UploadStatus
from mien.domain.results import StoredPhoto
from mien.gallery import Gallery
from mien.rekognition.server import create_app
from mien.rekognition.settings import SigV4, WireSettings
from tests.aws import local
from tests.aws.rekognition import COLLECTION
from tests.support.fake_engine import FakeFaceEngine
from tests.support.painter import photo_of

FREE = {"CreateUser", "DeleteFaces", "ListFaces"}


class Rekognition:
    """Our wire API, which reads the tests' bucket as Amazon's does, and a count of what it was asked."""

    def __init__(self, opened: ExitStack, folder: Path) -> None:
        self.s3, self.catalog = opened.enter_context(local.storage())
        engine = FakeFaceEngine()
        gallery = Gallery(folder, engine.model_version)
        opened.callback(gallery.close)
        options = WireSettings(sigv4=SigV4.ACCEPT_ANY)
        served = local.served(create_app(engine, gallery, settings=options, read_object=self._read))
        self.client = boto3.client("rekognition", endpoint_url=opened.enter_context(served), **local.CREDENTIALS)
        self.client.create_collection(CollectionId=COLLECTION)
        self.calls: Counter[str] = Counter()
        self.images: list[str] = []
        self.client.meta.events.register("provide-client-params.rekognition", self._note)
        self.client.meta.events.register("after-call.rekognition", self._count)

    def app(self, seconds_left: float = 3600.0, **policy: Any) -> FaceApp:
        recognizer = self.recognizer(seconds_left, policy.get("user_vectors", True))
        return FaceApp(self.s3, recognizer, self.catalog, Policy(**policy))

    def recognizer(self, seconds_left: float = 3600.0, user_vectors: bool = True) -> RekognitionRecognizer:
        mark = installation_mark(local.BUCKET)
        return RekognitionRecognizer(
            self.client,
            COLLECTION,
            mark,
            bucket=local.BUCKET,
            user_vectors=user_vectors,
            seconds_left=lambda: seconds_left,
        )

    def billed(self) -> int:
        """How many billed calls there were since the last question."""
        billed = sum(number for name, number in self.calls.items() if name not in FREE)
        self.calls.clear()
        return billed

    def _count(self, http_response: Any, model: Any, **_: Any) -> None:
        self.calls[model.name] += http_response.status_code == HTTPStatus.OK

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        self.images += list(params.get("Image", ()))

    def _read(self, bucket: str, key: str, version: str | None) -> bytes:
        return self.s3.get(key).body


@pytest.fixture
def rekognition(tmp_path: Path) -> Iterator[Rekognition]:
    with ExitStack() as opened:
        yield Rekognition(opened, tmp_path)


FRUGAL = {"user_vectors": False, "enrollment_checks": False}


@pytest.mark.parametrize(
    ("policy", "enroll", "alone", "group"),
    [
        pytest.param({}, 3, 2, 2 * 3, id="thorough"),
        pytest.param(FRUGAL, 1, 2, 1 + 3, id="frugal"),
        pytest.param(FRUGAL | {"max_faces": 1}, 1, 1, 1, id="frugal, the largest face only"),
        pytest.param({"max_faces": 2}, 3, 2, 2 * 2, id="two faces at most"),
    ],
)
def test_a_photo_takes_no_more_calls_than_the_table_says(
    rekognition: Rekognition, policy: dict[str, Any], enroll: int, alone: int, group: int
) -> None:
    app = rekognition.app(**policy)
    enrolled = [app.enroll(photo_of(name), name) for name in ("Ada", "Grace", "Edith")]
    assert [upload.status for upload in enrolled] == [UploadStatus.INDEXED] * 3
    assert rekognition.billed() == 3 * enroll
    assert _names(app.recognize(photo_of("Ada", photo=1))) == ["Ada"]
    assert rekognition.billed() == alone
    together = app.recognize(photo_of("Ada", "Grace", "Edith"))
    assert rekognition.billed() == group
    assert len(together.faces) == policy.get("max_faces", 3)
    assert set(_names(together)) <= {"Ada", "Grace", "Edith"}
    assert None not in _names(together)


def test_the_faces_beyond_the_limit_are_counted_and_the_count_is_stored(rekognition: Rekognition) -> None:
    app = rekognition.app(max_faces=1)
    app.enroll(photo_of("Ada"), "Ada")
    recognition = app.recognize(photo_of("Ada", "Grace", "Edith"))
    assert (len(recognition.faces), recognition.faces_left_out) == (1, 2)
    assert app.recognition(recognition.recognition_id).faces_left_out == 2


def test_no_call_begins_that_might_end_too_late(rekognition: Rekognition) -> None:
    rekognition.app().enroll(photo_of("Ada"), "Ada")
    rekognition.billed()
    hurried = rekognition.app(seconds_left=clients.SECONDS_PER_CALL)
    with pytest.raises(Overloaded, match="too slowly"):
        hurried.recognize(photo_of("Ada", photo=1))
    assert rekognition.billed() == 1


def test_a_group_is_left_off_in_time(rekognition: Rekognition) -> None:
    left = iter([3600.0, 3600.0, 3600.0])  # for the largest face, and both searches of one other
    recognizer = RekognitionRecognizer(
        rekognition.client, COLLECTION, "mark", seconds_left=lambda: next(left, clients.SECONDS_PER_CALL)
    )
    found = recognizer.search(photo_of("Ada", "Grace", "Edith"), 80, 5)
    assert len(found.probes) + found.left_out == 3
    assert found.left_out >= 1


def test_rekognition_reads_a_photo_of_the_bucket_itself(rekognition: Rekognition) -> None:
    app = rekognition.app()
    upload = app.enroll(photo_of("Ada"), "Ada")
    assert app.recognize_stored(upload.image_path).faces[0].user_id == "Ada"
    assert rekognition.images == ["S3Object"] * 3


def test_a_stored_photo_of_one_face_is_never_downloaded(rekognition: Rekognition) -> None:
    path = rekognition.app().enroll(photo_of("Ada"), "Ada").image_path

    def read() -> bytes:
        raise AssertionError("downloaded")

    (probe,) = rekognition.recognizer().search(StoredPhoto(path, read), 80, 5).probes
    assert probe.face_hits


@pytest.mark.parametrize(("name", "kind"), [("a.webp", "WEBP"), ("a.jpg", "WEBP"), ("a.png", "BMP")])
def test_what_rekognition_cannot_read_is_converted(rekognition: Rekognition, name: str, kind: str) -> None:
    path = f"uploaded/Ada/{name}"
    rekognition.s3.put(path, _as(kind, photo_of("Ada")), "image/jpeg", {})
    app = rekognition.app()
    assert app.index_upload(path).status is UploadStatus.INDEXED
    assert _names(app.recognize_stored(path)) == ["Ada"]


def test_a_photo_that_is_too_small_or_gone_is_named_as_such(rekognition: Rekognition) -> None:
    rekognition.s3.put("uploaded/Ada/small.jpg", _as("JPEG", photo_of("Ada"), 60), "image/jpeg", {})
    app = rekognition.app()
    (reason,) = app.index_upload("uploaded/Ada/small.jpg").reasons
    assert reason.code == ImageTooSmall.code
    with pytest.raises(ImageTooSmall):
        app.recognize_stored("uploaded/Ada/small.jpg")
    with pytest.raises(ImageNotFound):
        app.recognize_stored("uploaded/Ada/never.jpg")


def test_only_amazons_own_service_reads_the_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert clients.reads_buckets(clients.rekognition())
    monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", "https://mien.example.org")
    assert not clients.reads_buckets(clients.rekognition())


def _names(recognition: Recognition) -> Sequence[str | None]:
    return [face.user_id for face in recognition.faces]


def _as(kind: str, photo: bytes, side: int | None = None) -> bytes:
    image = Image.open(io.BytesIO(photo))
    if side is not None:
        image = image.resize((side, side))
    written = io.BytesIO()
    image.save(written, kind)
    return written.getvalue()
