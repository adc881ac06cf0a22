"""Names on photos: legible on any ground, in any size, and never one over the other."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from PIL import Image

from mien.annotate import Label, annotate, label
from mien.annotate.annotate import MIN_LONG_SIDE, TEXT_COLOUR
from mien.annotate.labels import STYLES, can_write, place_tags, shared_area
from mien.domain.faces import Box
from mien.domain.records import Candidate, RecognitionStatus, RecognizedFace

MATCHED = STYLES[RecognitionStatus.MATCHED]
CENTRE = Box(0.4, 0.3, 0.2, 0.25)


def luminance(colour: str | tuple[int, int, int]) -> float:
    """WCAG 2.2, relative luminance."""
    values = bytes.fromhex(colour[1:]) if isinstance(colour, str) else colour
    linear = [v / 255 / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    low, high = sorted((one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("style", STYLES.values())
def test_letters_stand_out_from_their_tag(style):
    assert contrast(luminance(TEXT_COLOUR), luminance(style.colour)) > 7


@pytest.mark.parametrize("ground", ["white", "black", "#808080", MATCHED.colour])
def test_a_frame_stands_out_from_any_ground(ground):
    image = annotate(Image.new("RGB", (800, 800), ground), [Label(CENTRE, "Ada", "", MATCHED)])
    edge = image.crop((300, 380, 350, 381))
    background = luminance(image.getpixel((5, 5)))
    assert max(contrast(background, luminance(edge.getpixel((x, 0)))) for x in range(50)) > 1.9


def test_verdicts_can_be_told_apart_without_colour():
    images = [
        annotate(Image.new("RGB", (800, 800), "white"), [Label(CENTRE, "Ada", "", style)]).convert("1").tobytes()
        for style in STYLES.values()
    ]
    assert len(set(images)) == len(STYLES)


@pytest.mark.parametrize("size", [(16, 16), (250, 250), (120, 900), (4000, 3000)])
def test_every_size_of_photo_is_written_on(size):
    photo = Image.new("RGB", size, "white")
    image = annotate(photo, [Label(CENTRE, "Ada Lovelace", "99", MATCHED)])
    assert max(image.size) >= MIN_LONG_SIDE
    assert photo.size == size
    assert image.getbbox() is not None
    assert len(image.getcolors(maxcolors=1 << 24)) > 2


def test_a_box_that_reaches_over_the_edge_is_drawn_inside():
    image = annotate(Image.new("RGB", (800, 800), "white"), [Label(Box(-0.2, 0.9, 0.5, 0.5), "Ada", "", MATCHED)])
    assert image.size == (800, 800)


def test_crowded_tags_do_not_cover_each_other():
    luck = random.Random(7)
    faces = [
        (x * 90.0, y * 200.0 + luck.random() * 20, x * 90.0 + 60, y * 200.0 + 80) for x in range(8) for y in (0, 1)
    ]
    tags = place_tags(faces, [(luck.randint(40, 160), 20) for _ in faces], (800, 600), 4)
    assert max(shared_area(a, b) for a, b in combinations(tags, 2)) == 0
    assert all(min(left, top) >= 0 and right <= 800 and bottom <= 600 for left, top, right, bottom in tags)


def test_a_tag_lies_at_its_own_face():
    (tag,) = place_tags([(300, 300, 400, 400)], [(80, 20)], (800, 800), 5)
    assert shared_area(tag, (290, 270, 410, 430)) > 0
    assert shared_area(tag, (300, 300, 400, 400)) == 0


@pytest.mark.parametrize("name", ["Ada", "Jürgen Ærø", "日本太郎", "\U000f8888"])
def test_a_name_is_written_or_replaced_by_a_number(name):
    image = annotate(Image.new("RGB", (800, 800), "white"), [Label(CENTRE, name, "", MATCHED)])
    number = annotate(Image.new("RGB", (800, 800), "white"), [Label(CENTRE, "face 1", "", MATCHED)])
    assert (image.tobytes() == number.tobytes()) is not can_write(name)


def test_plain_letters_need_no_installed_font():
    assert can_write("Ada Lovelace 99?")
    assert not can_write("\U000f8888")


def test_an_ambiguous_face_names_both():
    rivals = tuple(Candidate(name, 90.0, None, None) for name in ("Ada", "Grace"))
    face = RecognizedFace(CENTRE, 99.0, RecognitionStatus.AMBIGUOUS, None, 90.9, rivals)
    assert label(face) == Label(CENTRE, "Ada or Grace?", "90.9", STYLES[RecognitionStatus.AMBIGUOUS])


def test_an_unknown_face_has_no_number():
    face = RecognizedFace(CENTRE, 99.0, RecognitionStatus.UNKNOWN)
    assert label(face) == Label(CENTRE, "unknown", "", STYLES[RecognitionStatus.UNKNOWN])


def test_several_faces_are_numbered_and_one_alone_is_not():
    left, right = Label(Box(0.1, 0.3, 0.2, 0.3), "Ada", "", MATCHED), Label(Box(0.6, 0.3, 0.2, 0.3), "Ada", "", MATCHED)
    photo = Image.new("RGB", (800, 800), "white")
    both = annotate(photo, [left, right])
    numbered = annotate(photo, [Label(left.box, "1  Ada", "", MATCHED)])
    assert both.crop((0, 0, 400, 800)).tobytes() == numbered.crop((0, 0, 400, 800)).tobytes()
