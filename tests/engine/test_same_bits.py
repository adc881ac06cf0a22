"""Detections of a canvas and crops of a photo are the same to the bit, whatever instructions NumPy and its BLAS use."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_baseline__, __cpu_dispatch__, __cpu_features__

from mien.engine.detect import exponential

SCRIPT = """
import hashlib
import numpy as np
from mien.engine import align, detect

rng, digest = np.random.default_rng(1), hashlib.sha256()
table = rng.normal(0, 2, (1, 84, 16)).astype(np.float32)
found = detect.detect_on_canvas(lambda _: table, np.zeros((64, 64, 3), np.uint8), 0.1)
photo = rng.integers(0, 256, (300, 300, 3), np.uint8)
for scale in rng.uniform(0.5, 2.5, 200):
    points = (align.TEMPLATE * scale + rng.normal(0, 3, (5, 2))).astype(np.float32)
    digest.update(align.similarity_to_template(points).tobytes() + align.align_face(photo, points).tobytes())
for array in (found.boxes, found.points, found.scores):
    digest.update(array.tobytes())
print(len(found), digest.hexdigest())
"""
LESS_NUMPY = [name for name in __cpu_dispatch__ if __cpu_features__.get(name) and name not in __cpu_baseline__]


def result(**variables: str) -> str:
    """Return what the script finds with these variables: how many faces, and a digest of the bits."""
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_numpy_and_blas_of_another_processor_give_the_same_bits() -> None:
    here = result()
    assert int(here.split()[0]) > 10
    assert result(NPY_DISABLE_CPU_FEATURES=",".join(LESS_NUMPY)) == here
    assert result(OPENBLAS_CORETYPE="Nehalem") == here  # which has no fused multiply-add


@pytest.mark.parametrize(("least", "most"), [(-80, 80), (-1, 1), (0, 0)])
def test_the_exponential_is_that_of_float64_but_for_the_last_bit(least: float, most: float) -> None:
    values = np.random.default_rng(2).uniform(least, most, 10_000).astype(np.float32)
    np.testing.assert_array_max_ulp(exponential(values), np.exp(values.astype(np.float64)).astype(np.float32))


def test_the_exponential_of_what_float32_has_no_number_for_is_finite() -> None:
    extremes = exponential(np.array([-np.inf, -1e30, 1e30, np.inf], np.float32))
    assert np.isfinite(extremes).all()
    assert np.isfinite(1 / extremes).all()
