"""Search the collection for the faces of a photo with as few billed calls as possible.

SearchUsersByImage and SearchFacesByImage search for the largest face of an image only. The first also tells of all
other faces, so that a photo of one face takes one call of each. Every other face is searched with a crop of its own.
Without user vectors DetectFaces tells of the faces, unless only the largest is wanted.

| faces searched | with user vectors | without |
|---|---:|---:|
| the largest only | 2 | 1 |
| all, the photo shows one | 2 | 2 |
| all, the photo shows n | 2n | 1 + n |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from mien.backends.aws.clients import SECONDS_PER_CALL, code
from mien.backends.aws.photos import RekognitionPhoto
from mien.backends.aws.shapes import detection, face_hits, to_box, user_hits
from mien.domain.errors import Overloaded
from mien.domain.faces import Box, Detection, SearchedFace
from mien.domain.results import Probe, SearchResult

MARGINS = (0.5, 0.1)  # around a crop, in box sizes: room for the detector, less where a neighbouring face gets in
PARALLEL_SEARCHES = 4


@dataclass(frozen=True)
class PhotoSearch:
    """Searches for the faces of photos.

    Attributes:
        client: A boto3 client of Rekognition.
        collection_id: The collection.
        user_vectors: Whether users are searched, too.
        seconds_left: Returns how long the caller waits at most; calls that might take longer are not begun.
    """

    client: Any
    collection_id: str
    user_vectors: bool
    seconds_left: Callable[[], float]

    def search(self, photo: RekognitionPhoto, threshold: float, limit: int, max_faces: int) -> SearchResult:
        """Search for the `max_faces` largest faces; the other arguments are those of `Recognizer.search`."""
        search = _Search(self, photo, threshold, limit)
        if self.user_vectors:
            found = search.users_of_photo()
            if found is None:
                return SearchResult(())
            users, faces = found
            largest = Probe(faces[0], search.hits_of_photo(), users)
        elif max_faces > 1:
            faces = search.detect()
            if not faces:
                return SearchResult(())
            hits = search.hits_of_photo() if len(faces) == 1 else search.hits_of_crop(faces, 0)
            largest = Probe(faces[0], hits, ())
        else:
            only = search.largest()
            return SearchResult(() if only is None else (only,))
        with ThreadPoolExecutor(PARALLEL_SEARCHES) as pool:
            others = pool.map(lambda index: search.probe(faces, index), range(1, min(max_faces, len(faces))))
            probes = (largest, *(probe for probe in others if probe is not None))
        return SearchResult(probes, len(faces) - len(probes))

    def has_time(self) -> bool:
        """Tell whether a call that takes as long as calls may ends in time."""
        return self.seconds_left() > SECONDS_PER_CALL


@dataclass(frozen=True)
class _Search:
    """The search for the faces of one photo."""

    of: PhotoSearch
    photo: RekognitionPhoto
    threshold: float
    limit: int

    def detect(self) -> Sequence[Detection]:
        response = self.photo.call(self.of.client.detect_faces)
        return _largest_first(detection(shape, self.photo) for shape in response["FaceDetails"])

    def users_of_photo(self) -> tuple[Any, Sequence[Detection]] | None:
        """Return the users whom the largest face may be, and all faces, it first; None without a face."""
        response = self.photo.call(self.of.client.search_users_by_image, **self._user_limits())
        searched = response.get("SearchedFace")
        if not searched:
            return None
        others = (detection(shape["FaceDetails"], self.photo) for shape in response.get("UnsearchedFaces", ()))
        return user_hits(response), [detection(searched["FaceDetail"], self.photo), *_largest_first(others)]

    def hits_of_photo(self) -> Any:
        """Return the enrolled faces that the largest face of the photo is like."""
        if not self.of.has_time():
            raise Overloaded("Rekognition answers too slowly at the moment; try again.")
        return face_hits(self._faces(lambda **more: self.photo.call(self.of.client.search_faces_by_image, **more)))

    def largest(self) -> Probe | None:
        """Search for the largest face in one call; None without a face."""
        response = self._faces(lambda **more: self.photo.call(self.of.client.search_faces_by_image, **more))
        if not response:
            return None
        box = to_box(response["SearchedFaceBoundingBox"])
        return Probe(SearchedFace(box, response["SearchedFaceConfidence"]), face_hits(response), ())

    def probe(self, faces: Sequence[Detection], index: int) -> Probe | None:
        """Search for another face than the largest with a crop of its own; None when there is no time left."""
        if not self.of.has_time():
            return None
        hits, users = self.hits_of_crop(faces, index), ()
        if self.of.user_vectors:
            if not self.of.has_time():
                return None
            users = self._users_of_crop(faces, index)
        return Probe(faces[index], hits, users)

    def hits_of_crop(self, faces: Sequence[Detection], index: int) -> Any:
        crop, expected = self._crop(faces, index)
        response = self._faces(lambda **more: self.of.client.search_faces_by_image(Image={"Bytes": crop}, **more))
        is_found = bool(response) and is_same_face(expected, to_box(response["SearchedFaceBoundingBox"]))
        return face_hits(response) if is_found else ()

    def _users_of_crop(self, faces: Sequence[Detection], index: int) -> Any:
        crop, expected = self._crop(faces, index)
        response = self.of.client.search_users_by_image(Image={"Bytes": crop}, **self._user_limits())
        searched = response.get("SearchedFace")
        is_found = bool(searched) and is_same_face(expected, to_box(searched["FaceDetail"]["BoundingBox"]))
        return user_hits(response) if is_found else ()

    def _crop(self, faces: Sequence[Detection], index: int) -> tuple[bytes, Box]:
        """Return a crop in which the face is the largest one, as far as it can be, and the face's box in it."""
        face, others = faces[index].box, [other.box for other in (*faces[:index], *faces[index + 1 :])]
        wide, narrow = MARGINS
        has_neighbour = any(_covered(other, _widened(face, wide)) > face.area / 2 for other in others)
        return self.photo.prepared.crop(face, narrow if has_neighbour else wide)

    def _faces(self, call: Callable[..., Any]) -> Any:
        try:
            return call(CollectionId=self.of.collection_id, FaceMatchThreshold=self.threshold, MaxFaces=self.limit)
        except ClientError as error:
            if code(error) == "InvalidParameterException":  # no face in the image
                return {}
            raise

    def _user_limits(self) -> dict[str, Any]:
        return {
            "CollectionId": self.of.collection_id,
            "UserMatchThreshold": self.threshold,
            "MaxUsers": self.limit,
        }


def is_same_face(expected: Box, found: Box) -> bool:
    """Tell whether the centre of the found box lies in the middle half of the expected one."""
    dx = expected.left + expected.width / 2 - found.left - found.width / 2
    dy = expected.top + expected.height / 2 - found.top - found.height / 2
    return abs(dx) <= expected.width / 4 and abs(dy) <= expected.height / 4


def _largest_first(faces: Any) -> list[Detection]:
    return sorted(faces, key=lambda face: -face.box.area)


def _widened(box: Box, margin: float) -> Box:
    return Box(
        box.left - margin * box.width,
        box.top - margin * box.height,
        box.width * (1 + 2 * margin),
        box.height * (1 + 2 * margin),
    )


def _covered(box: Box, by: Box) -> float:
    """How much of a box another one covers, as an area."""
    width = min(box.left + box.width, by.left + by.width) - max(box.left, by.left)
    height = min(box.top + box.height, by.top + by.height) - max(box.top, by.top)
    return max(0.0, width) * max(0.0, height)
