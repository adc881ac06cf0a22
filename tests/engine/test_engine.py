from __future__ import annotations

import locale
import re
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.domain.errors import EmptyImage, ImageError, UnsupportedImage
from mien.engine import Face, FaceEngine, context, model_factory
from mien.engine.engine import turned_back

GROUPS = ["000_5", "002_A", "004_A", "005_A", "006_A", "007_B", "008_B", "009_C", "010_2", "011_3"]
GROUPS += ["012_4", "013_4", "014_5", "015_6", "016_8", "017_0"]


def noses(photos: Path, name: str) -> list[tuple[int, int]]:
    readme = (photos / "README.md").read_text("utf-8")
    found = re.search(name + r"((?: \(\d+,\d+\))+)", readme)
    return [(int(x), int(y)) for x, y in re.findall(r"\((\d+),(\d+)\)", found[1])] if found else []


def portrait(lfw_dev: Path, index: int = 0) -> Image.Image:
    return Image.open(sorted(lfw_dev.glob("*/*.jpg"))[index])


def png(image: Image.Image) -> bytes:
    stream = BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def likeness(left: Face, right: Face) -> float:
    return float(left.embedding @ right.embedding)


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


def test_read_many_takes_photos_as_they_are_needed(encode, scene):
    taken = []
    photos = (taken.append(number) or encode(scene, "PNG") for number in range(1000))
    next(FaceEngine(threads=2).read_many(photos))
    assert len(taken) < 100


def test_an_unwritable_cache_is_done_without(monkeypatch, tmp_path, encode, scene):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(context, "user_cache_path", lambda _: tmp_path / "file")
    assert FaceEngine(threads=1).read(encode(scene, "PNG")) == []


@pytest.mark.photos
@pytest.mark.parametrize("name", GROUPS)
def test_every_nose_lies_in_a_box(engine, photos, name):
    content = (photos / "groups" / f"{name}.jpg").read_bytes()
    width, height = Image.open(BytesIO(content)).size
    boxes = [face.box for face in engine.detect(content)]
    for x, y in noses(photos, name):
        assert any(b.left <= x / width <= b.left + b.width and b.top <= y / height <= b.top + b.height for b in boxes)
    assert len(boxes) <= len(noses(photos, name)) + (name == "006_A"), "a doll looks over the fence on 006_A"


@pytest.mark.photos
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_orientation_does_not_change_the_answer(engine, photos, orientation):
    upright = engine.read((photos / "exif/photo.1.jpg").read_bytes())
    tagged = engine.read((photos / f"exif/photo.{orientation}.embedded.jpg").read_bytes())
    assert len(upright) == len(tagged) == 2
    for left, right in zip(upright, tagged, strict=True):
        assert likeness(left, right) >= 0.99
        assert (left.box.left, left.box.top) == pytest.approx((right.box.left, right.box.top), abs=0.01)


@pytest.mark.photos
@pytest.mark.parametrize("form", ["bmp", "gif", "ico", "png", "tiff", "webp"])
def test_every_format_gives_the_same_face(engine, photos, form):
    jpeg, other = (engine.read((photos / f"bad/einstein.{end}").read_bytes()) for end in ("jpeg", form))
    assert len(jpeg) == len(other) == 1
    assert likeness(jpeg[0], other[0]) > 0.9


