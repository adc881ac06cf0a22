"""Tell what a reconciliation has found, and how far it has come."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from mien.domain.errors import InvalidInput

MAX_UNASKED = 10
MAX_UNASKED_SHARE = 0.01


class Phase(StrEnum):
    """What a pass looks through, in this order."""

    FACES = "faces"
    RECORDS = "records"
    UPLOADS = "uploads"
    PHOTOS = "photos"
    PEOPLE = "people"


PHASES = tuple(Phase)


@dataclass(slots=True)
class Counts:
    """What a pass found.

    Attributes:
        faces: Faces of this installation: those with metadata or its mark.
        foreign_faces: Faces without metadata and without this installation's mark.
        faces_without_metadata: Faces with the mark, but without metadata.
        metadata_without_face: FaceMetadata items whose face does not exist.
        faces_without_photo: Faces whose photo shows others now.
        photos_gone: Photos that do not exist, but of which a face or a state is left.
        photos_without_state: Photos that are neither indexed nor rejected, or whose faces are missing.
        photos_failed: Photos that could not be indexed, after all attempts.
        people_without_claim: People whose id or name nothing reserves, as an earlier version left them.
        faces_of_erased: Faces with the mark, but without metadata, of people who were forgotten.
        uploads_unlisted: Uploads of nobody that retention does not see, as an earlier version left them.
        people_miscounted: People whose number of faces is kept wrongly or, as by an earlier version, not at all.
    """

    faces: int = 0
    foreign_faces: int = 0
    faces_without_metadata: int = 0
    metadata_without_face: int = 0
    faces_without_photo: int = 0
    photos_gone: int = 0
    photos_without_state: int = 0
    photos_failed: int = 0
    people_without_claim: int = 0
    faces_of_erased: int = 0
    uploads_unlisted: int = 0
    people_miscounted: int = 0

    @property
    def removals(self) -> int:
        """How many things a repair would remove."""
        return self.faces_without_metadata + self.metadata_without_face + self.faces_without_photo + self.photos_gone

    @property
    def overdue(self) -> int:
        """How many things were promised and not done, which a run that finishes such things does in any case."""
        return self.faces_of_erased + self.uploads_unlisted

    @property
    def needs_repair(self) -> bool:
        """Whether a repair would change anything."""
        return bool(self.removals or self.photos_without_state or self.people_without_claim)

    @property
    def is_suspicious(self) -> bool:
        """Whether more would be removed than a run may without being asked: more than 10 things, or than 1 % of faces.

        A single thing is never too much, although it is more than 1 % of less than 100 faces.
        """
        return self.removals > min(MAX_UNASKED, max(1, MAX_UNASKED_SHARE * self.faces))


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """How far a run has come.

    Attributes:
        found: What was counted; complete once the first pass is done.
        is_repairing: Whether the first pass is done and the second, which removes, has begun.
        is_stopped: Whether nothing was removed because there is suspiciously much to remove.
        phase: The phase that goes on next, as its place in `PHASES`; their number when all is done.
        token: Where in that phase the next run goes on.
    """

    found: Counts = field(default_factory=Counts)
    is_repairing: bool = False
    is_stopped: bool = False
    phase: int = 0
    token: str | None = None

    @property
    def is_done(self) -> bool:
        return self.phase == len(PHASES)

    def to_json(self) -> str:
        """Return the text from which `from_json` makes the same progress, for the next run."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Reconciliation:
        """Read what `to_json` wrote. Raises InvalidInput for other text."""
        try:
            values = json.loads(text)
            return cls(**values | {"found": Counts(**values["found"])})
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidInput("This is not the progress of a reconciliation.") from error
