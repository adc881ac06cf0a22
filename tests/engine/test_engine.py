from __future__ import annotations

import locale
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from io import BytesIO
from itertools import combinations, cycle, product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from mien.domain.errors import EmptyImage, ImageError, UnsupportedImage
from mien.engine import Face, FaceEngine
from mien.engine import engine as engine_module
from mien.engine.admission import Admission
from mien.engine.align import unrotate_points
from mien.engine.halvings import LARGEST_FACE
from mien.engine.networks import sface, yunet
from mien.engine.refine import MANY_SCALES, refine
from mien.kernels import file_cache
from mien.kernels.instruction_sets import available
from tests.hostile.bombs import jpeg_huge_face
from tests.support.forks import holds_in_child
from tests.support.painter import encoded, encoded_with_orientation, side_by_side
from tests.support.real_photos import NOSES, RealPhotos


def likeness(left: Face, right: Face) -> float:
    return float(left.embedding @ right.embedding)


def small(photo: Path, height: int = 400) -> Image.Image:
    with Image.open(photo) as picture:
        return picture.convert("RGB").resize((picture.width * height // picture.height, height))


@pytest.fixture(scope="module")
def variants(real_photos: RealPhotos) -> list[bytes]:
    """Each photo as it is but smaller, mirrored, darker, and without its upper edge."""
    edits = (
        lambda picture: picture,
        ImageOps.mirror,
        lambda picture: picture.point(lambda value: value * 0.6),
        lambda picture: picture.crop((0, 10, picture.width, picture.height)),
    )
    return [encoded(edit(small(photo))) for photo in real_photos for edit in edits]


@pytest.fixture(scope="module")
def three_people(real_photos: RealPhotos) -> bytes:
    """Obama, the largest, Biden and Hopper side by side."""
    parts = (small(real_photos.obama[0], 800), small(real_photos.biden, 1000), small(real_photos.hopper, 320))
    return side_by_side(*map(encoded, parts))


def test_a_photo_without_a_face_gives_none(engine, encode, scene):
    assert engine.read(encode(scene, "PNG")) == []
    assert engine.detect(encode(scene, "JPEG")) == []


def test_the_model_version_names_the_weights(engine):
    assert re.fullmatch(r"sface-\d+-[0-9a-f]{12}", engine.model_version)
    assert FaceEngine(mirrored=True).model_version == f"{engine.model_version}-mirrored"


def test_what_is_no_photo_is_refused(engine):
    with pytest.raises(UnsupportedImage):
        engine.read(b"a letter")


def test_read_many_answers_in_order_and_puts_errors_in_their_place(engine, encode, scene):
    photo = encode(scene, "PNG")
    answers = list(engine.read_many([photo, b"", photo, b"a letter"]))
    assert [type(answer) for answer in answers] == [list, EmptyImage, list, UnsupportedImage]


def test_portraits_of_many_photos_are_those_of_each(engine, real_photos):
    photos = [real_photos.hopper.read_bytes(), real_photos.biden.read_bytes(), b"a letter"]
    *cut, error = engine.portraits_many(photos)
    assert isinstance(error, UnsupportedImage)
    for portraits, photo in zip(cut, photos, strict=False):
        alone = engine.portraits(photo)
        assert [(each.image, each.box) for each in portraits] == [(each.image, each.box) for each in alone]
        assert all(
            (one.face.embedding == other.face.embedding).all() for one, other in zip(portraits, alone, strict=True)
        )


def test_read_many_takes_photos_as_they_are_needed(encode, scene):
    taken = []
    photos = (taken.append(number) or encode(scene, "PNG") for number in range(1000))
    next(FaceEngine(threads=2).read_many(photos))
    assert len(taken) < 100


def test_an_unwritable_cache_is_done_without(monkeypatch, tmp_path, encode, scene):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(file_cache, "user_cache_path", lambda _: tmp_path / "file")
    assert FaceEngine(threads=1).read(encode(scene, "PNG")) == []


def test_a_forked_child_needs_no_thread_or_lock_that_its_parent_has(three_people):
    engine = FaceEngine(threads=2)
    engine.read(three_people)  # whose faces are embedded by several threads
    with engine._context.track_call(), engine._embedder._preparing, engine._detector._lock:
        assert holds_in_child(lambda: engine._context.is_idle() and len(engine.read(three_people)) == 3)


@pytest.mark.parametrize("name", NOSES)
def test_every_nose_lies_in_the_only_box(engine, real_photos, name):
    content = next(photo for photo in real_photos if photo.name == name).read_bytes()
    width, height = Image.open(BytesIO(content)).size
    (face,) = engine.detect(content)
    x, y = NOSES[name][0] / width, NOSES[name][1] / height
    assert face.box.left <= x <= face.box.left + face.box.width
    assert face.box.top <= y <= face.box.top + face.box.height
    assert (face.landmarks.nose.x, face.landmarks.nose.y) == pytest.approx((x, y), abs=0.02)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_orientation_does_not_change_the_answer(engine, three_people, orientation):
    upright = engine.read(three_people)
    tagged = engine.read(encoded_with_orientation(Image.open(BytesIO(three_people)), orientation))
    assert len(upright) == len(tagged) == 3
    for left, right in zip(upright, tagged, strict=True):
        assert likeness(left, right) >= 0.98
        assert (left.box.left, left.box.top) == pytest.approx((right.box.left, right.box.top), abs=0.01)


@pytest.mark.parametrize("form", ["BMP", "GIF", "PNG", "TIFF", "WEBP"])
def test_every_format_gives_the_same_face(engine, hopper, form):
    portrait = small(hopper, 256)
    (jpeg,), (other,) = engine.read(encoded(portrait)), engine.read(encoded(portrait, form))
    assert likeness(jpeg, other) > 0.9


@pytest.mark.parametrize("tenths", range(8))
def test_a_jpeg_that_lacks_much_of_its_picture_is_refused(engine, hopper, tenths):
    content = hopper.read_bytes()
    with pytest.raises(ImageError):
        engine.read(content[: len(content) * tenths // 10])


def test_a_jpeg_that_lacks_little_of_its_picture_is_read(engine, hopper):
    content = hopper.read_bytes()
    assert len(engine.read(content[: len(content) * 9 // 10])) == 1


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_points_on_a_turned_photo_come_back(degrees):
    photo = np.zeros((40, 70), np.uint8)
    photo[12, 55] = 1
    turned = np.rot90(photo, -degrees // 90)
    y, x = (np.argwhere(turned)[0] + 0.5) / turned.shape
    assert unrotate_points(np.array([x, y]), degrees) == pytest.approx([55.5 / 70, 12.5 / 40])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_photo_that_lies_on_its_side_is_turned(engine, hopper, degrees):
    upright = small(hopper)
    (face,) = engine.read(encoded(upright, "PNG"))
    (turned,) = engine.read(encoded(upright.rotate(degrees, expand=True), "PNG"))
    assert turned.rotation == degrees
    assert likeness(face, turned) > 0.98
    x, y = face.landmarks.nose.x, face.landmarks.nose.y
    expected = {90: (y, 1 - x), 180: (1 - x, 1 - y), 270: (1 - y, x)}[degrees]  # rotate() turns anticlockwise
    assert (turned.landmarks.nose.x, turned.landmarks.nose.y) == pytest.approx(expected, abs=0.02)


def test_a_huge_face_of_which_the_detector_is_uncertain_is_found_where_it_is_on_few_pixels(engine, monkeypatch):
    seen = []
    monkeypatch.setattr(engine_module, "refine", lambda *args: [seen.extend(args[2]), refine(*args)][1])
    huge, *small = engine.detect(jpeg_huge_face(2400, "L"))
    alike = engine.detect(jpeg_huge_face(800, "L"))[0]
    assert seen[0].scales is MANY_SCALES
    assert seen[0].pixels.shape[1] == 2400 // 4
    assert [face.pixels.shape[1] for face in seen[1:4]] == [2400] * len(small) == [2400] * 3
    assert huge.box.width * 2400 > LARGEST_FACE
    for place in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right"):
        point, other = getattr(huge.landmarks, place), getattr(alike.landmarks, place)
        assert (point.x, point.y) == pytest.approx((other.x, other.y), abs=0.005)


@pytest.mark.parametrize("is_long", [True, False])
def test_a_quick_photo_whose_faces_take_long_goes_on_as_a_large_one(engine, hopper, monkeypatch, is_long):
    counted = []
    monkeypatch.setattr(engine_module, "take_long", lambda _: is_long)
    monkeypatch.setattr(Admission, "count_as_large", lambda _: counted.append(1))
    engine.detect(hopper.read_bytes())
    assert counted == [1] * is_long


def test_a_hundred_faces_are_a_hundred_faces(engine, variants):
    sheet = Image.new("RGB", (1400, 1400))
    portraits = []
    for content in variants:
        picture = Image.open(BytesIO(content))
        box = engine.detect(content)[0].box
        x, y = (box.left + box.width / 2) * picture.width, (box.top + box.height / 2) * picture.height
        half = 0.8 * max(box.width * picture.width, box.height * picture.height)
        portraits.append(picture.crop((round(x - half), round(y - half), round(x + half), round(y + half))))
    for number, portrait in zip(range(100), cycle(portraits), strict=False):
        sheet.paste(portrait.resize((140, 140)), (number % 10 * 140, number // 10 * 140))
    assert len(engine.detect(encoded(sheet, "PNG"))) == 100


def test_faces_of_twelve_pixels_are_found_in_a_crowd(engine, hopper):
    picture, box = Image.open(hopper).convert("RGB"), engine.detect(hopper.read_bytes())[0].box
    scale = 12 / (box.height * picture.height)
    person = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BOX)
    sheet = Image.new("RGB", (400, 160), (90, 110, 90))
    for number in range(12):
        sheet.paste(person, (20 + number % 6 * 60, 20 + number // 6 * 80))
    assert len(engine.detect(encoded(sheet, "PNG"))) == 12


def test_models_compiled_by_many_threads_leave_the_locale_alone(variants):
    before = locale.setlocale(locale.LC_ALL)
    list(FaceEngine(threads=2).read_many(variants))
    assert locale.setlocale(locale.LC_ALL) == before


def test_many_threads_get_the_answers_of_one(engine, variants):
    alone = [engine.read(content) for content in variants]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(engine.read, variants))
    for left, right in zip(alone, together, strict=True):
        assert [likeness(a, b) for a, b in zip(left, right, strict=True)] == pytest.approx([1] * len(left), abs=1e-3)


def test_faces_come_the_largest_first_with_unit_embeddings(engine, three_people):
    faces = engine.read(three_people)
    assert len(faces) == 3
    assert [f.box.area for f in faces] == sorted((f.box.area for f in faces), reverse=True)
    for face in faces:
        assert face.embedding.dtype == np.float32
        assert face.embedding.shape == (128,)
        assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-5)


def test_the_largest_face_alone_is_the_first_of_all(engine, three_people):
    [largest], everybody = engine.read(three_people, max_faces=1), engine.read(three_people)
    assert largest.box == everybody[0].box
    assert likeness(largest, everybody[0]) > 0.999


def test_photos_read_together_get_the_answers_of_photos_read_alone(engine, variants, three_people):
    contents = [*variants, three_people]
    for together, content in zip(engine.read_many(contents), contents, strict=True):
        alone = engine.read(content)
        assert [face.box.left for face in together] == pytest.approx([face.box.left for face in alone], abs=1e-3)
        assert all(likeness(*pair) > 0.999 for pair in zip(together, alone, strict=True))


def test_one_person_is_more_alike_than_two(engine, real_photos):
    obama = [engine.read(photo.read_bytes())[0] for photo in real_photos.obama]
    others = [engine.read(photo.read_bytes())[0] for photo in (real_photos.biden, real_photos.hopper)]
    assert min(likeness(*pair) for pair in combinations(obama, 2)) > 0.5
    assert max(likeness(*pair) for pair in product(obama, others)) < 0.4
    assert likeness(*others) < 0.4


def test_every_processor_gives_the_same_faces_to_the_bit(monkeypatch, variants):
    found = []
    for isa in available():
        for module in (sface, yunet):
            monkeypatch.setattr(module, "current", lambda isa=isa: isa)
        faces = [face for content in variants for face in FaceEngine().read(content)]
        found.append([(asdict(replace(face, embedding=None)), face.embedding.tobytes()) for face in faces])
    assert found[0]
    assert all(faces == found[0] for faces in found)


def test_mirrored_embeddings_stay_near_the_usual_ones(engine, hopper):
    content = hopper.read_bytes()
    (usual,), (mirrored,) = engine.read(content), FaceEngine(mirrored=True).read(content)
    assert 0.8 < likeness(usual, mirrored) < 0.9999
    (for_enrolment,) = engine.read(content, mirrored=True)
    np.testing.assert_array_equal(for_enrolment.embedding, mirrored.embedding)
