"""Searches: inclusive thresholds, order, limits, batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mien.domain.errors import FaceNotFound, InvalidInput
from mien.gallery import Gallery
from mien.gallery.scoring import SHIPPED, Calibration, cosine_at, similarity
from mien.gallery.search import COSINE_MARGIN
from tests.gallery.faces import embedding, embeddings, face, image_id


def test_threshold_0_matches_everyone_and_99_9_only_the_face_itself(gallery: Gallery) -> None:
    vectors = embeddings(300)
    ids = gallery.faces.add_embeddings("people", vectors)
    found = gallery.search.faces("people", vectors[:5], threshold=0)
    assert all({match.face.face_id for match in hits} == set(ids) for hits in found)
    best = gallery.search.faces("people", vectors[:5], threshold=99.9)
    assert [[match.face.face_id for match in hits] for hits in best] == [[face_id] for face_id in ids[:5]]


def test_matches_come_most_similar_first_and_the_limit_keeps_the_best(gallery: Gallery) -> None:
    gallery.faces.add_embeddings("people", embeddings(500))
    (every,) = gallery.search.faces("people", embeddings(1, seed=9), threshold=0)
    scores = [match.similarity for match in every]
    assert scores == sorted(scores, reverse=True)
    assert gallery.search.faces("people", embeddings(1, seed=9), threshold=0, limit=7) == [every[:7]]


def test_a_batch_of_probes_finds_what_single_probes_find(gallery: Gallery) -> None:
    photos = [embedding(person, photo) for person in range(40) for photo in range(3)]
    gallery.faces.add_embeddings("people", np.stack(photos))
    probes = np.stack([embedding(person, 9) for person in range(40)])
    together = gallery.search.faces("people", probes, threshold=1)
    assert together == [gallery.search.faces("people", probe[np.newaxis], threshold=1)[0] for probe in probes]
    assert all(len(hits) >= 3 for hits in together)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(person=st.integers(0, 200))
def test_a_face_is_found_at_exactly_its_own_similarity(gallery: Gallery, person: int) -> None:
    if not gallery.faces.list("people", limit=1).items:
        gallery.faces.add_embeddings("people", embeddings(200))
    probe = embedding(person, spread=1.5)[np.newaxis]
    for match in gallery.search.faces("people", probe, threshold=0)[0][:20]:
        again = gallery.search.faces("people", probe, threshold=match.similarity)[0]
        assert match in again
        assert all(other.similarity >= match.similarity for other in again)


@settings(max_examples=300, deadline=None)
@given(
    threshold=st.floats(0.001, 99.9),
    calibration=st.builds(Calibration, st.floats(-0.3, 0.3), st.floats(0.5, 2)) | st.just(SHIPPED),
    nearby=st.floats(-1e-3, 1e-3),
)
def test_the_index_is_asked_for_every_cosine_that_reaches_the_threshold(
    threshold: float, calibration: Calibration, nearby: float
) -> None:
    cosine = np.float32(cosine_at(threshold, calibration) + nearby)
    if similarity(cosine, calibration) >= threshold:
        assert cosine >= cosine_at(threshold, calibration) - COSINE_MARGIN


def test_similar_faces_are_limited_without_the_face_itself(gallery: Gallery) -> None:
    ids = gallery.faces.add_embeddings("people", np.stack([embedding(1, photo) for photo in range(5)]))
    found = gallery.search.similar_faces("people", ids[0], limit=4)
    assert {match.face.face_id for match in found} == set(ids[1:])
    assert len(gallery.search.similar_faces("people", ids[0], limit=2)) == 2


def test_an_unknown_face_cannot_be_searched_for(gallery: Gallery) -> None:
    with pytest.raises(FaceNotFound):
        gallery.search.similar_faces("people", image_id(1))


def test_an_empty_collection_has_no_matches(gallery: Gallery) -> None:
    assert gallery.search.faces("people", embeddings(2)) == [[], []]
    assert gallery.search.faces("people", np.empty((0, 128), np.float32)) == []


def test_at_most_4096_faces_and_500_users_match(gallery: Gallery) -> None:
    ids = gallery.faces.add_embeddings("people", np.repeat(embedding(1)[np.newaxis], 4200, axis=0))
    for limit in (None, 5000):
        assert len(gallery.search.faces("people", embedding(1)[np.newaxis], limit=limit)[0]) == 4096
    for number in range(502):
        gallery.users.create("people", f"user{number}")
        gallery.users.associate("people", f"user{number}", [ids[number]])
    assert len(gallery.search.users("people", embedding(1)[np.newaxis])[0]) == 500


@pytest.mark.parametrize("terms", [{"threshold": -1}, {"threshold": 100.1}, {"threshold": float("nan")}, {"limit": 0}])
def test_invalid_thresholds_and_limits_are_refused(gallery: Gallery, terms: dict[str, float]) -> None:
    (stored,) = gallery.faces.index("people", [face(1)], image_id=image_id(1))
    gallery.users.create("people", "ann")
    for call in (
        lambda: gallery.search.faces("people", embeddings(1), **terms),
        lambda: gallery.search.users("people", embeddings(1), **terms),
        lambda: gallery.search.similar_faces("people", stored.face_id, **terms),
        lambda: gallery.search.similar_users("people", face_id=stored.face_id, **terms),
    ):
        with pytest.raises(InvalidInput):
            call()
