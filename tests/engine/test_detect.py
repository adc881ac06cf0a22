from __future__ import annotations

import numpy as np
import pytest

from mien.engine.detect import STRIDES, Candidates, distinct, join, read_heads


def candidates(*rows: tuple[float, float, float, float, float]) -> Candidates:
    values = np.array(rows, np.float32)
    return Candidates(values[:, :4], np.zeros((len(rows), 5, 2), np.float32), values[:, 4])


def test_of_overlapping_boxes_the_surest_stays():
    found = distinct(candidates((0, 0, 10, 10, 0.8), (1, 1, 10, 10, 0.9), (40, 0, 10, 10, 0.7)))
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])


def test_neighbours_that_barely_touch_both_stay():
    assert len(distinct(candidates((0, 0, 10, 10, 0.8), (8, 0, 10, 10, 0.9)))) == 2


def test_nothing_stays_nothing():
    nothing = candidates((0, 0, 1, 1, 0.5))[np.array([], np.intp)]
    assert len(distinct(join([nothing, nothing]))) == 0


def outputs_with_one_face(count: int, image: int, row: int, column: int, stride: int, side: int) -> list[np.ndarray]:
    cells = [count * (side // step) ** 2 for step in STRIDES]
    heads = [[np.zeros((1, n, width), np.float32) for n in cells] for width in (1, 1, 4, 10)]
    level, at = STRIDES.index(stride), image * (side // stride) ** 2 + row * (side // stride) + column
    heads[0][level][0, at] = heads[1][level][0, at] = 0.9
    heads[2][level][0, at] = [0.5, 0.5, np.log(2), np.log(3)]
    heads[3][level][0, at] = 0.25
    return [output for head in heads for output in head]


@pytest.mark.parametrize("stride", STRIDES)
def test_each_head_places_its_faces(stride):
    found = read_heads(outputs_with_one_face(2, 1, 1, 0, stride, 64), (2, 64, 64), 0.5)
    assert [len(image) for image in found] == [0, 1]
    np.testing.assert_allclose(found[1].boxes[0] / stride, [-0.5, 0, 2, 3], atol=1e-5)
    np.testing.assert_allclose(found[1].points[0] / stride, [[0.25, 1.25]] * 5, atol=1e-5)
    assert found[1].scores[0] == pytest.approx(0.9)
