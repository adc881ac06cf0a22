"""Recognise faces with Mien's own engine and gallery. Both are opened at first use; listing people needs neither."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from mien.domain import object_keys, thresholds
from mien.domain.errors import (
    CollectionExists,
    CollectionNotFound,
    FaceNotFound,
    ImageError,
    LimitExceeded,
    NoFace,
    UserExists,
    UserNotFound,
)
from mien.domain.faces import Box, Detection, FaceMatch, Page, QualityFilter, UserMatch
from mien.domain.policy import MAX_FACE_MATCHES, MAX_FACES_PER_PHOTO
from mien.domain.results import (
    Comparison,
    FaceHit,
    IndexedFace,
    IndexResult,
    ListedFace,
    Portrait,
    Probe,
    SearchResult,
    StoredPhoto,
    UserHit,
    image_bytes,
)

if TYPE_CHECKING:
    from mien.engine import Face, FaceEngine, FacePortrait
    from mien.gallery import Gallery

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)

LIST_PAGE = 1000
MAX_SIMILAR_FACES = 20
SEARCH_BATCH = 16
"""Photos whose faces are searched for together."""


def _create_when_missing(
    method: Callable[Concatenate[LocalRecognizer, P], T],
) -> Callable[Concatenate[LocalRecognizer, P], T]:
    """Create the collection and call again when it is missing, because it was deleted by the wire API."""

    @wraps(method)
    def create_and_repeat(self: LocalRecognizer, /, *arguments: P.args, **named: P.kwargs) -> T:
        try:
            return method(self, *arguments, **named)
        except CollectionNotFound:
            log.warning("the collection of the enrolled faces was deleted; run `mien repair --yes`")
            with suppress(CollectionExists):
                self._gallery().collections.create(self._collection)
            return method(self, *arguments, **named)

    return create_and_repeat


@dataclass(frozen=True, slots=True)
class _CutFace:
    """A face as the gallery takes it, in the frame of its portrait."""

    box: Box
    confidence: float
    embedding: Any


class LocalRecognizer:
    """Implements `mien.app.group_ports.PortraitRecognizer`."""

    def __init__(
        self, engine: Callable[[], FaceEngine], gallery: Callable[[], Gallery], collection: str, mark: str
    ) -> None:
        """Use a collection of the gallery, which others may use, too, by the wire API.

        Args:
            engine: Returns the engine, which it opens once.
            gallery: Returns the gallery, which it opens once; the collection exists then.
            collection: The collection's id.
            mark: What the external image ids of this installation's faces begin with; `object_keys.installation_mark`.
        """
        self._engine, self._gallery, self._collection, self._mark = engine, gallery, collection, mark

    def detect(self, image: bytes) -> list[Detection]:
        return self._engine().detect(image)

    @_create_when_missing
    def compare(self, source: bytes, target: bytes) -> list[Comparison]:
        from mien.backends.embedded.maintenance import calibration
        from mien.gallery import compare

        faces = self._engine().read(source, max_faces=1, mirrored=True)
        if not faces:
            raise NoFace("The source photo shows no face.")
        embedding, own = faces[0].embedding, calibration(self._gallery(), self._collection)
        comparisons = [
            Comparison(face, compare(embedding, face.embedding, own))
            for face in self._engine().read(target, mirrored=True)
        ]
        return sorted(comparisons, key=lambda comparison: -comparison.similarity)

    @_create_when_missing
    def index(
        self, image: bytes | StoredPhoto, user_id: str | None, max_faces: int, threshold: float | None
    ) -> IndexResult:
        from mien.engine import quality
        from mien.gallery import image_id

        body = image_bytes(image)
        kept, rejected = quality.filter_faces(self._engine().read(body, mirrored=True), QualityFilter.AUTO, max_faces)
        stored = self._gallery().faces.index(
            self._collection,
            kept,
            image_id=image_id(body),
            external_image_id=self._mark + object_keys.to_recognizer_id(user_id),
        )
        faces = [
            IndexedFace(added.face_id, face, () if threshold is None else self._similar_faces(added.face_id, threshold))
            for added, face in zip(stored, kept, strict=True)
        ]
        return IndexResult(tuple(faces), tuple(reasons for _, reasons in rejected))

    @_create_when_missing
    def index_face(self, image: bytes, box: Box) -> str:
        from mien.gallery import image_id

        face = max(self._engine().read(image, mirrored=True), key=lambda face: face.box.overlap(box), default=None)
        if face is None or not face.box.overlap(box):
            raise NoFace("The photo shows no face at this box.")
        own_image_id = image_id(image + repr(face.box).encode())
        own_name = self._mark + object_keys.to_recognizer_id(None)
        (stored,) = self._gallery().faces.index(
            self._collection, [face], image_id=own_image_id, external_image_id=own_name
        )
        return stored.face_id

    def face_image(self, image: bytes, box: Box, side: int) -> bytes:
        from mien.engine.rendition import face_image

        return face_image(image, box, side)

    @_create_when_missing
    def threshold(self, given: str | float) -> thresholds.Threshold:
        nobody = self._mark + object_keys.to_recognizer_id(None)
        enrolled = self._gallery().faces.count_others(self._collection, nobody)
        return thresholds.with_error_rates(thresholds.parse(given, lambda: enrolled), enrolled)

    @_create_when_missing
    def search(
        self, image: bytes | StoredPhoto, threshold: float, limit: int, max_faces: int = MAX_FACES_PER_PHOTO
    ) -> SearchResult:
        seen = self._engine().read(image_bytes(image))
        return SearchResult(tuple(self._probes(seen[:max_faces], threshold, limit)), max(0, len(seen) - max_faces))

    def portraits(self, image: bytes, threshold: float, limit: int) -> list[Portrait]:
        return self._searched(self._engine().portraits(image), threshold, limit)

    def portraits_many(
        self, images: Iterable[bytes], threshold: float, limit: int
    ) -> Iterator[list[Portrait] | ImageError]:
        found = self._engine().portraits_many(images)
        while batch := list(islice(found, SEARCH_BATCH)):
            faces = [face for each in batch if not isinstance(each, ImageError) for face in each]
            searched = iter(self._searched(faces, threshold, limit))
            for each in batch:
                yield each if isinstance(each, ImageError) else list(islice(searched, len(each)))

    @_create_when_missing
    def _searched(self, found: Sequence[FacePortrait], threshold: float, limit: int) -> list[Portrait]:
        from mien.engine import quality

        probes = self._probes([each.face for each in found], threshold, limit)
        return [
            Portrait(
                probe,
                each.image,
                each.box,
                not quality.rejection_reasons(each.face, QualityFilter.AUTO),
                each.face.embedding,
            )
            for probe, each in zip(probes, found, strict=True)
        ]

    @_create_when_missing
    def index_portraits(self, portraits: Sequence[Portrait]) -> list[str]:
        from mien.gallery import image_id

        faces = [_CutFace(each.box, each.probe.face.confidence, each.embedding) for each in portraits]
        stored = self._gallery().faces.index_each(
            self._collection,
            faces,
            image_ids=[image_id(each.image) for each in portraits],
            external_image_id=self._mark + object_keys.to_recognizer_id(None),
        )
        return [face.face_id for face in stored]

    @_create_when_missing
    def count_faces(self) -> int:
        return self._gallery().collections.describe(self._collection).face_count

    def _probes(self, faces: Sequence[Face], threshold: float, limit: int) -> list[Probe]:
        if not faces:
            return []
        probes = [face.embedding for face in faces]
        search = self._gallery().search
        similar_faces, similar_users = search.faces_and_users(
            self._collection, probes, threshold=threshold, max_users=limit
        )
        return [
            Probe(face, self._limited_hits(face_matches, limit), _user_hits(user_matches))
            for face, face_matches, user_matches in zip(faces, similar_faces, similar_users, strict=True)
        ]

    def _limited_hits(self, matches: Sequence[FaceMatch], limit: int) -> tuple[FaceHit, ...]:
        """So many faces of people, and as many as there are of nobody, who must not hide anybody."""
        nobody = self._mark + object_keys.to_recognizer_id(None)
        people = [match for match in matches if match.face.external_image_id != nobody]
        beyond = {match.face.face_id for match in people[limit:]}
        return _face_hits([match for match in matches if match.face.face_id not in beyond])

    @_create_when_missing
    def associate(self, user_id: str, face_ids: Sequence[str]) -> frozenset[str]:
        recognizer_id = object_keys.to_recognizer_id(user_id)
        with suppress(UserExists):
            self._gallery().users.create(self._collection, recognizer_id)
        with suppress(UserNotFound, LimitExceeded):  # forgotten meanwhile, or with all the faces that a user may have
            self._gallery().users.associate(self._collection, recognizer_id, face_ids)
        associated = self._gallery().faces.list(self._collection, user_id=recognizer_id, face_ids=face_ids)
        return frozenset(face.face_id for face in associated.items)

    @_create_when_missing
    def count_associated(self, user_id: str) -> int:
        return len(self._gallery().faces.list(self._collection, user_id=object_keys.to_recognizer_id(user_id)).items)

    @_create_when_missing
    def similar(self, face_id: str, threshold: float) -> tuple[FaceHit, ...]:
        return self._similar_faces(face_id, threshold, MAX_FACE_MATCHES)

    @_create_when_missing
    def similar_to_each(self, face_ids: Sequence[str], threshold: float, limit: int) -> list[tuple[FaceHit, ...]]:
        search = self._gallery().search
        try:
            found = search.similar_to_each(self._collection, face_ids, threshold=threshold, limit=limit)
        except FaceNotFound:  # one was forgotten meanwhile
            return [self._similar_faces(face_id, threshold, limit) for face_id in face_ids]
        return [_face_hits(matches) for matches in found]

    @_create_when_missing
    def delete(self, face_ids: Sequence[str]) -> int:
        if not face_ids:
            return 0
        first = self._gallery().faces.delete(self._collection, face_ids)
        associated: dict[str, list[str]] = {}
        for face in first.failed:
            if face.user_id is not None:
                associated.setdefault(face.user_id, []).append(face.face_id)
        for user_id, own in associated.items():
            with suppress(UserNotFound):
                self._gallery().users.disassociate(self._collection, user_id, own)
        second = self._gallery().faces.delete(
            self._collection, [face_id for own in associated.values() for face_id in own]
        )
        return len(first.deleted) + len(second.deleted)

    @_create_when_missing
    def list_faces(self, token: str | None = None) -> Page[ListedFace]:
        page = self._gallery().faces.list(self._collection, limit=LIST_PAGE, token=token)
        faces = (ListedFace(face.face_id, (face.external_image_id or "").startswith(self._mark)) for face in page.items)
        return Page(tuple(faces), page.next_token)

    @_create_when_missing
    def existing(self, face_ids: Sequence[str]) -> frozenset[str]:
        faces = self._gallery().faces.list(self._collection, face_ids=face_ids).items
        return frozenset(face.face_id for face in faces)

    @_create_when_missing
    def forget(self, user_id: str) -> None:
        self.delete(sorted(self.face_ids(user_id)))
        with suppress(UserNotFound):
            self._gallery().users.delete(self._collection, object_keys.to_recognizer_id(user_id))

    @_create_when_missing
    def face_ids(self, user_id: str) -> frozenset[str]:
        recognizer_id = object_keys.to_recognizer_id(user_id)
        associated = self._gallery().faces.list(self._collection, user_id=recognizer_id).items
        indexed = self._gallery().faces.list(self._collection, external_image_id=self._mark + recognizer_id).items
        return frozenset(face.face_id for face in (*associated, *indexed))

    def _similar_faces(self, face_id: str, threshold: float, limit: int = MAX_SIMILAR_FACES) -> tuple[FaceHit, ...]:
        try:
            matches = self._gallery().search.similar_faces(self._collection, face_id, threshold=threshold, limit=limit)
        except FaceNotFound:  # forgotten meanwhile
            return ()
        return _face_hits(matches)


def _face_hits(matches: Sequence[FaceMatch]) -> tuple[FaceHit, ...]:
    return tuple(FaceHit(match.face.face_id, match.similarity) for match in matches)


def _user_hits(matches: Sequence[UserMatch]) -> tuple[UserHit, ...]:
    return tuple(
        UserHit(user_id, match.similarity)
        for match in matches
        if (user_id := object_keys.from_recognizer_id(match.user.user_id)) is not None
    )
