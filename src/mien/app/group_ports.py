"""Declare what a backend needs beyond the three ports to group faces of people whom nobody has named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from mien.app.ports import Bucket, Catalog, Recognizer
from mien.domain.errors import ImageError
from mien.domain.faces import Page
from mien.domain.groups import GroupCount
from mien.domain.records import FaceRecord
from mien.domain.results import FaceHit, Image, Portrait


class PortraitRecognizer(Recognizer, Protocol):
    """Cuts faces out of photos and indexes them as they are, so that a photo is read once and need not be kept."""

    def portraits(self, image: bytes, threshold: float, limit: int) -> list[Portrait]:
        """Search the collection for every face of a photo as `search` does, and cut each face out of it."""

    def portraits_many(
        self, images: Iterable[bytes], threshold: float, limit: int
    ) -> Iterator[list[Portrait] | ImageError]:
        """Do the same as `portraits` for many photos, in order, on all cores; an error about one is its result."""

    def index_portraits(self, portraits: Sequence[Portrait]) -> list[str]:
        """Add the portraits' faces without a user, all of them or none, and return their face ids.

        The same portrait gives the same id again, and so does `index` of its image.
        """

    def similar_to_each(self, face_ids: Sequence[str], threshold: float, limit: int) -> list[tuple[FaceHit, ...]]:
        """Return the same as `similar` for several faces, of each so many hits at most."""

    def count_faces(self) -> int:
        """Count the faces of the collection."""


class StagingBucket(Bucket, Protocol):
    """Stores several photos at once."""

    def staged(self, images: Mapping[str, Image]) -> AbstractContextManager[Callable[[], None]]:
        """Write photos aside, by their paths, and return what moves them to their places, all at once.

        What was not moved is dropped at the end of the block. Nothing is announced: the caller has stored the uploads
        with their outcomes.
        """


class GroupCatalog(Catalog, Protocol):
    """Finds the faces of groups; those that have a person are no longer counted."""

    def list_groups(self, min_faces: int, *, skipped: bool, limit: int, token: str | None = None) -> Page[GroupCount]:
        """List groups, the largest first. A group that changes meanwhile may be missed or come twice.

        Args:
            min_faces: How many faces a group has at least, 1 or more.
            skipped: Whether to list skipped groups, too.
            limit: How many to return at most.
            token: The `next_token` of the page before. InvalidInput for a token of another listing.
        """

    def count_groups(self, group_ids: Sequence[str]) -> dict[str, GroupCount]:
        """Return the counts of groups, by group id; groups without a face are left out."""

    def groups_of(self, face_ids: Sequence[str]) -> dict[str, str]:
        """Return the groups of those of the faces that have one and no person, by face id."""

    def faces_of_group(self, group_id: str, *, named: bool = False, limit: int | None = None) -> list[FaceRecord]:
        """Return the faces of a group, the most certain first: those without a person, or those with one (`named`)."""

    def list_faces_of_group(self, group_id: str, limit: int, token: str | None = None) -> Page[FaceRecord]:
        """List the faces of a group without a person, the most certain first; none for a group that is not there.

        InvalidInput for a token of another listing.
        """

    def ungrouped(self, limit: int, token: str | None = None) -> Page[FaceRecord]:
        """List the faces that have neither a person nor a group, newest first."""

    def empty_groups(self) -> list[str]:
        """List the groups of which a FaceGroup is left, but no face."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """The ports of a backend that can group faces."""

    bucket: StagingBucket
    recognizer: PortraitRecognizer
    catalog: GroupCatalog
