"""What the operations on several faces answer: those done, and those refused, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from mien.domain.faces import UserStatus


class Refusal(StrEnum):
    """Rekognition's own words."""

    FACE_NOT_FOUND = "FACE_NOT_FOUND"
    ASSOCIATED_TO_AN_EXISTING_USER = "ASSOCIATED_TO_AN_EXISTING_USER"
    ASSOCIATED_TO_A_DIFFERENT_USER = "ASSOCIATED_TO_A_DIFFERENT_USER"
    LOW_MATCH_CONFIDENCE = "LOW_MATCH_CONFIDENCE"


class Refused(NamedTuple):
    """`user_id`: whose face it is, where that is the reason."""

    face_id: str
    user_id: str | None
    reason: Refusal


class RefusedAssociation(NamedTuple):
    """`confidence`: the similarity 0..100 with the user, where that is the reason."""

    face_id: str
    user_id: str | None
    confidence: float | None
    reason: Refusal


@dataclass(frozen=True, slots=True)
class FaceDeletion:
    deleted: tuple[str, ...]
    failed: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class Association:
    associated: tuple[str, ...]
    failed: tuple[RefusedAssociation, ...]
    status: UserStatus


@dataclass(frozen=True, slots=True)
class Disassociation:
    disassociated: tuple[str, ...]
    failed: tuple[Refused, ...]
    status: UserStatus
