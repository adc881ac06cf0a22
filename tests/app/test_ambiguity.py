"""When a runner-up makes an answer doubtful: by odds, not by points, and never by chance alone."""

import pytest

from mien.app.decision import identify
from mien.domain.faces import Box, Detection, Landmarks, Point, Pose, Quality
from mien.domain.policy import Policy
from mien.domain.records import RecognitionStatus, RecognizedFace
from mien.domain.results import Probe, UserHit

MIDDLE = Point(0.5, 0.5)
FACE = Detection(
    Box(0.2, 0.2, 0.5, 0.5), Landmarks(*[MIDDLE] * 5), 99.0, Pose(0, 0, 0), Quality(50, 50, 100), rotation=0
)


def identified(best: float, rival: float, threshold: float = 80.0) -> RecognizedFace:
    probe = Probe(FACE, (), (UserHit("Ann", best), UserHit("Bob", rival)))
    return identify([probe], {}, threshold, Policy())[0]


@pytest.mark.parametrize(
    ("best", "rival", "status"),
    [
        (99.9, 98.5, RecognitionStatus.MATCHED),
        (99.9, 99.65, RecognitionStatus.AMBIGUOUS),
        (90.0, 85.0, RecognitionStatus.AMBIGUOUS),
        (90.0, 65.0, RecognitionStatus.MATCHED),
        (81.0, 55.0, RecognitionStatus.AMBIGUOUS),
        (79.0, 78.0, RecognitionStatus.UNKNOWN),
    ],
)
def test_the_runner_ups_odds_decide(best: float, rival: float, status: RecognitionStatus) -> None:
    assert identified(best, rival).status is status


def test_two_names_beyond_chance_are_doubtful_however_far_apart() -> None:
    assert identified(100.0, 99.2).status is RecognitionStatus.AMBIGUOUS


def test_a_strict_threshold_says_what_chance_is_in_a_large_gallery() -> None:
    assert identified(99.9999, 99.2, threshold=99.99).status is RecognitionStatus.MATCHED


def test_doubt_shows_both_candidates_and_names_nobody() -> None:
    face = identified(81.0, 55.0)
    assert face.user_id is None
    assert [candidate.user_id for candidate in face.candidates] == ["Ann", "Bob"]
