"""Each route that changes, searches or reads something of somebody leaves an entry that says who did what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from fastapi.routing import APIRoute, APIRouter

from mien.api import routes
from mien.api.audit import ACTIONS, EXEMPT, AuditedRoute
from mien.backends.embedded.audit import SqliteAudit
from mien.gallery.store.database import Database
from mien.security.api_keys import KeyFile, Scope, key_id_of
from mien.security.audit import AuditEntry, AuditFilter, pseudonym
from mien.security.signing import UPLOAD_FORM, UPLOAD_FORM_ISSUER, Signer
from mien.settings import Settings
from tests.api.conftest import JPEG, Service

SIGNER = Signer(b"0123456789abcdef")


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[SqliteAudit]:
    database = Database(tmp_path / "mien.db")
    yield SqliteAudit(database, SIGNER, lambda: "model-1")
    database.close()


@pytest.fixture
def audited(open_service: Callable[..., Service], audit: SqliteAudit) -> Service:
    return open_service(audit=audit, signer=SIGNER, forms=True)


def entries(audit: SqliteAudit) -> list[AuditEntry]:
    """All entries, oldest first."""
    return list(reversed(audit.find(AuditFilter(), 1000, None).items))


def _routes() -> list[APIRoute]:
    """The routes of every router in the modules of mien.api.routes."""
    modules = [import_module(f"{routes.__name__}.{found.name}") for found in iter_modules(routes.__path__)]
    routers = {
        id(value): value for module in modules for value in vars(module).values() if isinstance(value, APIRouter)
    }
    return [route for router in routers.values() for route in router.routes if isinstance(route, APIRoute)]


ROUTES = _routes()


def test_every_route_has_an_action_or_a_reason_for_none() -> None:
    names = {route.name for route in ROUTES}
    assert names == ACTIONS.keys() | EXEMPT.keys()
    assert not ACTIONS.keys() & EXEMPT.keys()
    assert {route.name for route in ROUTES if not isinstance(route, AuditedRoute)} <= EXEMPT.keys()


def test_every_route_writes_one_entry_whatever_comes_of_it(
    audited: Service, audit: SqliteAudit, robert: list[bytes]
) -> None:
    audited.enroll(robert[0], "Robert")
    for route in ROUTES:
        if route.name in EXEMPT or route.name == "receive":  # which has a test of its own
            continue
        before = len(entries(audit))
        path = re.sub(r"\{[^}]*\}", "Robert", route.path)
        for method in route.methods - {"HEAD"}:
            body = {"content": robert[1], "headers": JPEG} if method == "POST" else {}
            audited.client.request(method, path, params={"user_id": "Robert"}, **body)  # type: ignore[arg-type]
            assert len(entries(audit)) == before + 1, route.name
            assert entries(audit)[-1].action == ACTIONS[route.name].value


def test_an_exempt_route_writes_none(audited: Service, audit: SqliteAudit) -> None:
    for path in ("/health", "/metrics", "/calibration", "/", "/uploads/uploaded/Robert/a.jpg", "/openapi.json"):
        audited.client.get(path)
    assert entries(audit) == []


def test_a_recognition_says_with_which_model_threshold_and_outcome(
    audited: Service, audit: SqliteAudit, robert: list[bytes]
) -> None:
    audited.enroll(robert[0], "Robert")
    audited.client.post("/recognize?threshold=85", content=robert[1], headers=JPEG)
    upload, recognition = entries(audit)
    assert (upload.action, upload.counts, upload.persons) == ("upload", {"photos": 1}, (pseudonym(SIGNER, "Robert"),))
    assert (recognition.actor, recognition.action, recognition.outcome) == ("nobody in particular", "recognize", "done")
    assert (recognition.model, recognition.threshold) == ("model-1", 85.0)
    assert recognition.counts == {"faces": 1, "matched": 1, "photos": 1}
    assert recognition.persons == (pseudonym(SIGNER, "Robert"),)


def test_an_erasure_leaves_its_entry_and_not_the_name(
    audited: Service, audit: SqliteAudit, robert: list[bytes], tmp_path: Path
) -> None:
    audited.enroll(robert[0], "Robert Smith")
    assert audited.client.delete("/users/Robert Smith").status_code == 200
    erasure = entries(audit)[-1]
    assert (erasure.action, erasure.outcome, erasure.counts) == ("erase", "done", {"faces": 1, "photos": 1})
    assert erasure.persons == (pseudonym(SIGNER, "Robert Smith"),)
    found = audited.client.get("/audit", params={"user_id": "Robert Smith", "action": "erase"}).json()["entries"]
    assert [entry["sequence"] for entry in found] == [erasure.sequence]
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert not any(private in stored for private in (b"Robert", b"Smith", b"uploaded/", b".jpg"))


def test_a_person_is_found_by_name(audited: Service, audit: SqliteAudit, robert: list[bytes]) -> None:
    audited.client.post("/upload", params={"user_id": "r1", "name": "Robert Smith"}, content=robert[0], headers=JPEG)
    for text in ("Robert Smith", "r1"):
        found = audited.client.get("/audit", params={"person": text, "action": "upload"}).json()["entries"]
        assert [entry["persons"] for entry in found] == [[pseudonym(SIGNER, "r1")]]
    assert pseudonym(SIGNER, "r1") in entries(audit)[-1].persons
    assert audited.client.get("/audit", params={"person": "Nobody"}).json()["entries"] == []
    assert audited.client.get("/audit", params={"person": "r1", "user_id": "r1"}).status_code == 422


@pytest.mark.parametrize(
    ("path", "outcome"),
    [("/users/Nobody", "user_not_found"), ("/faces/none", "face_not_found"), ("/faces?limit=0", "invalid_input")],
)
def test_a_failure_is_recorded_by_its_code(audited: Service, audit: SqliteAudit, path: str, outcome: str) -> None:
    audited.client.get(path)
    assert [entry.outcome for entry in entries(audit)] == [outcome]


def test_a_photo_sent_with_a_form_is_recorded(audited: Service, audit: SqliteAudit, robert: list[bytes]) -> None:
    form = audited.client.post("/uploads", json={"user_id": "Robert", "content_type": "image/jpeg"}).json()
    audited.client.post("/bucket", data={"policy": "forged"}, files={"file": robert[0]})
    signed = SIGNER.sign(UPLOAD_FORM, {"key": form["image_path"], "type": "image/jpeg", "bytes": 10**7}, 60)
    issuer = SIGNER.sign(UPLOAD_FORM_ISSUER, {"key": form["image_path"], "key_id": None}, 60)
    data = {"key": form["image_path"], "policy": signed, "issuer": issuer}
    assert audited.client.post("/bucket", data=data, files={"file": robert[0]}).status_code == 204
    assert [(entry.actor, entry.action) for entry in entries(audit)] == [
        ("nobody in particular", "upload"),
        ("upload form", "upload"),
    ]


def test_the_caller_is_the_id_of_the_key(
    open_service: Callable[..., Service], audit: SqliteAudit, tmp_path: Path
) -> None:
    file = KeyFile(tmp_path / "keys" / "keys.json")
    manager, door = file.create("office", list(Scope)), file.create("door", [Scope.UPLOAD])
    settings = Settings(api_keys_file=tmp_path / "keys" / "keys.json")
    client = open_service(settings=settings, audit=audit, signer=SIGNER).client
    assert client.get("/users", headers={"X-Api-Key": manager}).status_code == 200
    assert client.get("/users", headers={"X-Api-Key": door}).status_code == 403
    assert client.get("/audit", headers={"X-Api-Key": door}).status_code == 403
    assert client.get("/users", headers={"X-Api-Key": "mien_00000000_" + "x" * 43}).status_code == 401
    assert client.get("/users").status_code == 401
    assert [(entry.actor, entry.action, entry.outcome) for entry in entries(audit)] == [
        (f"key {key_id_of(manager)}", "read", "done"),
        (f"key {key_id_of(door)}", "read", "access_denied"),
        (f"key {key_id_of(door)}", "audit", "access_denied"),
    ]
    secrets = [key.split("_", 2)[2].encode() for key in (manager, door)]
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert not any(secret in stored for secret in [*secrets, b"office", b"door"])


def test_the_log_is_listed_in_pages(audited: Service) -> None:
    for _ in range(5):
        audited.client.get("/users")
    first = audited.client.get("/audit", params={"limit": 3, "action": "read"}).json()
    rest = audited.client.get("/audit", params={"limit": 3, "action": "read", "cursor": first["next_cursor"]}).json()
    assert [entry["sequence"] for entry in [*first["entries"], *rest["entries"]]] == [5, 4, 3, 2, 1]
    assert rest["next_cursor"] is None
    other = audited.client.get("/audit", params={"limit": 3, "cursor": first["next_cursor"]})
    assert other.status_code == 422


def test_an_api_without_a_log_of_its_own_says_where_the_entries_are(service: Service) -> None:
    answer = service.client.get("/audit")
    assert answer.status_code == 422
    assert "CloudWatch" in answer.json()["detail"]
