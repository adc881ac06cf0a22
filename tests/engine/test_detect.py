from __future__ import annotations

from collections.abc import Callable
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from mien.engine.decode import admitted_photo
from mien.engine.detect import MAX_CANDIDATES, RawDetections, concatenate, detect_on_canvas, suppress_overlaps
from mien.engine.limits import Limits
from mien.engine.multiscale import CROWD, find_faces
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


def test_of_more_faces_than_a_crowd_has_only_the_most_certain_are_compared():
    """Each is compared with all that are kept, so that tens of thousands would take many seconds."""
    many = np.arange(4 * MAX_CANDIDATES)
    boxes = np.stack([many % 300 * 20, many // 300 * 20, *[np.full(len(many), 10)] * 2], axis=1).astype(np.float32)
    scores = (many % 1000 / 1000).astype(np.float32)
    found = suppress_overlaps(RawDetections(boxes, np.zeros((len(many), 5, 2), np.float32), scores))
    assert len(found) == MAX_CANDIDATES
    assert found.scores.min() == np.float32(0.75)


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


class Faces(NoFace):
    """A network that sees so many faces in every canvas, side by side."""

    def __init__(self, faces: int) -> None:
        super().__init__()
        self._faces = faces

    def __call__(self, canvases: np.ndarray) -> np.ndarray:
        table = super().__call__(canvases)
        table[0, : self._faces, :2] = 9
        table[0, :, 2:] = 0
        return table


@pytest.mark.parametrize(("faces", "counts"), [(CROWD - 1, 0), (CROWD, 1)])
def test_a_photo_with_many_faces_counts_as_a_large_one_from_the_first_pass_on(encode, faces, counts):
    network, passes = Faces(faces), []
    with admitted_photo(encode(Image.new("RGB", (1280, 600)), "PNG"), Limits()) as photo:
        photo.admission = Mock(count_as_large=lambda: passes.append(len(network.widths)))
        find_faces(network, photo)
    assert passes[:1] == [1] * counts


CANVAS, STRIDE = 128, 16


class Crowd:
    """A network that sees one small face in a photo, doubts another one, and has a score for what is enlarged."""

    def __init__(self, doubtful: float, enlarged: float, *, certain: float = 0.9, beside: int = 0) -> None:
        self._photo = [(2, 2, certain, 1), (6, 9, doubtful, 1)]
        middle = CANVAS // STRIDE // 2 + beside
        self._enlarged = [(middle, middle, enlarged, 3)]
        self.confirmations = 0

    def __call__(self, canvases: np.ndarray) -> np.ndarray:
        _, height, width, _ = canvases.shape
        is_enlarged = height == width == CANVAS
        self.confirmations += is_enlarged
        grids = {stride: np.full((height // stride, width // stride, 16), -9, np.float32) for stride in STRIDES}
        for row, column, score, size in self._enlarged if is_enlarged else self._photo:
            logit = np.log(score / (1 - score))
            grids[STRIDE][row, column] = [logit, logit, 0, 0, np.log(size), np.log(size), *[0] * 10]
        return np.concatenate([grid.reshape(1, -1, 16) for grid in grids.values()], axis=1)


def found_by(network: Crowd, encode: Callable[..., bytes], size: tuple[int, int] = (320, 240)) -> np.ndarray:
    with admitted_photo(encode(Image.new("RGB", size), "PNG"), Limits()) as photo:
        return find_faces(network, photo)[1].boxes


@pytest.mark.parametrize(
    ("size", "passes", "scale"),
    [((320, 240), 2, 1 / 2), ((2560, 240), 3, 1), ((3200, 240), 3, 3200 / 2560)],
    ids=["enlarged", "as it is", "reduced"],
)
def test_a_doubtful_small_face_that_is_certain_enlarged_is_found_where_it_is(encode, size, passes, scale):
    boxes = found_by(Crowd(0.3, 0.8), encode, size)
    assert len(boxes) == passes + 1  # the certain one in each pass, and this one
    centre = np.array([9, 6]) * STRIDE * scale
    assert np.abs(boxes[:, :2] + boxes[:, 2:] / 2 - centre).max(axis=1).min() < 1


@pytest.mark.parametrize(
    ("network", "asked"),
    [
        (Crowd(0.3, 0.6), True),
        (Crowd(0.3, 0.8, beside=3), True),
        (Crowd(0.1, 0.8), False),
    ],
    ids=["remains doubtful", "another face beside it", "hardly a face"],
)
def test_what_is_not_confirmed_is_no_face(encode, network, asked):
    assert len(found_by(network, encode)) == 2
    assert (network.confirmations > 0) == asked


def test_a_photo_without_a_certain_face_takes_no_time_for_doubtful_ones(encode):
    network = Crowd(0.3, 0.8, certain=0.5)
    assert len(found_by(network, encode, (2560, 1600))) == 0
    assert network.confirmations == 0


def test_a_photo_full_of_doubtful_faces_takes_bounded_time(encode, monkeypatch):
    monkeypatch.setattr("mien.engine.multiscale.MAX_DOUBTFUL", 0)
    network = Crowd(0.3, 0.8)
    assert len(found_by(network, encode)) == 2
    assert network.confirmations == 0
