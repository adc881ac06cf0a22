"""Write an audit entry for each operation of the wire API: its action, and what the entry tells of an answer.

A call is recorded once its caller is known, also when it then fails; a throttled one, and an operation that Mien does
not offer, do nothing and leave no entry. In accept-any mode anybody can claim any access key id, so none is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from mien.domain.errors import StorageError
from mien.domain.policy import MATCH_THRESHOLD
from mien.rekognition.access import Caller
from mien.rekognition.errors import WireError
from mien.security.audit import KEYLESS, Action, Activity, Audit

ACTIONS: dict[str, Action] = {
    "CreateCollection": Action.CONFIGURE,
    "DeleteCollection": Action.DELETE,
    "DescribeCollection": Action.READ,
    "ListCollections": Action.READ,
    "IndexFaces": Action.ENROLL,
    "ListFaces": Action.READ,
    "DeleteFaces": Action.DELETE,
    "SearchFaces": Action.RECOGNIZE,
    "SearchFacesByImage": Action.RECOGNIZE,
    "SearchUsers": Action.RECOGNIZE,
    "SearchUsersByImage": Action.RECOGNIZE,
    "CompareFaces": Action.COMPARE,
    "DetectFaces": Action.DETECT,
    "CreateUser": Action.ENROLL,
    "DeleteUser": Action.DELETE,
    "ListUsers": Action.READ,
    "AssociateFaces": Action.ASSIGN,
    "DisassociateFaces": Action.ASSIGN,
    "TagResource": Action.CONFIGURE,
    "UntagResource": Action.CONFIGURE,
    "ListTagsForResource": Action.READ,
}

_THRESHOLDS = ("FaceMatchThreshold", "UserMatchThreshold", "SimilarityThreshold")
_IMAGES = ("Image", "SourceImage", "TargetImage")
_COUNTS = {
    "FaceRecords": "faces",
    "UnindexedFaces": "refused",
    "FaceDetails": "faces",
    "FaceMatches": "matched",
    "UserMatches": "matched",
    "UnmatchedFaces": "unknown",
    "DeletedFaces": "faces",
    "AssociatedFaces": "faces",
    "DisassociatedFaces": "faces",
    "Faces": "listed",
    "Users": "listed",
    "CollectionIds": "listed",
}
"""What the lists of an answer count."""


@contextmanager
def recorded(audit: Audit, caller: Caller, operation: str) -> Iterator[Activity]:
    """Record what is done inside, and the code of the error that ends it. Raises StorageError when that fails."""
    if operation not in ACTIONS:
        yield Activity("", Action.READ)
        return
    actor = KEYLESS if caller.key_id is None else f"access key {caller.key_id}"
    activity = Activity(actor, ACTIONS[operation])
    try:
        yield activity
    except Exception as error:
        activity.fail(error)
        if isinstance(error, WireError):
            activity.outcome = error.code
        with suppress(StorageError):  # the error that came first is the answer
            audit.record(activity)
        raise
    audit.record(activity)


def note(activity: Activity, params: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Note what a call and its answer tell: counts, threshold, model version, and the users concerned."""
    activity.counts["photos"] = sum(name in params for name in _IMAGES)
    for name, counted in _COUNTS.items():
        activity.counts[counted] += len(answer.get(name, ()))
    activity.model = answer.get("FaceModelVersion")
    if activity.action in {Action.RECOGNIZE, Action.COMPARE}:
        activity.threshold = next((params[name] for name in _THRESHOLDS if name in params), MATCH_THRESHOLD)
    users = [match["User"] for match in answer.get("UserMatches", ())]
    if activity.action is Action.RECOGNIZE:
        users += [match["Face"] for match in answer.get("FaceMatches", ())]
    activity.user_ids |= {user["UserId"] for user in [params, *users] if "UserId" in user}
