"""Searches over the wire find whom the engine alone finds: two collections of real faces and their mirror images.

The default run takes a part of the people; MIEN_TEST_ALL_FACES=1 takes all, over 1,000 faces in each collection.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageOps

pytestmark = pytest.mark.photos
SOME_PEOPLE = 12


def mirrored(photo: Image.Image) -> Image.Image:
    return ImageOps.mirror(photo)


def cropped(photo: Image.Image) -> Image.Image:
    return ImageOps.crop(photo, photo.width // 8)


def turned(content: bytes, *turns: Callable[[Image.Image], Image.Image]) -> bytes:
    photo, stream = Image.open(io.BytesIO(content)), io.BytesIO()
    for turn in turns:
        photo = turn(photo)
    photo.save(stream, "JPEG", quality=95)
    return stream.getvalue()


@pytest.fixture(scope="module")
def portraits(lfw_dev):
    """(person, photo) of people with several photos, and of others, in a fixed order."""
    folders = sorted((f for f in lfw_dev.iterdir() if f.is_dir()), key=lambda f: (-len(list(f.iterdir())), f.name))
    people = folders if os.environ.get("MIEN_TEST_ALL_FACES") else folders[:SOME_PEOPLE]
    return [(f.name, path.read_bytes()) for f in people for path in sorted(f.glob("*.jpg"))]


@pytest.fixture(scope="module")
def probes(portraits):
    """One photo of everybody who has several; they are not enrolled."""
    photos = {}
    for person, photo in portraits:
        photos.setdefault(person, []).append(photo)
    return [(person, given[0]) for person, given in photos.items() if len(given) > 1]


def nearest(engine, enrolled, probes):
    """Whom the engine alone finds: the person of the enrolled face with the largest cosine."""
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
                ExternalImageId=pair[0].encode("ascii", "replace").decode().replace("?", "_"),
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


@pytest.mark.parametrize("turns", [[], [cropped]], ids=["portraits", "crops"])
def test_everybody_whom_the_engine_finds_is_found_over_the_wire(client, engine, portraits, probes, turns):
    kept_back = {photo for _, photo in probes}
    enrolled = [
        (person, turned(photo, *turns, *mirror))
        for person, photo in portraits
        if photo not in kept_back
        for mirror in ([], [mirrored])
    ]
    alone = nearest(engine, enrolled, probes)
    assert found_over_the_wire(client, f"faces-{len(turns)}", enrolled, probes) == alone
    right = [person == found for (person, _), found in zip(probes, alone, strict=True)]
    assert sum(right) >= 0.95 * len(right)
