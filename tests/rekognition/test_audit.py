"""Each operation of the wire API leaves an entry in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import get_session

from mien.backends.embedded.audit import SqliteAudit
from mien.gallery.store.database import Database
from mien.rekognition.access import AccessKey
from mien.rekognition.audit import ACTIONS
from mien.rekognition.operations import OPERATIONS
from mien.rekognition.settings import WireSettings
from mien.security.audit import AuditEntry, AuditFilter, pseudonym
from mien.security.signing import Signer
from tests.support.painter import photos_of

SIGNER = Signer(b"0123456789abcdef")
KEYS = {"ADMIN": AccessKey("admin", "s1"), "GATE": AccessKey("gate", "s2", operations=("Search*",))}
COLLECTION = "people"
FACE_ID = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def audit(tmp_path: Path) -> SqliteAudit:
    return SqliteAudit(Database(tmp_path / "mien.db"), SIGNER, lambda: None)


@pytest.fixture
def admin(serve: Callable[..., Any], audit: SqliteAudit) -> Any:
    return serve(WireSettings(keys=KEYS), audit=audit).client("ADMIN", "s1")


def entries(audit: SqliteAudit) -> list[AuditEntry]:
    """All entries, oldest first."""
    return list(reversed(audit.find(AuditFilter(), 1000, None).items))


def parameters(operation: str, photo: bytes) -> dict[str, Any]:
    """Parameters that pass validation, whatever comes of them."""
    shape = get_session().get_service_model("rekognition").operation_model(operation).input_shape
    values: dict[str, Any] = {
        "CollectionId": COLLECTION,
        "UserId": "Robert",
        "FaceId": FACE_ID,
        "FaceIds": [FACE_ID],
        "ResourceArn": f"arn:aws:rekognition:eu-west-1:123456789012:collection/{COLLECTION}",
        "Tags": {"a": "b"},
        "TagKeys": ["a"],
        **{name: {"Bytes": photo} for name in ("Image", "SourceImage", "TargetImage")},
    }
    names = {*shape.required_members, *({"FaceId"} if operation == "SearchUsers" else ())}
    return {name: values[name] for name in names}


def snake(operation: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")


def test_every_operation_has_an_action() -> None:
    assert ACTIONS.keys() == OPERATIONS.keys()


def test_every_operation_writes_one_entry_whatever_comes_of_it(admin: Any, audit: SqliteAudit) -> None:
    photo = photos_of("Robert")[0]
    for operation in OPERATIONS:
        before = len(entries(audit))
        with suppress(ClientError):
            getattr(admin, snake(operation))(**parameters(operation, photo))
        (entry,) = entries(audit)[before:]
        assert (entry.actor, entry.action) == ("access key ADMIN", ACTIONS[operation].value), operation


def test_a_search_says_whom_it_found_with_which_model_and_threshold(
    admin: Any, audit: SqliteAudit, tmp_path: Path
) -> None:
    first, second, *_ = photos_of("Robert")
    admin.create_collection(CollectionId=COLLECTION)
    face = admin.index_faces(CollectionId=COLLECTION, Image={"Bytes": first}, ExternalImageId="Robert-1.jpg")
    admin.create_user(CollectionId=COLLECTION, UserId="Robert")
    face_ids = [record["Face"]["FaceId"] for record in face["FaceRecords"]]
    admin.associate_faces(CollectionId=COLLECTION, UserId="Robert", FaceIds=face_ids)
    found = admin.search_users_by_image(CollectionId=COLLECTION, Image={"Bytes": second}, UserMatchThreshold=70)
    _, indexed, *_, search = entries(audit)
    assert (indexed.action, indexed.counts) == ("enroll", {"faces": 1, "photos": 1})
    assert (search.action, search.threshold, search.model) == ("recognize", 70.0, found["FaceModelVersion"])
    assert search.counts == {"matched": 1, "photos": 1}
    assert search.persons == (pseudonym(SIGNER, "Robert"),)
    assert audit.breaks() == []
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert not any(private in stored for private in (b"Robert", b".jpg", b"admin"))


def test_a_refusal_is_recorded_and_a_forged_signature_is_not(serve: Callable[..., Any], audit: SqliteAudit) -> None:
    server = serve(WireSettings(keys=KEYS), audit=audit)
    with pytest.raises(ClientError):
        server.client("GATE", "s2").list_faces(CollectionId=COLLECTION)
    for key, secret in (("GATE", "wrong"), ("UNKNOWN", "s2")):
        with pytest.raises(ClientError):
            server.client(key, secret).search_faces(CollectionId=COLLECTION, FaceId=FACE_ID)
    assert [(entry.actor, entry.action, entry.outcome) for entry in entries(audit)] == [
        ("access key GATE", "read", "AccessDeniedException")
    ]


def test_a_claimed_access_key_is_not_written(serve: Callable[..., Any], audit: SqliteAudit) -> None:
    serve(audit=audit).client("Robert").list_collections()
    assert [entry.actor for entry in entries(audit)] == ["nobody in particular"]
