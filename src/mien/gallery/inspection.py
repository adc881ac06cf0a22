"""Find issues with enrolled faces, each with its evidence and the action that repairs it.

Nothing is changed. All thresholds are error rates of mien.domain.thresholds: faces under two names are taken for one
face only where one in a million impostor pairs is as similar.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.domain.faces import Issue, IssueKind, StoredFace
from mien.domain.thresholds import CERTAIN_SIMILARITY, format_similarity, similarity_of_fmr
from mien.gallery.scoring import SHIPPED, Calibration, similarity

SAME_FACE = CERTAIN_SIMILARITY
"""Faces under two names are one face from this similarity on."""

SAME_PERSON = similarity_of_fmr(1e-3)
"""Faces of one person are linked from this similarity on; a chain of links is enough, so poses and years may differ."""

DUPLICATE_COSINE = 0.97
"""Re-encoded and resized copies of a photo are above this cosine, other photos of the same session below."""

MIN_CONFIDENCE = 80.0

Floats = NDArray[np.float32]
Pair = tuple[StoredFace, StoredFace, float]
"""Two faces and their similarity."""


def inspect(
    faces: Sequence[StoredFace],
    embeddings: Floats,
    names: Mapping[str, str],
    similar_pairs: Iterable[Pair],
    calibration: Calibration = SHIPPED,
) -> list[Issue]:
    """Find everything that looks wrong.

    Args:
        faces: All faces of a collection.
        embeddings: Their unit vectors (n, 128).
        names: Whose each face is, by face id; faces of nobody are left out.
        similar_pairs: All pairs of faces with a similarity of SAME_FACE or more.
        calibration: The collection's.
    """
    named = [i for i, face in enumerate(faces) if face.face_id in names]
    enrolled = _NamedFaces(
        [faces[i].face_id for i in named],
        np.array([names[faces[i].face_id] for i in named], dtype=object),
        embeddings[named],
        calibration,
    )
    return [
        *_same_face_two_names(similar_pairs, names),
        *_unlinked_faces(enrolled),
        *_near_duplicates(enrolled),
        *_poor_quality(faces, names),
    ]


@dataclass(frozen=True, slots=True)
class _NamedFaces:
    """The faces that have a name: ids, names and unit vectors, row by row."""

    ids: list[str]
    names: NDArray[np.object_]
    vectors: Floats
    calibration: Calibration

    def people(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Yield each name with the rows of its faces."""
        rows = defaultdict(list)
        for row, name in enumerate(self.names):
            rows[name].append(row)
        return ((name, np.array(own)) for name, own in rows.items())

    def similarities(self, rows: NDArray[np.int64]) -> Floats:
        """Compute the similarities (k, k) among k rows."""
        return similarity(self.vectors[rows] @ self.vectors[rows].T, self.calibration)


def _same_face_two_names(pairs: Iterable[Pair], names: Mapping[str, str]) -> Iterator[Issue]:
    """Find the most similar pair of each two people."""
    best: dict[tuple[str, str], tuple[float, str, str]] = {}
    for one, other, score in pairs:
        people = names.get(one.face_id), names.get(other.face_id)
        if people[0] is None or people[1] is None or people[0] == people[1]:
            continue
        (first, left), (second, right) = sorted(((people[0], one.face_id), (people[1], other.face_id)))
        best[first, second] = max(best.get((first, second), (0.0, "", "")), (score, left, right))
    for (first, second), (score, left, right) in sorted(best.items(), key=lambda item: -item[1][0]):
        yield Issue(
            IssueKind.SAME_FACE_TWO_NAMES,
            (first, second),
            (left, right),
            score,
            f"A face of {first} and a face of {second} have the similarity {format_similarity(score)}; one pair of "
            f"different people in a million reaches {SAME_FACE:.0f}.",
            "Look at both photos. Move the one that has the wrong name to the right person, or merge the two people.",
        )


def _unlinked_faces(enrolled: _NamedFaces) -> Iterator[Issue]:
    """Find faces under one name that nothing links: an outlier, or two people."""
    for name, rows in enrolled.people():
        if len(rows) < 2:
            continue
        scores = enrolled.similarities(rows)
        groups = sorted(_connected(scores >= SAME_PERSON), key=len, reverse=True)
        for group in groups[1:]:
            ids = tuple(enrolled.ids[rows[i]] for i in group)
            nearest = float(scores[np.ix_(group, groups[0])].max())
            yield _unlinked(name, ids, nearest, len(groups[0]))


def _unlinked(name: str, ids: tuple[str, ...], nearest: float, others: int) -> Issue:
    outlier = len(ids) == 1 and others > 1
    reach = "reaches" if len(ids) == 1 else "reach"
    return Issue(
        IssueKind.OUTLIER if outlier else IssueKind.TWO_PEOPLE_ONE_NAME,
        (name,),
        ids,
        nearest,
        f"{len(ids)} of the faces of {name} {reach} a similarity of at most {format_similarity(nearest)} with the "
        f"other {others}; one pair of different people in a thousand reaches {SAME_PERSON:.0f}.",
        "Look at the photos. Move those that show somebody else to that person, or delete them.",
        ids if outlier else (),
    )


def _connected(links: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Find the connected components of a symmetric relation (n, n), as arrays of indices."""
    remaining, components = np.ones(len(links), dtype=bool), []
    while remaining.any():
        component = np.zeros(len(links), dtype=bool)
        component[remaining.argmax()] = True
        while (grown := component | links[component].any(axis=0)).sum() > component.sum():
            component = grown
        components.append(np.flatnonzero(component))
        remaining &= ~component
    return components


def _near_duplicates(enrolled: _NamedFaces) -> Iterator[Issue]:
    """Find copies of a photo, which add nothing and give it twice the weight."""
    for name, rows in enrolled.people():
        copies = enrolled.vectors[rows] @ enrolled.vectors[rows].T >= DUPLICATE_COSINE
        for group in _connected(copies):
            if len(group) > 1:
                ids = tuple(enrolled.ids[rows[i]] for i in group)
                yield Issue(
                    IssueKind.NEAR_DUPLICATES,
                    (name,),
                    ids,
                    float(enrolled.similarities(rows[group[:2]])[0, 1]),
                    f"{len(ids)} faces of {name} come from what looks like the same photo.",
                    "Keep one and delete the others.",
                    ids[1:],
                )


def _poor_quality(faces: Sequence[StoredFace], names: Mapping[str, str]) -> Iterator[Issue]:
    for face in faces:
        if face.face_id in names and face.confidence < MIN_CONFIDENCE:
            yield Issue(
                IssueKind.POOR_QUALITY,
                (names[face.face_id],),
                (face.face_id,),
                None,
                f"The detector is only {face.confidence:.0f} % sure that this is a face.",
                "Replace it by a sharper, frontal photo, then delete it.",
                (face.face_id,),
            )
