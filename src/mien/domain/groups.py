"""Define groups of faces: faces of nobody that are alike, until somebody says who they are.

Which faces a group has stands in their records, so a face that vanishes leaves its group; a group without faces is
none. Timestamps are aware and in UTC.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mien.domain.records import FaceRecord

GROUP_PREFIX = "g-"
GROUP_ID_BYTES = 8

NO_GROUPS = "Unknown faces are grouped on the embedded backend only, not on AWS (docs/groups.md)."


@dataclass(frozen=True, slots=True)
class FaceGroup:
    """What people have decided about a group of faces.

    Attributes:
        group_id: `g-` and 16 hexadecimal digits.
        timestamp: When its first face was found.
        user_id: The person whom its faces were enrolled for; None for a group without a name.
        skipped: Whether nobody wants to be asked about it.
        apart: Groups that show other people, though some of their faces are alike.
    """

    group_id: str
    timestamp: datetime
    user_id: str | None = None
    skipped: bool = False
    apart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DismissedFace:
    """The record that what was detected is no face; `upload_id` is that of the portrait, which is gone."""

    upload_id: str
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class GroupCount:
    """How many faces without a person a group has, and when the first and the last of them was found."""

    group_id: str
    faces: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Group:
    """A group of faces without a person: how many, when they were found, and the clearest of them.

    `user_id` is the person whom it is being named after, where that was interrupted.
    """

    group_id: str
    faces: int
    first_seen: datetime
    last_seen: datetime
    skipped: bool
    best: tuple[FaceRecord, ...]
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Naming:
    """What naming a group did: whose faces they are now, how many, and how many were too unclear to be enrolled."""

    group_id: str
    user_id: str
    enrolled: int
    left: int


def new_group_id() -> str:
    """Make the id of a group, at random."""
    return GROUP_PREFIX + secrets.token_hex(GROUP_ID_BYTES)


def is_group_id(text: str) -> bool:
    """Tell whether a text has the form of the ids that `new_group_id` makes."""
    return re.fullmatch(rf"{GROUP_PREFIX}[0-9a-f]{{{2 * GROUP_ID_BYTES}}}", text) is not None
