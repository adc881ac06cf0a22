"""Searching by stored face and by photo."""

from __future__ import annotations

import uuid

import pytest


@pytest.fixture(scope="module")
def people(client, album):
    """Two photos of Bea, one of Carl, and a group of five strangers."""
    name = "people"
    client.create_collection(CollectionId=name)
    photos = {"bea-1": album.same[0], "bea-2": album.same[1], "carl": album.stranger}
    made = {}
    for label, photo in photos.items():
        answer = client.index_faces(CollectionId=name, Image={"Bytes": photo}, ExternalImageId=label)
        made[label] = answer["FaceRecords"][0]["Face"]["FaceId"]
    client.index_faces(CollectionId=name, Image={"Bytes": album.five}, ExternalImageId="group", QualityFilter="NONE")
    yield made
    client.delete_collection(CollectionId=name)


def by_image(client, photo, collection="people", **more):
    return client.search_faces_by_image(CollectionId=collection, Image={"Bytes": photo}, **more)


def names(answer):
    return [match["Face"]["ExternalImageId"] for match in answer["FaceMatches"]]


def test_a_stored_face_finds_its_like_but_not_itself(client, people):
    answer = client.search_faces(CollectionId="people", FaceId=people["bea-1"])
    assert answer["SearchedFaceId"] == people["bea-1"]
    assert names(answer) == ["bea-2"]
    everyone = client.search_faces(CollectionId="people", FaceId=people["bea-1"], FaceMatchThreshold=0)
    assert len(everyone["FaceMatches"]) == 7
    assert people["bea-1"] not in [match["Face"]["FaceId"] for match in everyone["FaceMatches"]]


def test_an_unknown_face_is_an_invalid_parameter(client, people):
    with pytest.raises(client.exceptions.InvalidParameterException, match="faceId was not found in the collection"):
        client.search_faces(CollectionId="people", FaceId=str(uuid.uuid4()))


def test_a_photo_finds_its_person_best_match_first(client, people, album, engine):
    answer = by_image(client, album.same[0])
    assert names(answer)[0] == "bea-1"
    assert set(names(answer)) == {"bea-1", "bea-2"}
    scores = [match["Similarity"] for match in answer["FaceMatches"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["FaceModelVersion"] == engine.model_version
    assert answer["SearchedFaceConfidence"] > 50
    assert answer["SearchedFaceBoundingBox"].keys() == {"Width", "Height", "Left", "Top"}


def test_matches_reach_the_threshold(client, people, album):
    assert len(by_image(client, album.same[0], FaceMatchThreshold=0)["FaceMatches"]) == 8
    assert len(by_image(client, album.same[0], FaceMatchThreshold=0, MaxFaces=3)["FaceMatches"]) == 3
    strictest = by_image(client, album.same[1], FaceMatchThreshold=100)["FaceMatches"]
    assert [match["Similarity"] for match in strictest] in ([], [100])


def test_only_the_largest_face_is_searched(client, people, album):
    answer = by_image(client, album.five, FaceMatchThreshold=99)
    (match,) = answer["FaceMatches"]
    assert match["Face"]["BoundingBox"]["Left"] == pytest.approx(answer["SearchedFaceBoundingBox"]["Left"], abs=1e-5)


def test_no_face_is_an_error_that_says_so(client, people, album):
    with pytest.raises(client.exceptions.InvalidParameterException, match="There are no faces in the image"):
        by_image(client, album.nobody)


def test_an_empty_collection_answers_an_empty_list(client, collection, album):
    assert by_image(client, album.stranger, collection)["FaceMatches"] == []


def test_the_collection_is_looked_up_before_the_image(client):
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        by_image(client, b"no image", "none")
