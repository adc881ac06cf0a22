"""Degraded photos: each series starts near the original and gets worse, and measuring counts what is lost."""

import io
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from PIL import Image

from mien.evaluation.degradation import SERIES, Probes, Series, downscaled, measure_series

POINTS = np.array([(45, 50), (75, 50), (60, 70), (48, 90), (72, 90)], np.float32)
UNTOUCHED = {"Blur": 0, "Noise": 0, "Brightness": 1.0, "Pose (squeezed half face)": 1.0}


@pytest.fixture
def portrait() -> np.ndarray:
    y, x = np.mgrid[0:120, 0:120]
    return np.stack([(x * 2) % 256, (y * 2) % 256, (x + y) % 256], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("series", SERIES, ids=lambda series: series.name)
def test_every_step_gives_a_photo(series: Series, portrait: np.ndarray) -> None:
    for step in series.steps:
        degraded = series.change(portrait, POINTS, step)
        assert degraded.dtype == np.uint8
        assert degraded.ndim == 3
        assert degraded.shape[2] == 3
    if series.name in UNTOUCHED:
        assert np.array_equal(series.change(portrait, POINTS, UNTOUCHED[series.name]), portrait)


@pytest.mark.parametrize("name", ["Blur", "Noise", "Mask", "Sunglasses"])
def test_later_steps_differ_more(name: str, portrait: np.ndarray) -> None:
    series = next(series for series in SERIES if series.name == name)
    changes = [np.abs(series.change(portrait, POINTS, step).astype(int) - portrait).mean() for step in series.steps]
    assert changes == sorted(changes)
    assert changes[-1] > changes[0]


def test_small_makes_the_face_as_high_as_asked(portrait: np.ndarray) -> None:
    assert downscaled(portrait, POINTS, 56).shape == (60, 60, 3)


class OneFace:
    """Finds a face in the middle of every photo brighter than 50, always with the same embedding."""

    model_version = "one"

    def read_many(self, images: Iterable[bytes]) -> Iterator[list[object]]:
        from types import SimpleNamespace

        box = SimpleNamespace(left=0.3, top=0.3, width=0.4, height=0.4)
        face = SimpleNamespace(box=box, embedding=np.array([1, 0], np.float32))
        for image in images:
            yield [face] if np.asarray(Image.open(io.BytesIO(image))).mean() > 50 else []


def test_lost_faces_count_as_not_recognised() -> None:
    grey = np.full((20, 20, 3), 100, np.uint8)
    probes = Probes(np.eye(2, dtype=np.float32), [(grey, POINTS), (grey, POINTS)], np.array([0, 1]))
    dim = Series("Dim", "gain", lambda image, points, gain: (image * gain).astype(np.uint8), (1.0, 0.1))
    clear, dark = measure_series(OneFace(), probes, dim, 0.5)
    assert (clear.tmr, clear.fmr, clear.no_face) == (0.5, 0.5, 0.0)
    assert (dark.tmr, dark.fmr, dark.no_face) == (0.0, 0.0, 1.0)
