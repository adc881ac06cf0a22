"""Recognizer on Rekognition, or on anything that speaks its wire API, such as another Mien.

A person is a Rekognition user; the user's name is also the external id of every face that was indexed
for them, so that a face whose metadata was lost still tells whose it is. Rekognition searches only the
largest face of an image, so each face of a photo is searched by a crop of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from mien.backends.aws import responses
from mien.backends.aws.calls import code, domain_errors, retry_on
from mien.backends.aws.collection_users import CollectionUsers
from mien.domain import object_keys, thresholds
from mien.domain.errors import InvalidInput, NoFace
from mien.domain.faces import Box, Detection
from mien.domain.records import Comparison, FaceHit, IndexedFace, IndexResult, Probe, UserHit

if TYPE_CHECKING:
    from mien.backends.aws.image_limits import Photo

MARGINS = (0.5, 0.1)  # of the box, around a crop: room for the detector, less when a neighbour gets in the way
PARALLEL_SEARCHES = 4
SIMILAR_FACES = 20


class RekognitionRecognizer:
    """One collection."""

    def __init__(self, client: Any, collection_id: str) -> None:
        self._rekognition, self._collection = client, collection_id
        self._members = CollectionUsers(client, collection_id)

    def detect(self, image: bytes) -> list[Detection]:
        with domain_errors():
            return self._detect(_photo(image))

    def compare(self, source: bytes, target: bytes) -> list[Comparison]:
        one, other = _photo(source), _photo(target)
        with domain_errors():
            try:
                answer = self._rekognition.compare_faces(
                    SourceImage={"Bytes": one.data}, TargetImage={"Bytes": other.data}, SimilarityThreshold=0
                )
            except ClientError as error:
                if code(error) != "InvalidParameterException":
                    raise
                if not self._detect(one):  # the refusal does not tell which of the two shows no face
                    raise NoFace("The source photo shows no face.") from error
                return []
        return [
            Comparison(responses.detection(match["Face"], other), match["Similarity"])
            for match in answer["FaceMatches"]
        ]

    def index(self, image: bytes, user_id: str | None, max_faces: int, threshold: float) -> IndexResult:
        photo = _photo(image)
        with domain_errors():
            answer = self._rekognition.index_faces(
                CollectionId=self._collection,
                Image={"Bytes": photo.data},
                ExternalImageId=object_keys.to_recognizer_id(user_id),
                MaxFaces=max_faces,
                QualityFilter="AUTO",
            )
            found = [
                (record["Face"]["FaceId"], responses.detection(record["FaceDetail"], photo))
                for record in answer["FaceRecords"]
            ]
            here = {face_id for face_id, _ in found}
            indexed = [IndexedFace(i, face, self._similar(i, threshold, here)) for i, face in found]
        left_out = tuple(responses.reasons(face) for face in answer["UnindexedFaces"])
        return IndexResult(tuple(sorted(indexed, key=lambda face: -face.face.box.area)), left_out)

    def index_face(self, image: bytes, box: Box) -> str:
        photo = _photo(image)
        with domain_errors():
            for margin in MARGINS:
                crop, place = photo.crop(box, margin)
                answer = self._rekognition.index_faces(
                    CollectionId=self._collection,
                    Image={"Bytes": crop},
                    ExternalImageId=object_keys.to_recognizer_id(None),
                    MaxFaces=1,
                    QualityFilter="NONE",
                )
                for face in (record["Face"] for record in answer["FaceRecords"]):
                    if responses.same_place(place, responses.box(face)):
                        return str(face["FaceId"])
                    self._members.delete_faces([face["FaceId"]])
        raise NoFace("There is no face at this place of the photo.")

    def threshold(self, given: str | float) -> thresholds.Threshold:
        similarity = thresholds.parse(given)
        if thresholds.is_rate(given):
            raise InvalidInput(
                "Rekognition's error rates are not published. Give the threshold as a similarity from 0 to 100."
            )
        return thresholds.Threshold(similarity)

    def search(self, image: bytes, threshold: float, limit: int) -> list[Probe]:
        photo = _photo(image)
        with domain_errors():
            found = self._detect(photo)
            alone = len(found) == 1
            with ThreadPoolExecutor(PARALLEL_SEARCHES) as pool:
                return list(pool.map(lambda face: self._probe(photo, face, alone, threshold, limit), found))

    def associate(self, user_id: str, face_ids: Sequence[str]) -> frozenset[str]:
        with domain_errors():
            return self._members.add(object_keys.to_recognizer_id(user_id), face_ids)

    def delete(self, face_ids: Sequence[str]) -> int:
        with domain_errors():
            return self._members.delete_faces(face_ids)

    def forget(self, user_id: str) -> None:
        with domain_errors():
            self._members.delete_user(object_keys.to_recognizer_id(user_id))
            self._members.delete_faces(sorted(self._face_ids(user_id)))

    def face_ids(self, user_id: str) -> frozenset[str]:
        with domain_errors():
            return frozenset(self._face_ids(user_id))

    def all_face_ids(self) -> frozenset[str]:
        """Everything that the collection holds, for the reconciler."""
        with domain_errors():
            return frozenset(face["FaceId"] for face in self._all_faces())

    def _face_ids(self, user_id: str) -> Iterator[str]:
        """Rekognition filters by user only, not by external id: the whole collection has to be read."""
        name = object_keys.to_recognizer_id(user_id)
        for face in self._all_faces():
            if name in (face.get("ExternalImageId"), face.get("UserId")):
                yield face["FaceId"]

    def _all_faces(self) -> Iterator[dict[str, Any]]:
        pages = self._rekognition.get_paginator("list_faces").paginate(CollectionId=self._collection)
        for page in pages:
            yield from page["Faces"]

    def _detect(self, photo: Photo) -> list[Detection]:
        answer = self._rekognition.detect_faces(Image={"Bytes": photo.data})
        found = [responses.detection(shape, photo) for shape in answer["FaceDetails"]]
        return sorted(found, key=lambda face: -face.box.area)

    def _similar(self, face_id: str, threshold: float, here: set[str]) -> tuple[FaceHit, ...]:
        answer = retry_on(  # a face that was just indexed may not be found at once
            lambda: self._rekognition.search_faces(
                CollectionId=self._collection,
                FaceId=face_id,
                FaceMatchThreshold=threshold,
                MaxFaces=SIMILAR_FACES,
            ),
            "InvalidParameterException",
        )
        return tuple(hit for hit in _face_hits(answer) if hit.face_id not in here)

    def _probe(self, photo: Photo, face: Detection, alone: bool, threshold: float, limit: int) -> Probe:
        def ask(question: Callable[[bytes], tuple[Any, Box | None]]) -> Any:
            """The answer about this very face: a neighbour on the crop must not answer in its place."""
            if alone:
                return question(photo.data)[0]
            for margin in MARGINS:
                crop, place = photo.crop(face.box, margin)
                answer, found = question(crop)
                if found is not None and responses.same_place(place, found):
                    return answer
            return {}

        return Probe(
            face,
            _face_hits(ask(lambda image: self._search_faces(image, threshold, limit))),
            _user_hits(ask(lambda image: self._search_users(image, threshold, limit))),
        )

    def _search_faces(self, image: bytes, threshold: float, limit: int) -> tuple[Any, Box | None]:
        try:
            answer = self._rekognition.search_faces_by_image(
                CollectionId=self._collection,
                Image={"Bytes": image},
                FaceMatchThreshold=threshold,
                MaxFaces=limit,
            )
        except ClientError as error:
            if code(error) == "InvalidParameterException":  # no face on the image
                return {}, None
            raise
        return answer, responses.box({"BoundingBox": answer["SearchedFaceBoundingBox"]})

    def _search_users(self, image: bytes, threshold: float, limit: int) -> tuple[Any, Box | None]:
        answer = self._rekognition.search_users_by_image(
            CollectionId=self._collection,
            Image={"Bytes": image},
            UserMatchThreshold=threshold,
            MaxUsers=limit,
        )
        searched = answer.get("SearchedFace")
        return answer, responses.box(searched["FaceDetail"]) if searched else None


def _photo(image: bytes) -> Photo:
    from mien.backends.aws.image_limits import photo  # loads Pillow: not in functions that never see a photo

    return photo(image)


def _face_hits(answer: Any) -> tuple[FaceHit, ...]:
    return tuple(FaceHit(match["Face"]["FaceId"], match["Similarity"]) for match in answer.get("FaceMatches", ()))


def _user_hits(answer: Any) -> tuple[UserHit, ...]:
    return tuple(
        UserHit(object_keys.from_recognizer_id(match["User"]["UserId"]) or object_keys.NO_USER, match["Similarity"])
        for match in answer.get("UserMatches", ())
    )
