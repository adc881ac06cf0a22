"""Searches over the wire find whom the engine alone finds, in a collection of hundreds of faces."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.support.painter import encoded, photo_of

PEOPLE, PHOTOS = 60, 4


def cropped(photo: Image.Image) -> Image.Image:
    return ImageOps.crop(photo, photo.width // 8)


def edited(content: bytes, *edits: Callable[[Image.Image], Image.Image]) -> bytes:
    picture = Image.open(io.BytesIO(content))
    for edit in edits:
        picture = edit(picture)
    return encoded(picture, quality=95)


@pytest.fixture(scope="module")
def enrolled():
    """(person, photo) of everybody, several photos each."""
    return [
        (str(person), photo_of(person, photo=number)) for person in range(PEOPLE) for number in range(1, PHOTOS + 1)
    ]


@pytest.fixture(scope="module")
def probes():
    """One photo of everybody that is not enrolled."""
    return [(str(person), photo_of(person)) for person in range(PEOPLE)]


def nearest(engine, enrolled, probes):
    """Searches over the wire find whom the engine alone finds, in a collection of hundreds of faces."""
    read = [faces[0].embedding if faces else None for faces in engine.read_many(photo for _, photo in enrolled)]
    known = [(person, vector) for (person, _), vector in zip(enrolled, read, strict=True) if vector is not None]
    vectors = np.array([vector for _, vector in known])
    wanted = [faces[0].embedding for faces in engine.read_many(photo for _, photo in probes)]
    return [known[place][0] for place in (np.array(wanted) @ vectors.T).argmax(axis=1)]


def found_over_the_wire(client, collection, enrolled, probes):
    client.create_collection(CollectionId=collection)
    with ThreadPoolExecutor(4) as pool:

        def enrol(pair):
            client.index_faces(
                CollectionId=collection,
                Image={"Bytes": pair[1]},
                ExternalImageId=pair[0],
                MaxFaces=1,
                QualityFilter="NONE",
            )

        def search(pair):
            answer = client.search_faces_by_image(
                CollectionId=collection, Image={"Bytes": pair[1]}, MaxFaces=1, FaceMatchThreshold=0
            )
            return answer["FaceMatches"][0]["Face"]["ExternalImageId"]

        list(pool.map(enrol, enrolled))
        return list(pool.map(search, probes))


@pytest.mark.parametrize("edits", [[], [cropped]], ids=["portraits", "crops"])
def test_everybody_whom_the_engine_finds_is_found_over_the_wire(client, engine, enrolled, probes, edits):
    edited_photos = [(person, edited(content, *edits)) for person, content in enrolled]
    alone = nearest(engine, edited_photos, probes)
    assert found_over_the_wire(client, f"faces-{len(edits)}", edited_photos, probes) == alone
    assert alone == [person for person, _ in probes]
