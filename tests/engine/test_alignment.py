from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.engine.align import CROP_SIDE, TEMPLATE, align_face, face_size, similarity_to_template, warp


@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.05, 20),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_a_turned_scaled_shifted_face_comes_back_to_the_template(angle, scale, shift):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (TEMPLATE @ turn.T + shift).astype(np.float32)
    matrix = similarity_to_template(points)
    np.testing.assert_allclose(points @ matrix[:, :2].T + matrix[:, 2], TEMPLATE, atol=0.05)
    assert face_size(points) == pytest.approx(CROP_SIDE * scale, rel=1e-3)


def test_points_that_all_coincide_do_no_harm():
    assert np.isfinite(similarity_to_template(np.full((5, 2), 7, np.float32))).all()


@pytest.fixture
def texture() -> np.ndarray:
    noise = np.random.default_rng(3).integers(0, 255, (12, 12, 3), np.uint8)
    return cv2.resize(noise, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("scale", [1, 3, 8])
def test_the_crop_is_the_same_face_at_every_resolution(texture, scale):
    photo = cv2.resize(texture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    points = (TEMPLATE + 0.5) * scale - 0.5
    difference = np.abs(align_face(photo, points.astype(np.float32)).astype(float) - texture)[4:-4, 4:-4]
    assert difference.mean() < 2


def test_a_strong_reduction_averages_instead_of_sampling():
    fine = (np.indices((800, 800)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels = np.repeat(fine[:, :, None], 3, axis=2)
    small = warp(pixels, np.array([[0.1, 0, 0], [0, 0.1, 0]], np.float32), 80)
    assert np.abs(small[5:-5, 5:-5].astype(int) - 127).max() < 6


def test_what_lies_outside_the_photo_is_black(texture):
    assert align_face(texture, TEMPLATE + 2000).max() == 0
