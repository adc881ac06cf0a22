"""What is wrong with who is enrolled: findings with their evidence and the action that repairs them.

Faces and their embeddings in; nothing is changed. All thresholds are error rates of mien.domain.thresholds: two faces
under two names are called one face only where strangers are as alike once in a million pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.domain.faces import Issue, IssueKind, StoredFace
from mien.domain.thresholds import CERTAIN_SIMILARITY, similarity_of_fmr
from mien.gallery.scoring import SHIPPED, Calibration, similarity

SAME_FACE = CERTAIN_SIMILARITY
SAME_PERSON = similarity_of_fmr(1e-3)
"""Faces of one person are linked from here on; a chain of links is enough, so poses and years may differ."""

DUPLICATE_COSINE = 0.97
"""Re-encoded and resized copies of a photo lie above, other photos of the same session below."""

LEAST_CONFIDENCE = 80.0

Floats = NDArray[np.float32]
Pair = tuple[StoredFace, StoredFace, float]


def inspect(
    faces: Sequence[StoredFace],
    embeddings: Floats,
    names: Mapping[str, str],
    alike: Iterable[Pair],
    calibration: Calibration = SHIPPED,
) -> list[Issue]:
    """Everything that looks wrong.

    `embeddings` (n, 128) are those of `faces`, `names` says whose each face id is, and `alike` are all pairs of
    faces with a similarity of SAME_FACE or more.
    """
    named = [i for i, face in enumerate(faces) if face.face_id in names]
    gallery = _Named(
        [faces[i].face_id for i in named],
        np.array([names[faces[i].face_id] for i in named], dtype=object),
        embeddings[named],
        calibration,
    )
    return [*_shared(alike, names), *_divided(gallery), *_duplicates(gallery), *_poor(faces, names)]


@dataclass(frozen=True, slots=True)
class _Named:
    """The faces that have a name: ids, names and unit vectors row by row."""

    ids: list[str]
    names: NDArray[np.object_]
    vectors: Floats
    calibration: Calibration

    def people(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        rows = defaultdict(list)
        for row, name in enumerate(self.names):
            rows[name].append(row)
        return ((name, np.array(group)) for name, group in rows.items())

    def alike(self, rows: NDArray[np.int64]) -> Floats:
        return similarity(self.vectors[rows] @ self.vectors[rows].T, self.calibration)


def _shared(alike: Iterable[Pair], names: Mapping[str, str]) -> Iterator[Issue]:
    """Two names for one face: the most similar pair of each two people."""
    best: dict[tuple[str, str], tuple[float, str, str]] = {}
    for one, other, score in alike:
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
            f"A face of {first} and a face of {second} have the similarity {score:.2f}; strangers reach "
            f"{SAME_FACE:.0f} once in a million pairs.",
            "Look at both photos. Delete the face that has the wrong name, or enrol both people under one name.",
        )


def _divided(gallery: _Named) -> Iterator[Issue]:
    """One name for faces that nothing links: a stray face, or two people."""
    for name, rows in gallery.people():
        if len(rows) < 2:
            continue
        alike = gallery.alike(rows)
        groups = sorted(_linked(alike >= SAME_PERSON), key=len, reverse=True)
        for group in groups[1:]:
            ids = tuple(gallery.ids[rows[i]] for i in group)
            nearest = float(alike[np.ix_(group, groups[0])].max())
            yield _stray(name, ids, nearest, len(groups[0]))


def _stray(name: str, ids: tuple[str, ...], nearest: float, main: int) -> Issue:
    alone = len(ids) == 1 and main > 1
    return Issue(
        IssueKind.OUTLIER if alone else IssueKind.TWO_PEOPLE_ONE_NAME,
        (name,),
        ids,
        nearest,
        f"{len(ids)} of the faces of {name} reach a similarity of at most {nearest:.2f} with the other {main}; "
        f"one pair of strangers in a thousand reaches {SAME_PERSON:.0f}.",
        "Look at the photos. Delete the faces that show somebody else, or enrol them under that person's name.",
        ids if alone else (),
    )


def _linked(links: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Connected components of a symmetric relation, as index arrays."""
    waiting, groups = np.ones(len(links), dtype=bool), []
    while waiting.any():
        group = np.zeros(len(links), dtype=bool)
        group[waiting.argmax()] = True
        while (grown := group | links[group].any(axis=0)).sum() > group.sum():
            group = grown
        groups.append(np.flatnonzero(group))
        waiting &= ~group
    return groups


def _duplicates(gallery: _Named) -> Iterator[Issue]:
    """Copies of a photo, which add nothing and give it twice the weight."""
    for name, rows in gallery.people():
        close = gallery.vectors[rows] @ gallery.vectors[rows].T >= DUPLICATE_COSINE
        for group in _linked(close):
            if len(group) > 1:
                ids = tuple(gallery.ids[rows[i]] for i in group)
                yield Issue(
                    IssueKind.NEAR_DUPLICATES,
                    (name,),
                    ids,
                    float(gallery.alike(rows[group[:2]])[0, 1]),
                    f"{len(ids)} faces of {name} come from what looks like the same photo.",
                    "Keep one and delete the others.",
                    ids[1:],
                )


def _poor(faces: Sequence[StoredFace], names: Mapping[str, str]) -> Iterator[Issue]:
    for face in faces:
        if face.confidence < LEAST_CONFIDENCE:
            name = names.get(face.face_id, "")
            yield Issue(
                IssueKind.POOR_QUALITY,
                (name,) if name else (),
                (face.face_id,),
                None,
                f"The detector is only {face.confidence:.0f} % sure that this is a face.",
                "Replace it by a sharper, frontal photo, then delete it.",
                (face.face_id,),
            )
