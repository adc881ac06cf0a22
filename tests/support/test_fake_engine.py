"""The fake engine recognises painted people as the real one recognises people."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from mien.config import open_engine
from mien.domain.errors import DamagedImage, EmptyImage, ImageError, ImageTooLarge, ImageTooSmall, UnsupportedImage
from mien.domain.faces import Detection, QualityFilter, Reason
from mien.engine import Face, Limits, quality
from mien.gallery.scoring import similarity
from mien.settings import Settings
from tests.support.fake_engine import FakeFaceEngine, use_fake_engine
from tests.support.markers import CAST, PEOPLE
from tests.support.painter import (
    Portrait,
    encoded,
    encoded_with_orientation,
    landscape,
    paint,
    photo_of,
    photos_of,
    side_by_side,
)


@pytest.fixture(scope="module")
def engine() -> FakeFaceEngine:
    return FakeFaceEngine()


def face_of(engine: FakeFaceEngine, image: bytes) -> Face:
    (face,) = engine.read(image)
    return face


def cosine(one: Face, other: Face) -> float:
    return float(one.embedding @ other.embedding)


@pytest.mark.parametrize("person", range(0, PEOPLE, 7))
def test_photos_of_one_person_are_alike_but_not_the_same(engine: FakeFaceEngine, person: int) -> None:
    faces = [face_of(engine, image) for image in photos_of(person, 10)]
    assert all(0.6 < cosine(*pair) < 0.85 for pair in combinations(faces, 2))


def test_strangers_are_unlike(engine: FakeFaceEngine) -> None:
    faces = [face_of(engine, photo_of(person)) for person in range(0, 90, 3)]
    assert max(similarity(cosine(*pair)) for pair in combinations(faces, 2)) < 80


def test_a_look_alike_is_beyond_the_threshold_of_the_other(engine: FakeFaceEngine) -> None:
    likeness = similarity(cosine(face_of(engine, photo_of("Obama")), face_of(engine, photo_of(98))))
    assert (
        99
        < likeness
        < similarity(cosine(face_of(engine, photo_of("Obama")), face_of(engine, photo_of("Obama", photo=1))))
    )


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_the_format_changes_next_to_nothing(engine: FakeFaceEngine, form: str) -> None:
    picture = paint("Ada")
    assert 0.99 < cosine(face_of(engine, encoded(picture, "PNG")), face_of(engine, encoded(picture, form))) <= 1.00001


@pytest.mark.parametrize("degrees", [0, 10, 90, 180, 270])
def test_a_turned_photo_shows_the_same_person(engine: FakeFaceEngine, degrees: int) -> None:
    turned = face_of(engine, encoded(paint("Ada").rotate(degrees, expand=True)))
    assert cosine(turned, face_of(engine, photo_of("Ada"))) > 0.99
    assert (turned.pose.roll + degrees + 180) % 360 == pytest.approx(180, abs=2)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_orientation_is_obeyed(engine: FakeFaceEngine, orientation: int) -> None:
    tagged = face_of(engine, encoded_with_orientation(paint("Ada"), orientation))
    assert tagged.box.left == pytest.approx(face_of(engine, photo_of("Ada")).box.left, abs=0.02)
    assert tagged.pose.roll == pytest.approx(0, abs=1)


def test_faces_come_the_largest_first_where_they_were_painted(engine: FakeFaceEngine) -> None:
    small, large = Portrait("Ada", side=96), Portrait("Grace", side=192)
    first, second = engine.read(encoded(paint(small, large, size=(800, 400))))
    assert (first.box.left, first.box.top) == pytest.approx((504 / 800, 104 / 400), abs=0.01)
    assert (first.box.width, first.box.height) == pytest.approx((192 / 800, 192 / 400), abs=0.01)
    assert second.box.area < first.box.area
    assert 504 / 800 < first.landmarks.left_eye.x < first.landmarks.right_eye.x < 696 / 800
    assert first.landmarks.left_eye.y < first.landmarks.nose.y < first.landmarks.mouth_left.y
    assert cosine(first, face_of(engine, photo_of("Grace"))) > 0.99
    assert engine.read(encoded(paint(small, large)), 1)[0].box.area > 0


@pytest.mark.parametrize(
    ("portrait", "reason"),
    [
        (Portrait("Ada", side=16), Reason.SMALL_BOUNDING_BOX),
        (Portrait("Ada", dark=True), Reason.LOW_BRIGHTNESS),
        (Portrait("Ada", blurred=True), Reason.LOW_SHARPNESS),
        (Portrait("Ada", doubtful=True), Reason.LOW_CONFIDENCE),
        (Portrait("Ada", side=192, narrow=0.2), Reason.EXTREME_POSE),
    ],
)
def test_each_flaw_has_its_reason_and_a_good_face_none(
    engine: FakeFaceEngine, portrait: Portrait, reason: Reason
) -> None:
    assert quality.rejection_reasons(face_of(engine, photo_of(portrait)), QualityFilter.AUTO) == (reason,)
    assert quality.rejection_reasons(face_of(engine, photo_of("Ada")), QualityFilter.HIGH) == ()


def test_embeddings_are_unit_vectors_of_float32(engine: FakeFaceEngine) -> None:
    for name in CAST:
        vector = face_of(engine, photo_of(name)).embedding
        assert (vector.shape, vector.dtype) == ((128,), np.float32)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_detect_finds_what_read_describes(engine: FakeFaceEngine) -> None:
    image = photo_of("Ada", "Grace")
    detections, faces = engine.detect(image), engine.read(image)
    assert [type(detection) for detection in detections] == [Detection, Detection]
    assert [detection.box for detection in detections] == [face.box for face in faces]


def test_a_hundred_faces_in_one_photo_are_a_hundred(engine: FakeFaceEngine) -> None:
    sheet = Image.new("RGB", (1400, 1400))
    for number in range(100):
        sheet.paste(paint(Portrait(number, side=80), size=(140, 140)), (number % 10 * 140, number // 10 * 140))
    assert len(engine.read(encoded(sheet))) == 100


def test_photos_pasted_together_show_everybody(engine: FakeFaceEngine) -> None:
    assert len(engine.read(side_by_side(photo_of("Ada"), photo_of("Grace"), photo_of("Edith")))) == 3


def test_a_landscape_shows_nobody(engine: FakeFaceEngine) -> None:
    assert engine.read(encoded(landscape(320, 240))) == engine.read(photo_of()) == []


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (b"", EmptyImage),
        (b"a letter", UnsupportedImage),
        (photo_of("Ada")[:-2000], DamagedImage),
        (encoded(landscape(1000, 1001), "PNG"), ImageTooLarge),
        (encoded(landscape(15, 200)), ImageTooSmall),
    ],
)
def test_unusable_photos_are_refused_as_the_real_engine_does(image: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        FakeFaceEngine(limits=Limits(max_pixels=1_000_000)).read(image)


def test_many_photos_are_answered_in_order_with_errors_in_their_place(engine: FakeFaceEngine) -> None:
    answers = list(engine.read_many([photo_of("Ada"), b"", photo_of(), photo_of("Ada", "Grace")]))
    assert [type(answer) if isinstance(answer, ImageError) else len(answer) for answer in answers] == [
        1,
        EmptyImage,
        0,
        2,
    ]


def test_the_application_opens_the_fake_engine_once_it_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_engine(monkeypatch)
    engine = open_engine(Settings(mirrored=True))
    assert isinstance(engine, FakeFaceEngine)
    assert engine.model_version == "painted-1-mirrored"
