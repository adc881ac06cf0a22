"""How many passes the faces of a photo get."""

from __future__ import annotations

import numpy as np
import pytest

from mien.engine.detect import RawDetections
from mien.engine.refine import MANY_SCALES, MAX_UNCERTAIN, TWO_SCALES, faces_to_refine


def faces(count: int, score: float, side: float) -> RawDetections:
    boxes = np.tile(np.array([0, 0, side, side], np.float32), (count, 1))
    return RawDetections(boxes, np.zeros((count, 5, 2), np.float32), np.full(count, score, np.float32))


@pytest.mark.parametrize(
    ("score", "side", "scales"), [(0.7, 100, MANY_SCALES), (0.7, 50, TWO_SCALES), (0.95, 100, TWO_SCALES)]
)
def test_an_uncertain_face_that_is_large_enough_gets_many_passes(score, side, scales):
    (face,) = faces_to_refine(np.zeros((8, 8, 3), np.uint8), faces(1, score, side))
    assert face.scales is scales


def test_a_crowd_of_uncertain_faces_gets_no_more_work_than_some_of_them():
    found = faces_to_refine(np.zeros((8, 8, 3), np.uint8), faces(100, 0.7, 200))
    assert [face.scales is MANY_SCALES for face in found] == [True] * MAX_UNCERTAIN + [False] * (100 - MAX_UNCERTAIN)
