"""Recognise faces with Rekognition, or with a service of the same wire API, such as another Mien.

A person is a Rekognition user. Others may keep faces in the same collection, so the external id of every face that is
indexed here begins with the mark of this installation: only such faces may be repaired when their metadata is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from math import inf
from typing import Any

from botocore.exceptions import ClientError

from mien.backends.aws.clients import batches, code, domain_errors, retry_on
from mien.backends.aws.collection_users import CollectionUsers, names_collection
from mien.backends.aws.photo_search import MARGINS, PhotoSearch, is_same_face
from mien.backends.aws.photos import RekognitionPhoto
from mien.backends.aws.shapes import detection, face_hits, reasons, to_box
from mien.domain import object_keys, thresholds
from mien.domain.errors import InvalidInput, NoFace
from mien.domain.faces import Box, Detection, Page
from mien.domain.policy import MAX_FACE_MATCHES, MAX_FACES_PER_PHOTO
from mien.domain.results import Comparison, FaceHit, IndexedFace, IndexResult, ListedFace, SearchResult, StoredPhoto

MAX_SIMILAR_FACES = 20
LIST_PAGE = 1000


class RekognitionRecognizer:
    """The recognizer port on one collection of Rekognition."""

    def __init__(
        self,
        client: Any,
        collection_id: str,
        mark: str,
        *,
        bucket: str | None = None,
        user_vectors: bool = True,
        seconds_left: Callable[[], float] = lambda: inf,
    ) -> None:
        """Use a collection that exists.

        Args:
            client: A boto3 client of Rekognition.
            collection_id: The collection, which others may use, too.
            mark: What the external ids of this installation's faces begin with; `object_keys.installation_mark`.
            bucket: The bucket of the photos, if Rekognition may read them there.
            user_vectors: Whether `search` also searches for users.
            seconds_left: Returns how long a search may still take.
        """
        self._rekognition, self._collection, self._mark, self._bucket = client, collection_id, mark, bucket
        self._photo_search = PhotoSearch(client, collection_id, user_vectors, seconds_left)
        self._users = CollectionUsers(client, collection_id)

    def detect(self, image: bytes) -> list[Detection]:
        with domain_errors():
            return self._detect(self._photo(image))

    def compare(self, source: bytes, target: bytes) -> list[Comparison]:
        source_photo, target_photo = self._photo(source), self._photo(target)
        with domain_errors():
            try:
                response = self._rekognition.compare_faces(
                    SourceImage={"Bytes": source_photo.prepared.data},
                    TargetImage={"Bytes": target_photo.prepared.data},
                    SimilarityThreshold=0,
                )
            except ClientError as error:
                if code(error) != "InvalidParameterException":
                    raise
                if not self._detect(source_photo):  # the error does not tell which of the two has no face
                    raise NoFace("The source photo shows no face.") from error
                return []
        return [
            Comparison(detection(match["Face"], target_photo), match["Similarity"]) for match in response["FaceMatches"]
        ]

    def index(
        self, image: bytes | StoredPhoto, user_id: str | None, max_faces: int, threshold: float | None
    ) -> IndexResult:
        photo = self._photo(image)
        if isinstance(image, StoredPhoto):
            photo.check()
        with domain_errors():
            response = photo.call(
                self._rekognition.index_faces,
                CollectionId=self._collection,
                ExternalImageId=self._mark + object_keys.to_recognizer_id(user_id),
                MaxFaces=max_faces,
                QualityFilter="AUTO",
            )
            faces = {
                record["Face"]["FaceId"]: detection(record["FaceDetail"], photo) for record in response["FaceRecords"]
            }
            indexed = [
                IndexedFace(face_id, face, self._similar(face_id, threshold, faces.keys()))
                for face_id, face in faces.items()
            ]
        rejected = tuple(reasons(face) for face in response["UnindexedFaces"])
        return IndexResult(tuple(sorted(indexed, key=lambda face: -face.face.box.area)), rejected)

    def index_face(self, image: bytes, box: Box) -> str:
        photo = self._photo(image).prepared
        with domain_errors():
            for margin in MARGINS:
                crop, expected = photo.crop(box, margin)
                response = self._rekognition.index_faces(
                    CollectionId=self._collection,
                    Image={"Bytes": crop},
                    ExternalImageId=self._mark + object_keys.to_recognizer_id(None),
                    MaxFaces=1,
                    QualityFilter="NONE",
                )
                for face in (record["Face"] for record in response["FaceRecords"]):
                    if is_same_face(expected, to_box(face["BoundingBox"])):
                        return str(face["FaceId"])
                    self._users.delete_faces([face["FaceId"]])
        raise NoFace("The photo shows no face at this box.")

    def face_image(self, image: bytes, box: Box, side: int) -> bytes:
        from mien.backends.aws.image_limits import face_image

        return face_image(image, box, side)

    def threshold(self, given: str | float) -> thresholds.Threshold:
        similarity = thresholds.parse(given)
        if thresholds.is_rate(given):
            raise InvalidInput(
                "Rekognition's error rates are not published. Give the threshold as a similarity from 0 to 100."
            )
        return thresholds.Threshold(similarity)

    def search(
        self, image: bytes | StoredPhoto, threshold: float, limit: int, max_faces: int = MAX_FACES_PER_PHOTO
    ) -> SearchResult:
        with domain_errors():
            return self._photo_search.search(self._photo(image), threshold, limit, max_faces)

    def associate(self, user_id: str, face_ids: Sequence[str]) -> frozenset[str]:
        with domain_errors():
            return self._users.add(object_keys.to_recognizer_id(user_id), face_ids)

    def count_associated(self, user_id: str) -> int:
        with domain_errors():
            return sum(1 for _ in self._associated(user_id))

    def similar(self, face_id: str, threshold: float) -> tuple[FaceHit, ...]:
        with domain_errors():
            try:
                return self._search_similar(face_id, threshold, MAX_FACE_MATCHES)
            except ClientError as error:
                if code(error) == "InvalidParameterException":
                    return ()
                raise

    def delete(self, face_ids: Sequence[str]) -> int:
        with domain_errors():
            return self._users.delete_faces(face_ids)

    def forget(self, user_id: str) -> None:
        with domain_errors():
            self._users.delete_faces(sorted(self._associated(user_id)))
            self._users.delete_user(object_keys.to_recognizer_id(user_id))

    def face_ids(self, user_id: str) -> frozenset[str]:
        # Rekognition filters by user only. A face that is neither associated nor has metadata, because indexing was
        # cut off, is for the reconciliation to find: looking for it here would mean to read the whole collection.
        with domain_errors():
            return frozenset(self._associated(user_id))

    def list_faces(self, token: str | None = None) -> Page[ListedFace]:
        more = {} if token is None else {"NextToken": token}
        with domain_errors():
            response = self._rekognition.list_faces(CollectionId=self._collection, MaxResults=LIST_PAGE, **more)
        faces = (self._listed(face["FaceId"], face.get("ExternalImageId", "")) for face in response["Faces"])
        return Page(tuple(faces), response.get("NextToken"))

    def existing(self, face_ids: Sequence[str]) -> frozenset[str]:
        found: set[str] = set()
        with domain_errors():
            for portion in batches(face_ids, LIST_PAGE):
                pages = self._rekognition.get_paginator("list_faces").paginate(
                    CollectionId=self._collection, FaceIds=list(portion)
                )
                found.update(face["FaceId"] for page in pages for face in page["Faces"])
        return frozenset(found)

    def find_remains(self, user_id: str) -> tuple[str, ...]:
        """Name the collection when it has a face that was indexed here for a person, by reading it whole."""
        token = None
        while True:
            page = self.list_faces(token)
            if any(face.user_id == user_id for face in page.items):
                return ("collection",)
            token = page.next_token
            if token is None:
                return ()

    def _listed(self, face_id: str, external_id: str) -> ListedFace:
        is_marked = external_id.startswith(self._mark)
        user_id = object_keys.from_recognizer_id(external_id.removeprefix(self._mark)) if is_marked else None
        return ListedFace(face_id, is_marked, user_id)

    def _associated(self, user_id: str) -> Iterator[str]:
        pages = self._rekognition.get_paginator("list_faces").paginate(
            CollectionId=self._collection, UserId=object_keys.to_recognizer_id(user_id)
        )
        try:
            for page in pages:
                yield from (face["FaceId"] for face in page["Faces"])
        except ClientError as error:
            if code(error) != "ResourceNotFoundException" or names_collection(error):
                raise

    def _photo(self, image: bytes | StoredPhoto) -> RekognitionPhoto:
        return RekognitionPhoto(image, self._bucket)

    def _detect(self, photo: RekognitionPhoto) -> list[Detection]:
        faces = [detection(shape, photo) for shape in photo.call(self._rekognition.detect_faces)["FaceDetails"]]
        return sorted(faces, key=lambda face: -face.box.area)

    def _similar(self, face_id: str, threshold: float | None, excluded: Collection[str]) -> tuple[FaceHit, ...]:
        if threshold is None:
            return ()
        hits = retry_on(
            "InvalidParameterException",  # a face that was indexed a moment ago may not be known yet
            lambda: self._search_similar(face_id, threshold, MAX_SIMILAR_FACES),
        )
        return tuple(hit for hit in hits if hit.face_id not in excluded)

    def _search_similar(self, face_id: str, threshold: float, limit: int) -> tuple[FaceHit, ...]:
        response = self._rekognition.search_faces(
            CollectionId=self._collection, FaceId=face_id, FaceMatchThreshold=threshold, MaxFaces=limit
        )
        return face_hits(response)
