"""Define the audit log: who did what, when, with which model and threshold, with what outcome.

An edge (the REST API, the wire API, the command line, the worker) opens an `Activity` for its caller, notes what the
application answered, and hands it to the `Audit` of its composition root. An entry holds no name, photo, embedding,
key or path. People are named by pseudonyms: HMACs of their ids with the installation's secret, the same for the same
person in all entries, and nobody without the secret can guess whose they are.
"""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from mien.domain.errors import InvalidInput, MienError
from mien.domain.faces import Page
from mien.domain.results import Expiry
from mien.security.audit_facts import facts_of
from mien.security.signing import Signer

COMMAND_LINE = "command line"
KEYLESS = "nobody in particular"
"""A caller of a server that asks for no keys."""

UPLOAD_FORM_HOLDER = "upload form"
WORKER = "worker"
RETENTION = "retention"

DONE = "done"
ACCEPTED = "accepted"
INTERNAL_ERROR = "internal_error"

log = logging.getLogger(__name__)
_lines = logging.getLogger("mien.audit")


class Action(StrEnum):
    """What was done."""

    UPLOAD = "upload"
    ENROLL = "enroll"
    RECOGNIZE = "recognize"
    DETECT = "detect"
    COMPARE = "compare"
    READ = "read"
    MOVE = "move"
    ASSIGN = "assign"
    REJECT = "reject"
    UNDO_REJECTION = "undo_rejection"
    CHANGE_PERSON = "change_person"
    MERGE = "merge"
    DISCOVER = "discover"
    CHANGE_GROUP = "change_group"
    NAME_GROUP = "name_group"
    UNMERGE = "unmerge"
    DELETE = "delete"
    ERASE = "erase"
    VERIFY_ERASED = "verify_erased"
    INSPECT = "inspect"
    REPAIR = "repair"
    CALIBRATE = "calibrate"
    CREATE_KEY = "create_key"
    REVOKE_KEY = "revoke_key"
    CONFIGURE = "configure"
    AUDIT = "audit"
    EXPIRE = "expire"
    BACK_UP = "back_up"
    RESTORE = "restore"


@dataclass(slots=True)
class Activity:
    """What one caller does in one request, operation or command, while it goes on.

    Attributes:
        actor: The caller: `key <id>`, `access key <id>`, or one of the constants of this module.
        action: What the caller does.
        outcome: `done`, `accepted` for what goes on after the answer, or the code of the error with which it ended.
        threshold: The similarity from which faces matched, 0 to 100; None where nothing was matched.
        model: The version of the model, where the edge knows it.
        key_id: The API key that was created or revoked.
        counts: How many photos, faces, matches and so on.
        user_ids: The people concerned. Only their pseudonyms are written.
    """

    actor: str
    action: Action
    outcome: str = DONE
    threshold: float | None = None
    model: str | None = None
    key_id: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    user_ids: set[str] = field(default_factory=set)

    def note(self, answer: object) -> None:
        """Count what an answer of the application holds, and remember whom it names."""
        facts = facts_of(answer)
        self.counts.update(facts.counts)
        self.user_ids |= facts.user_ids
        if facts.threshold is not None:
            self.threshold = facts.threshold

    def concern(self, user_id: str | None) -> None:
        """Remember that the person is concerned; None is nobody."""
        if user_id is not None:
            self.user_ids.add(user_id)

    def fail(self, error: BaseException) -> None:
        """Set the outcome to the code of an error."""
        self.outcome = error.code if isinstance(error, MienError) else INTERNAL_ERROR

    def facts(self, signer: Signer | None) -> dict[str, Any]:
        """Return the content of the entry; without a signer, it names nobody."""
        return {
            "actor": self.actor,
            "action": self.action.value,
            "outcome": self.outcome,
            "model": self.model,
            "threshold": self.threshold,
            "key_id": self.key_id,
            "counts": {name: count for name, count in sorted(self.counts.items()) if count},
            "persons": sorted(pseudonym(signer, user_id) for user_id in self.user_ids) if signer else [],
        }


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry of the log; the fields of `Activity`, and its place in the chain.

    Attributes:
        sequence: Its number, counted from 1 without a gap.
        time: When it was written, ISO 8601 in UTC.
        persons: The pseudonyms of the people concerned.
        previous: The SHA-256 of the entry before, in hexadecimal digits.
    """

    sequence: int
    time: str
    actor: str
    action: str
    outcome: str
    model: str | None
    threshold: float | None
    key_id: str | None
    counts: Mapping[str, int]
    persons: tuple[str, ...]
    previous: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries to list; None accepts any.

    Attributes:
        since: Entries from this time on; aware.
        until: Entries before this time; aware.
        action: Entries of this action.
        actor: Entries of this caller.
        user_ids: Entries that concern the person of one of these ids; empty accepts any.
    """

    since: datetime | None = None
    until: datetime | None = None
    action: str | None = None
    actor: str | None = None
    user_ids: tuple[str, ...] = ()


class Audit(Protocol):
    """The audit log of an installation; may be used from several threads at once."""

    def record(self, activity: Activity) -> None:
        """Write an entry; once this returns, it survives the death of the process. Raises StorageError leaves."""

    def find(self, wanted: AuditFilter, limit: int, token: str | None) -> Page[AuditEntry]:
        """List entries, newest first.

        Args:
            wanted: Which entries.
            limit: How many at most.
            token: The `next_token` of the page before; None for the first.

        Raises InvalidInput for a token of another listing, and where the log is kept elsewhere.
        """


class LogLines:
    """Writes each entry as one structured line to the logger `mien.audit`; on AWS, CloudWatch keeps those lines.

    The lines are not chained: several functions write them at once, and CloudWatch lets nobody edit a line.
    """

    def __init__(self, signer: Signer | None = None, model: str | None = None) -> None:
        """`signer` makes the pseudonyms; without one, entries name nobody. `model` stands in every entry."""
        self._signer, self._model = signer, model

    def record(self, activity: Activity) -> None:
        _lines.info("audit", extra={"audit": activity.facts(self._signer) | {"model": activity.model or self._model}})

    def find(self, wanted: AuditFilter, limit: int, token: str | None) -> Page[AuditEntry]:
        raise InvalidInput("Here, the audit log is kept in the service's own log: on AWS, in CloudWatch.")


def pseudonym(signer: Signer, user_id: str) -> str:
    """Return the HMAC that stands for a person in the audit log, 32 hexadecimal digits."""
    return signer.mac("person of the audit log", unicodedata.normalize("NFC", user_id.strip()).encode()).hex()


def expiry_activities(expiry: Expiry) -> list[Activity]:
    """Return what retention did as activities: the removal as a whole, and the erasure of each person."""
    whole = Activity(RETENTION, Action.EXPIRE)
    whole.counts.update(recognitions=expiry.recognitions, photos=expiry.photos, people=len(expiry.receipts))
    erasures = []
    for receipt in expiry.receipts:
        erasure = Activity(RETENTION, Action.ERASE)
        erasure.note(receipt)
        erasures.append(erasure)
    return [whole, *erasures] if whole.counts.total() else []
