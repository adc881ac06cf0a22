"""How many passes the faces of a photo get, and at which scale."""

from __future__ import annotations

import numpy as np
import pytest

from mien.engine.detect import RawDetections
from mien.engine.halvings import LARGEST_FACE
from mien.engine.refine import (
    FEW_UNCERTAIN,
    MANY_SCALES,
    MAX_UNCERTAIN,
    MIN_UNCERTAIN,
    TWO_SCALES,
    _FaceCrops,
    faces_to_refine,
    take_long,
)


def faces(count: int, score: float, side: float) -> RawDetections:
    boxes = np.tile(np.array([0, 0, side, side], np.float32), (count, 1))
    return RawDetections(boxes, np.zeros((count, 5, 2), np.float32), np.full(count, score, np.float32))


@pytest.mark.parametrize(
    ("score", "side", "scales"), [(0.7, 100, MANY_SCALES), (0.7, 50, TWO_SCALES), (0.95, 100, TWO_SCALES)]
)
def test_an_uncertain_face_that_is_large_enough_gets_many_passes(score, side, scales):
    (face,) = faces_to_refine(np.zeros((8, 8, 3), np.uint8), faces(1, score, side), 0.0)
    assert face.scales is scales


@pytest.mark.parametrize(
    ("decoding_seconds", "most"), [(0.1, MAX_UNCERTAIN), (0.6, 5), (1.2, MIN_UNCERTAIN), (9.0, MIN_UNCERTAIN)]
)
def test_a_crowd_of_uncertain_faces_gets_less_work_the_longer_its_photo_takes_to_decode(decoding_seconds, most):
    found = faces_to_refine(np.zeros((8, 8, 3), np.uint8), faces(60, 0.7, 200), decoding_seconds)
    assert [face.scales is MANY_SCALES for face in found] == [True] * most + [False] * (60 - most)


@pytest.mark.parametrize(("side", "halvings"), [(LARGEST_FACE, 0), (LARGEST_FACE + 1, 1), (2900, 2)])
def test_a_photo_is_halved_for_large_faces_so_that_no_pass_takes_many_pixels(side, halvings):
    pixels = np.zeros((1001, 3000, 3), np.uint8)
    found = faces(2, 0.7, side)
    found.points[:] = 400
    first, second = faces_to_refine(pixels, found, 0.0)
    assert first.pixels is second.pixels
    assert (first.pixels is pixels) == (not halvings)
    assert first.pixels.shape[1] == 3000 // 2**halvings
    assert first.box.tolist() == [0, 0, side / 2**halvings, side / 2**halvings]
    assert set(first.points.flat) == {400 / 2**halvings}


def test_a_face_that_is_larger_than_a_photo_can_be_halved_is_looked_at_all_the_same():
    (face,) = faces_to_refine(np.zeros((3, 900, 3), np.uint8), faces(1, 0.7, 1e6), 0.0)
    assert min(face.pixels.shape) > 0
    assert face.box[2] / 1e6 == face.pixels.shape[1] / 900


def test_more_than_a_few_uncertain_faces_take_long_and_any_number_of_certain_ones_does_not():
    pixels = np.zeros((8, 8, 3), np.uint8)
    assert not take_long(faces_to_refine(pixels, faces(FEW_UNCERTAIN, 0.7, 100), 0.0))
    assert take_long(faces_to_refine(pixels, faces(FEW_UNCERTAIN + 1, 0.7, 100), 0.0))
    assert not take_long(faces_to_refine(pixels, faces(30, 0.95, 100), 0.0))


def test_crops_and_their_mirror_images_are_the_same_pixels():
    pixels = np.random.default_rng(1).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    crops = _FaceCrops(np.array([[60, 60, 200, 180], [10, 20, 100, 90]], np.float32), MANY_SCALES)
    canvases = list(crops.draw([pixels, pixels[::-1]]))
    assert len(canvases) == 2 * len(MANY_SCALES.sizes) * 2
    for plain, mirrored in zip(canvases[::2], canvases[1::2], strict=True):
        assert np.array_equal(plain, mirrored[:, ::-1])
    assert not np.array_equal(canvases[0], canvases[len(canvases) // 2])
