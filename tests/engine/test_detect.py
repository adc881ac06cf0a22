from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mien.engine.decode import admitted_photo
from mien.engine.detect import RawDetections, concatenate, detect_on_canvas, find_faces, suppress_overlaps
from mien.engine.limits import Limits
from mien.engine.networks.onnx_passes import STRIDES


def candidates(*rows: tuple[float, float, float, float, float]) -> RawDetections:
    values = np.array(rows, np.float32)
    return RawDetections(values[:, :4], np.zeros((len(rows), 5, 2), np.float32), values[:, 4])


def test_of_overlapping_boxes_the_surest_stays():
    found = suppress_overlaps(candidates((0, 0, 10, 10, 0.8), (1, 1, 10, 10, 0.9), (40, 0, 10, 10, 0.7)))
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])


def test_neighbours_that_barely_touch_both_stay():
    assert len(suppress_overlaps(candidates((0, 0, 10, 10, 0.8), (8, 0, 10, 10, 0.9)))) == 2


def test_nothing_stays_nothing():
    nothing = candidates((0, 0, 1, 1, 0.5))[np.array([], np.intp)]
    assert len(suppress_overlaps(concatenate([nothing, nothing]))) == 0


class OneFace:
    """A network with some of the grids that sees one face, in one cell of one of them."""

    def __init__(self, grids: tuple[int, ...], stride: int, row: int, column: int) -> None:
        self._grids, self._stride, self._row, self._column = grids, stride, row, column

    def __call__(self, canvases: np.ndarray) -> np.ndarray:
        _, height, width, _ = canvases.shape
        grids = {stride: np.full((height // stride, width // stride, 16), -9, np.float32) for stride in self._grids}
        cell = [np.log(0.9 / 0.1), np.log(0.4 / 0.6), 0.5, 0.5, np.log(2), np.log(3)] + 10 * [0.25]
        grids[self._stride][self._row, self._column] = cell
        return np.concatenate([grid.reshape(1, -1, 16) for grid in grids.values()], axis=1)


@pytest.mark.parametrize(("grids", "stride"), [(STRIDES, 8), (STRIDES, 16), (STRIDES, 32), ((32,), 32)])
def test_each_grid_places_its_faces(grids, stride):
    found = detect_on_canvas(OneFace(grids, stride, 1, 0), np.zeros((64, 64, 3), np.uint8), 0.5)
    np.testing.assert_allclose(found.boxes / stride, [[-0.5, 0, 2, 3]], atol=1e-5)
    np.testing.assert_allclose(found.points[0] / stride, [[0.25, 1.25]] * 5, atol=1e-5)
    assert found.scores.tolist() == pytest.approx([0.6])


@pytest.mark.parametrize(("least", "faces"), [(0.599, 1), (0.601, 0)])
def test_a_face_below_the_least_score_is_left_out(least, faces):
    assert len(detect_on_canvas(OneFace(STRIDES, 16, 1, 0), np.zeros((64, 64, 3), np.uint8), least)) == faces


class NoFace:
    """A network that sees no face, and records how wide its canvases are."""

    def __init__(self) -> None:
        self.widths: list[int] = []

    def __call__(self, canvases: np.ndarray) -> np.ndarray:
        _, height, width, _ = canvases.shape
        self.widths.append(width)
        return np.full((1, sum(height * width // stride**2 for stride in STRIDES), 16), -9, np.float32)


@pytest.mark.parametrize(("width", "widest"), [(300, 640), (400, 512)])
def test_of_photos_without_a_face_only_small_ones_are_enlarged(encode, width, widest):
    network = NoFace()
    with admitted_photo(encode(Image.new("RGB", (width, 100)), "PNG"), Limits()) as photo:
        find_faces(network, photo)
    assert max(network.widths) == widest
