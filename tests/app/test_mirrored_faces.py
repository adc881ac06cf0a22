"""Which embeddings are averaged with those of the mirrored face: those that are made once, not those of probes."""

from __future__ import annotations

import pytest

from mien.backends.embedded.backend import EmbeddedBackend
from tests.support.fake_engine import FakeFaceEngine

Portraits = dict[str, list[bytes]]


@pytest.fixture
def averaged(monkeypatch: pytest.MonkeyPatch) -> list[bool | None]:
    """What each call of the engine was told."""
    told: list[bool | None] = []
    read = FakeFaceEngine.read

    def recording(self: FakeFaceEngine, image: bytes, max_faces: int = 100, *, mirrored: bool | None = None):
        told.append(mirrored)
        return read(self, image, max_faces)

    monkeypatch.setattr(FakeFaceEngine, "read", recording)
    return told


def test_enrolment_and_comparison_are_averaged_and_probes_are_not(
    backend: EmbeddedBackend, portraits: Portraits, averaged: list[bool | None]
) -> None:
    first, second = portraits["Robert"][:2]
    backend.app.enroll(first, "Robert")
    assert averaged == [True]
    backend.app.recognize(second)
    assert averaged == [True, None]
    backend.recognizer.compare(first, second)
    assert averaged[2:] == [True, True]
