"""Recognise faces with Rekognition, or with a service of the same wire API, such as another Mien.

A person is a Rekognition user. Others may keep faces in the same collection, so the external id of every face that is
indexed here begins with the mark of this installation: only such faces may be repaired when their metadata is missing.
Rekognition searches for the largest face of an image only, so each face of a photo is searched with a crop of its own.

Rekognition's face shapes: https://docs.aws.amazon.com/rekognition/latest/APIReference/API_FaceDetail.html
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from mien.backends.aws.clients import batches, code, domain_errors, retry_on
from mien.backends.aws.collection_users import CollectionUsers
from mien.domain import object_keys, thresholds
from mien.domain.errors import InvalidInput, NoFace
from mien.domain.faces import Box, Detection, Landmarks, Page, Point, Pose, Quality, Reason
from mien.domain.policy import MAX_FACE_MATCHES
from mien.domain.records import Comparison, FaceHit, IndexedFace, IndexResult, ListedFace, Probe, UserHit

if TYPE_CHECKING:
    from mien.backends.aws.image_limits import PreparedPhoto

MARGINS = (0.5, 0.1)  # around a crop, in box sizes: room for the detector, less where a neighbouring face gets in
PARALLEL_SEARCHES = 4
MAX_SIMILAR_FACES = 20
LIST_PAGE = 1000
_POINTS = {
    "eyeLeft": "left_eye",
    "eyeRight": "right_eye",
    "nose": "nose",
    "mouthLeft": "mouth_left",
    "mouthRight": "mouth_right",
}


class RekognitionRecognizer:
    """The recognizer port on one collection of Rekognition."""

    def __init__(self, client: Any, collection_id: str, mark: str) -> None:
        """Use a collection that exists.

        Args:
            client: A boto3 client of Rekognition.
            collection_id: The collection, which others may use, too.
            mark: What the external ids of this installation's faces begin with; `object_keys.installation_mark`.
        """
        self._rekognition, self._collection, self._mark = client, collection_id, mark
        self._users = CollectionUsers(client, collection_id)

    def detect(self, image: bytes) -> list[Detection]:
        with domain_errors():
            return self._detect(_photo(image))

    def compare(self, source: bytes, target: bytes) -> list[Comparison]:
        source_photo, target_photo = _photo(source), _photo(target)
        with domain_errors():
            try:
                response = self._rekognition.compare_faces(
                    SourceImage={"Bytes": source_photo.data},
                    TargetImage={"Bytes": target_photo.data},
                    SimilarityThreshold=0,
                )
            except ClientError as error:
                if code(error) != "InvalidParameterException":
                    raise
                if not self._detect(source_photo):  # the error does not tell which of the two has no face
                    raise NoFace("The source photo shows no face.") from error
                return []
        return [
            Comparison(_detection(match["Face"], target_photo), match["Similarity"])
            for match in response["FaceMatches"]
        ]

    def index(self, image: bytes, user_id: str | None, max_faces: int, threshold: float) -> IndexResult:
        photo = _photo(image)
        with domain_errors():
            response = self._rekognition.index_faces(
                CollectionId=self._collection,
                Image={"Bytes": photo.data},
                ExternalImageId=self._mark + object_keys.to_recognizer_id(user_id),
                MaxFaces=max_faces,
                QualityFilter="AUTO",
            )
            faces = {
                record["Face"]["FaceId"]: _detection(record["FaceDetail"], photo) for record in response["FaceRecords"]
            }
            indexed = [
                IndexedFace(face_id, face, self._similar(face_id, threshold, faces.keys()))
                for face_id, face in faces.items()
            ]
        rejected = tuple(_reasons(face) for face in response["UnindexedFaces"])
        return IndexResult(tuple(sorted(indexed, key=lambda face: -face.face.box.area)), rejected)

    def index_face(self, image: bytes, box: Box) -> str:
        photo = _photo(image)
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
                    if _is_same_face(expected, _box(face)):
                        return str(face["FaceId"])
                    self._users.delete_faces([face["FaceId"]])
        raise NoFace("The photo shows no face at this box.")

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
            faces = self._detect(photo)
            is_only = len(faces) == 1
            with ThreadPoolExecutor(PARALLEL_SEARCHES) as pool:
                return list(pool.map(lambda face: self._probe(photo, face, is_only, threshold, limit), faces))

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
            is_user = not error.response["Error"].get("Message", "").lower().startswith("the collection")
            if code(error) != "ResourceNotFoundException" or not is_user:
                raise

    def _detect(self, photo: PreparedPhoto) -> list[Detection]:
        response = self._rekognition.detect_faces(Image={"Bytes": photo.data})
        faces = [_detection(shape, photo) for shape in response["FaceDetails"]]
        return sorted(faces, key=lambda face: -face.box.area)

    def _similar(self, face_id: str, threshold: float, excluded: Collection[str]) -> tuple[FaceHit, ...]:
        hits = retry_on(
            "InvalidParameterException",  # a face that was indexed a moment ago may not be known yet
            lambda: self._search_similar(face_id, threshold, MAX_SIMILAR_FACES),
        )
        return tuple(hit for hit in hits if hit.face_id not in excluded)

    def _search_similar(self, face_id: str, threshold: float, limit: int) -> tuple[FaceHit, ...]:
        response = self._rekognition.search_faces(
            CollectionId=self._collection, FaceId=face_id, FaceMatchThreshold=threshold, MaxFaces=limit
        )
        return _face_hits(response)

    def _probe(self, photo: PreparedPhoto, face: Detection, is_only: bool, threshold: float, limit: int) -> Probe:
        def search_crops(search: Callable[[bytes], tuple[Any, Box | None]]) -> Any:
            """Return the response for this face; a search that found a neighbouring face in the crop does not count."""
            if is_only:
                return search(photo.data)[0]
            for margin in MARGINS:
                crop, expected = photo.crop(face.box, margin)
                response, found = search(crop)
                if found is not None and _is_same_face(expected, found):
                    return response
            return {}

        return Probe(
            face,
            _face_hits(search_crops(lambda image: self._search_faces(image, threshold, limit))),
            _user_hits(search_crops(lambda image: self._search_users(image, threshold, limit))),
        )

    def _search_faces(self, image: bytes, threshold: float, limit: int) -> tuple[Any, Box | None]:
        try:
            response = self._rekognition.search_faces_by_image(
                CollectionId=self._collection,
                Image={"Bytes": image},
                FaceMatchThreshold=threshold,
                MaxFaces=limit,
            )
        except ClientError as error:
            if code(error) == "InvalidParameterException":  # no face in the image
                return {}, None
            raise
        return response, _box({"BoundingBox": response["SearchedFaceBoundingBox"]})

    def _search_users(self, image: bytes, threshold: float, limit: int) -> tuple[Any, Box | None]:
        response = self._rekognition.search_users_by_image(
            CollectionId=self._collection,
            Image={"Bytes": image},
            UserMatchThreshold=threshold,
            MaxUsers=limit,
        )
        searched = response.get("SearchedFace")
        return response, _box(searched["FaceDetail"]) if searched else None


def _photo(image: bytes) -> PreparedPhoto:
    from mien.backends.aws.image_limits import photo  # loads Pillow, which some functions never need

    return photo(image)


def _face_hits(response: Any) -> tuple[FaceHit, ...]:
    return tuple(FaceHit(match["Face"]["FaceId"], match["Similarity"]) for match in response.get("FaceMatches", ()))


def _user_hits(response: Any) -> tuple[UserHit, ...]:
    return tuple(
        UserHit(object_keys.from_recognizer_id(match["User"]["UserId"]) or object_keys.NO_USER, match["Similarity"])
        for match in response.get("UserMatches", ())
    )


def _detection(shape: Mapping[str, Any], photo: PreparedPhoto) -> Detection:
    """Convert a FaceDetail or ComparedFace. AWS does not give the face's size in pixels; the photo's size does."""
    face = _box(shape)
    size = min(face.width * photo.width, face.height * photo.height)
    quality, pose = shape["Quality"], shape["Pose"]
    return Detection(
        box=face,
        landmarks=_landmarks(shape),
        confidence=shape["Confidence"],
        pose=Pose(pose["Roll"], pose["Yaw"], pose["Pitch"]),
        quality=Quality(quality["Brightness"], quality["Sharpness"], size),
        rotation=0,
    )


def _box(shape: Mapping[str, Any]) -> Box:
    edges = shape["BoundingBox"]
    return Box(edges["Left"], edges["Top"], edges["Width"], edges["Height"])


def _reasons(shape: Mapping[str, Any]) -> tuple[Reason, ...]:
    """Return why a face was rejected. A reason that AWS adds one day counts as low quality."""
    known = set(Reason)
    return tuple(Reason(name) if name in known else Reason.LOW_FACE_QUALITY for name in shape["Reasons"])


def _is_same_face(expected: Box, found: Box) -> bool:
    """Tell whether the centre of the found box lies in the middle half of the expected one."""
    dx = expected.left + expected.width / 2 - found.left - found.width / 2
    dy = expected.top + expected.height / 2 - found.top - found.height / 2
    return abs(dx) <= expected.width / 4 and abs(dy) <= expected.height / 4


def _landmarks(shape: Mapping[str, Any]) -> Landmarks:
    points = {_POINTS[p["Type"]]: Point(p["X"], p["Y"]) for p in shape["Landmarks"] if p["Type"] in _POINTS}
    return Landmarks(**points)