@pytest.mark.photos
def test_a_jpeg_cut_at_every_tenth_is_refused(engine, photos):
    content = (photos / "groups/007_B.jpg").read_bytes()
    for tenth in range(10):
        with pytest.raises(ImageError):
            engine.read(content[: len(content) * tenth // 10])


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_points_on_a_turned_photo_come_back(degrees):
    photo = np.zeros((40, 70), np.uint8)
    photo[12, 55] = 1
    turned = np.rot90(photo, -degrees // 90)
    y, x = (np.argwhere(turned)[0] + 0.5) / turned.shape
    assert turned_back(np.array([x, y]), degrees) == pytest.approx([55.5 / 70, 12.5 / 40])


@pytest.mark.photos
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_photo_that_lies_on_its_side_is_turned(engine, lfw_dev, degrees):
    upright = portrait(lfw_dev)
    [face] = engine.read(png(upright))[:1]
    [turned] = engine.read(png(upright.rotate(degrees, expand=True)))[:1]
    assert turned.turned == degrees
    assert likeness(face, turned) > 0.98
    x, y = face.landmarks.nose.x, face.landmarks.nose.y
    expected = {90: (y, 1 - x), 180: (1 - x, 1 - y), 270: (1 - y, x)}[degrees]  # rotate() turns anticlockwise
    assert (turned.landmarks.nose.x, turned.landmarks.nose.y) == pytest.approx(expected, abs=0.02)


@pytest.mark.photos
def test_a_hundred_faces_are_a_hundred_faces(engine, lfw_dev):
    sheet, number = Image.new("RGB", (1400, 1400)), 0
    faces = [portrait(lfw_dev, index).crop((55, 55, 195, 195)) for index in range(100)]
    for number, face in enumerate(faces):
        sheet.paste(face, (number % 10 * 140, number // 10 * 140))
    assert len(engine.detect(png(sheet))) == 100


@pytest.mark.photos
def test_models_compiled_by_many_threads_leave_the_locale_alone(lfw_dev):
    before = locale.setlocale(locale.LC_ALL)
    list(FaceEngine(threads=2).read_many([path.read_bytes() for path in sorted(lfw_dev.glob("*/*.jpg"))[:32]]))
    assert locale.setlocale(locale.LC_ALL) == before


@pytest.mark.photos
def test_many_threads_get_the_answers_of_one(engine, lfw_dev):
    contents = [path.read_bytes() for path in sorted(lfw_dev.glob("*/*.jpg"))[:24]]
    alone = [engine.read(content) for content in contents]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(engine.read, contents))
    for left, right in zip(alone, together, strict=True):
        assert [likeness(a, b) for a, b in zip(left, right, strict=True)] == pytest.approx([1] * len(left), abs=1e-3)


@pytest.mark.photos
def test_faces_come_the_largest_first_with_unit_embeddings(engine, photos):
    faces = engine.read((photos / "groups/016_8.jpg").read_bytes())
    assert [f.box.area for f in faces] == sorted((f.box.area for f in faces), reverse=True)
    for face in faces:
        assert face.embedding.dtype == np.float32
        assert face.embedding.shape == (128,)
        assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-5)


@pytest.mark.photos
def test_the_largest_face_alone_is_the_first_of_all(engine, photos):
    content = (photos / "groups/016_8.jpg").read_bytes()
    [largest], everybody = engine.read(content, most=1), engine.read(content)
    assert largest.box == everybody[0].box
    assert likeness(largest, everybody[0]) > 0.999


@pytest.mark.photos
def test_photos_read_together_get_the_answers_of_photos_read_alone(engine, photos, lfw_dev):
    paths = [*sorted(lfw_dev.glob("*/*.jpg"))[:20], *sorted((photos / "groups").glob("*.jpg"))[:6]]
    contents = [path.read_bytes() for path in paths]
    for together, content in zip(engine.read_many(contents), contents, strict=True):
        alone = engine.read(content)
        assert [face.box.left for face in together] == pytest.approx([face.box.left for face in alone], abs=1e-3)
        assert all(likeness(*pair) > 0.999 for pair in zip(together, alone, strict=True))


@pytest.mark.photos
def test_one_person_is_more_alike_than_two(engine, photos):
    one, same, other = (engine.read((photos / f"groups/{n}.jpg").read_bytes())[0] for n in ("007_B", "008_B", "009_C"))
    assert likeness(one, same) > 0.5 > likeness(one, other)


@pytest.mark.photos
def test_machines_that_compute_in_bytes_and_in_floating_point_understand_each_other(monkeypatch, engine, lfw_dev):
    if not model_factory.suits_processor():
        pytest.skip("this processor computes in floating point")
    monkeypatch.setattr(model_factory, "suits_processor", lambda: False)
    other = FaceEngine()
    pairs = [
        [some.read(path.read_bytes(), most=1)[0] for some in (engine, other)]
        for path in sorted(lfw_dev.glob("*/*.jpg"))[:24]
    ]
    alike = [likeness(*pair) for pair in pairs]
    assert 0.97 < min(alike) < max(alike) < 0.99999
    assert np.mean(alike) > 0.99


@pytest.mark.photos
def test_mirrored_embeddings_stay_near_the_plain_ones(engine, lfw_dev):
    content = png(portrait(lfw_dev))
    [plain], [mirrored] = engine.read(content)[:1], FaceEngine(mirrored=True).read(content)[:1]
    assert 0.8 < likeness(plain, mirrored) < 0.9999
