"""Galleries with one known issue each."""

import numpy as np
import pytest

from mien.domain.faces import Box, Issue, IssueKind, StoredFace
from mien.gallery.inspection import SAME_FACE, inspect
from mien.gallery.scoring import SHIPPED, Calibration, similarity


def direction(*axes: int, tilt: float = 0.0) -> np.ndarray:
    """A unit vector along the sum of some axes, tilted a little towards axis 127."""
    vector = np.zeros(128, dtype=np.float32)
    vector[list(axes)] = 1
    vector[127] = tilt * np.sqrt(len(axes))
    return vector / np.linalg.norm(vector)


def findings(
    *enrolled: tuple[str, np.ndarray], confidence: float = 99.0, calibration: Calibration = SHIPPED
) -> list[Issue]:
    faces = [StoredFace(f"f{i}", "image", Box(0, 0, 1, 1), confidence, None, None, "m") for i in range(len(enrolled))]
    names = {f"f{i}": name for i, (name, _) in enumerate(enrolled) if name}
    vectors = np.stack([vector for _, vector in enrolled])
    scores = similarity(vectors @ vectors.T, calibration)
    alike = [(faces[i], faces[j], float(scores[i, j])) for i, j in np.argwhere(np.triu(scores >= SAME_FACE, 1))]
    return inspect(faces, vectors, names, alike, calibration)


def test_a_clean_gallery_has_no_issues() -> None:
    assert (
        findings(("Ann", direction(0, 1)), ("Ann", direction(0, 2)), ("Bob", direction(5, 6)), ("Bob", direction(5, 7)))
        == []
    )


def test_one_face_under_two_names_is_reported_once_per_pair_of_people() -> None:
    found = findings(
        ("Ann", direction(0)), ("Bob", direction(0, tilt=0.8)), ("Bob", direction(0, tilt=0.3)), ("Cy", direction(9))
    )
    assert [(f.trouble, f.people, f.face_ids) for f in found] == [
        (IssueKind.SAME_FACE_TWO_NAMES, ("Ann", "Bob"), ("f0", "f2"))
    ]
    assert found[0].similarity == pytest.approx(100, abs=0.1)
    assert "Ann" in found[0].evidence
    assert found[0].remove == ()


def test_a_face_unlike_all_others_of_a_name_is_an_outlier_to_delete() -> None:
    found = findings(("Ann", direction(0, 1)), ("Ann", direction(0, 2)), ("Ann", direction(9)))
    assert [(f.trouble, f.face_ids, f.remove) for f in found] == [(IssueKind.OUTLIER, ("f2",), ("f2",))]
    assert "1 of the faces of Ann reaches a similarity" in found[0].evidence
    assert found[0].similarity is not None
    assert found[0].similarity < 1


def test_two_groups_under_one_name_are_two_people_with_nothing_to_delete() -> None:
    found = findings(
        ("Ann", direction(0, 1)), ("Ann", direction(0, 2)), ("Ann", direction(5, 6)), ("Ann", direction(5, 7))
    )
    assert [(f.trouble, f.face_ids, f.remove) for f in found] == [(IssueKind.TWO_PEOPLE_ONE_NAME, ("f2", "f3"), ())]


def test_two_dissimilar_faces_are_two_people() -> None:
    assert [f.trouble for f in findings(("Ann", direction(0)), ("Ann", direction(5)))] == [
        IssueKind.TWO_PEOPLE_ONE_NAME
    ]


def test_faces_linked_by_a_chain_are_one_person() -> None:
    chain = [("Ann", direction(i, i + 1)) for i in range(4)]
    assert findings(*chain) == []


def test_all_near_duplicates_but_one_are_to_be_deleted() -> None:
    found = findings(("Ann", direction(0)), ("Ann", direction(0, tilt=0.1)), ("Ann", direction(0, 1)))
    assert [(f.trouble, f.face_ids, f.remove) for f in found] == [(IssueKind.NEAR_DUPLICATES, ("f0", "f1"), ("f1",))]


def test_low_confidence_is_reported_of_people_and_not_of_strangers() -> None:
    found = findings(("Ann", direction(0)), ("", direction(5)), confidence=62.0)
    assert [(f.trouble, f.people, f.remove) for f in found] == [
        (IssueKind.POOR_QUALITY, ("Ann",), ("f0",)),
    ]
    assert "62 %" in found[0].evidence


def test_faces_without_a_name_are_not_compared() -> None:
    assert findings(("", direction(0)), ("", direction(0))) == []


def test_issues_follow_the_collections_calibration() -> None:
    pair = (("Ann", direction(0, 1)), ("Bob", direction(0, 1, tilt=0.9)))
    assert [f.trouble for f in findings(*pair)] == [IssueKind.SAME_FACE_TWO_NAMES]
    assert findings(*pair, calibration=Calibration(0.3, 1.0, 5000)) == []
