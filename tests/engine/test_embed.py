from __future__ import annotations

import numpy as np
import pytest

from mien.engine import model_files
from mien.engine.context import EngineContext, Network
from mien.engine.embed import embed
from mien.engine.model_factory import ModelFactory


@pytest.fixture(scope="module")
def embedder() -> Network:
    return ModelFactory(EngineContext(2)).embedder(model_files.load(model_files.EMBEDDER))


@pytest.mark.parametrize("faces", [0, 1, 3, 4, 9])
def test_faces_embedded_together_are_those_embedded_alone(embedder, rng, faces):
    crops = rng.integers(0, 255, (faces, 112, 112, 3), np.uint8)
    together = embed(embedder, [[crop] for crop in crops], mirrored=False)
    assert together.shape == (faces, 128)
    for vector, crop in zip(together, crops, strict=True):
        [alone] = embed(embedder, [[crop]], mirrored=False)
        assert vector @ alone == pytest.approx(1, abs=1e-3)


def test_a_face_with_several_crops_gets_the_direction_of_their_sum(embedder, rng):
    crops = list(rng.integers(0, 255, (5, 112, 112, 3), np.uint8))
    apart = embed(embedder, [[crop] for crop in crops], mirrored=False)
    first, second = embed(embedder, [crops[:2], crops[2:]], mirrored=False)
    for vector, parts in ((first, apart[:2]), (second, apart[2:])):
        assert vector @ parts.sum(axis=0) == pytest.approx(np.linalg.norm(parts.sum(axis=0)), abs=1e-3)
