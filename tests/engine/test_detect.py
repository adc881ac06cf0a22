from __future__ import annotations

import numpy as np
import pytest

from mien.engine.detect import STRIDES, Candidates, distinct, join, seen_on


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


class OneFace:
    """A network that sees one face, on one image, in one cell of one grid."""

    def __init__(self, image: int, row: int, column: int, stride: int) -> None:
        self._image, self._row, self._column, self._stride = image, row, column, stride

    def __call__(self, canvases: np.ndarray) -> np.ndarray:
        count, height, width, _ = canvases.shape
        grids = [np.zeros((count, height // stride, width // stride, 15), np.float32) for stride in STRIDES]
        cell = [0.9, 0.5, 0.5, np.log(2), np.log(3)] + 10 * [0.25]
        grids[STRIDES.index(self._stride)][self._image, self._row, self._column] = cell
        return np.concatenate([grid.reshape(count, -1, 15) for grid in grids], axis=1)


@pytest.mark.parametrize("stride", STRIDES)
def test_each_head_places_its_faces(stride):
    found = seen_on(OneFace(1, 1, 0, stride), np.zeros((2, 64, 64, 3), np.uint8), 0.5)
    assert [len(image) for image in found] == [0, 1]
    np.testing.assert_allclose(found[1].boxes[0] / stride, [-0.5, 0, 2, 3], atol=1e-5)
    np.testing.assert_allclose(found[1].points[0] / stride, [[0.25, 1.25]] * 5, atol=1e-5)
    assert found[1].scores[0] == pytest.approx(0.9)
