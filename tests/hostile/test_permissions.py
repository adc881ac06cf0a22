"""Who may do what: every route with every key and every operation of the wire API with every kind of access key.

The tables are generated: the routes come from the application and their scopes from docs/rest-api.md, the operations
from docs/rekognition-coverage.md. A new route or operation is checked without a word here, and fails while the
documents do not say who may use it.
"""

from __future__ import annotations

import base64
import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape
from fastapi import APIRouter
from starlette.routing import Mount, Route

import mien.api.routes
from mien.api.api import create_api
from mien.app.app import FaceApp
from mien.backends.memory.bucket import MemoryBucket
from mien.backends.memory.catalog import MemoryCatalog
from mien.rekognition.parsing import operation_model
from mien.security.api_keys import Scope
from mien.settings import Settings
from tests.hostile.target import Answer, Target, rest, wire
from tests.support.painter import photo_of

DOCS = Path(__file__).parents[2] / "docs"
NO_KEY = "none"
ENTRY = re.compile(r"`(?:(?P<method>[A-Z]+) )?(?P<path>/[^`]*)`(?: \(not `(?P<other>[A-Z]+)`\))?")
WRONG_KEY = "mien_00000000_" + "a" * 43


def routes() -> Iterator[tuple[str, str]]:
    """Method and path of all that the server of one machine answers, whether OpenAPI tells of it or not."""
    recognizer: Any = None
    api = create_api(FaceApp(MemoryBucket(), recognizer, MemoryCatalog()), Settings(), forms=True)
    included = [route for router in _routers() for route in router.routes]
    for route in [*api.routes, *included]:
        if isinstance(route, Mount):
            yield "GET", route.path
        elif isinstance(route, Route):
            yield from ((method, route.path) for method in sorted(route.methods or ()) if method != "HEAD")


def _routers() -> Iterator[APIRouter]:
    for module in pkgutil.iter_modules(mien.api.routes.__path__):
        members = vars(importlib.import_module(f"mien.api.routes.{module.name}")).values()
        yield from (member for member in members if isinstance(member, APIRouter))


def documented_scopes(method: str, path: str) -> set[str]:
    """The scopes that docs/rest-api.md names for a route: one, or the document is wrong."""
    text = (DOCS / "rest-api.md").read_text("utf-8")
    rows = re.findall(r"^\| (`?\w+`?) \| (.*) \|$", text[text.index("| scope | routes |") :], re.MULTILINE)
    found: dict[int, set[str]] = {}
    for scope, entries in rows:
        for entry in ENTRY.finditer(entries):
            if path != entry["path"] and not path.startswith(entry["path"].rstrip("/") + "/"):
                continue
            if path != "/" and entry["path"] == "/":
                continue
            if entry["method"] in (None, method) and entry["other"] != method:
                found.setdefault(len(entry["path"]), set()).add(scope.strip("`"))
    return found[max(found)] if found else set()


ROUTES = sorted(set(routes()))


def ask(target: Target, method: str, path: str, key: str | None) -> Answer:
    query = b"user_id=x&unnamed=true&image_path=uploaded/x/x.jpg"
    return target.ask(rest(method, re.sub("{.*?}", "x", path), key=key, query=query, body=b"{}"))


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_has_one_documented_scope(method: str, path: str) -> None:
    (scope,) = documented_scopes(method, path) or {f"docs/rest-api.md does not name the scope of {method} {path}"}
    assert scope in {*Scope, NO_KEY}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_route_takes_the_keys_that_the_document_names_and_no_others(target: Target, method: str, path: str) -> None:
    (scope,), before = documented_scopes(method, path), target.stored()
    for name in ("missing", "wrong", "revoked"):
        key = {"missing": None, "wrong": WRONG_KEY}.get(name, target.keys["revoked"])
        answer = ask(target, method, path, key)
        if scope == NO_KEY:
            assert answer.status not in {401, 403}, (name, answer)
        else:
            assert answer.status == 401, (name, answer)
    for name in Scope:
        answer = ask(target, method, path, target.keys[name])
        if scope in {NO_KEY, name}:
            assert answer.status not in {401, 403}, (name, answer)
        else:
            assert answer.status == 403, (name, answer)
    assert ask(target, method, path, target.keys["all"]).status not in {401, 403}
    assert target.stored() == before


OPERATIONS = re.findall(r"^## (\w+)\n\n\| in ", (DOCS / "rekognition-coverage.md").read_text("utf-8"), re.MULTILINE)
DENIED = {
    "missing": "MissingAuthenticationTokenException",
    "unknown": "UnrecognizedClientException",
    "wrong": "InvalidSignatureException",
    "revoked": "UnrecognizedClientException",
    "other-operation": "AccessDeniedException",
    "other-collection": "AccessDeniedException",
}
ENTRIES = {
    "ADMIN": {"secret": "admin's", "identity": "admin"},
    "OTHER-OPERATION": {"secret": "s", "identity": "o", "operations": ["Nothing*"]},
    "OTHER-COLLECTION": {"secret": "s", "identity": "c", "collections": ["elsewhere"]},
    "REVOKED": {"secret": "s", "identity": "r"},
}
ALWAYS_ALLOWED = {"CompareFaces", "DetectFaces"}
"""They name no collection."""


def sample(shape: Shape, name: str = "") -> Any:
    """The smallest valid value of a shape; about a collection that does not exist."""
    if isinstance(shape, StructureShape):
        if shape.name == "Image":
            return {"Bytes": base64.b64encode(photo_of("Ada")).decode()}
        wanted = [*shape.required_members, *(["FaceId"] if shape.name == "SearchUsersRequest" else [])]
        return {member: sample(shape.members[member], member) for member in wanted}
    if isinstance(shape, ListShape):
        return [sample(shape.member, name)]
    if isinstance(shape, MapShape):
        return {"tag": "value"}
    special = {"ResourceArn": "arn:aws:rekognition:eu-west-1:123456789012:collection/absent", "CollectionId": "absent"}
    if name in special:
        return special[name]
    return "00000000-0000-0000-0000-000000000000" if name.startswith("FaceId") else "x"


def code(answer: Answer) -> str:
    return "" if answer.status == 200 else str(json.loads(answer.body)["__type"])


def test_there_are_operations() -> None:
    assert len(OPERATIONS) == 21


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_takes_the_access_keys_that_allow_it_and_no_others(target: Target, operation: str) -> None:
    body = json.dumps(sample(operation_model(operation).input_shape)).encode()
    target.write_access_keys(ENTRIES)
    assert code(target.ask(wire(operation, body, "REVOKED", "s"))) not in DENIED.values()
    target.write_access_keys({name: entry for name, entry in ENTRIES.items() if name != "REVOKED"})
    before = target.stored()
    answers = {
        "missing": target.ask(wire(operation, body, None)),
        "unknown": target.ask(wire(operation, body, "NOBODY", "s")),
        "wrong": target.ask(wire(operation, body, "ADMIN", "guess")),
        "revoked": target.ask(wire(operation, body, "REVOKED", "s")),
        "other-operation": target.ask(wire(operation, body, "OTHER-OPERATION", "s")),
    }
    if operation not in ALWAYS_ALLOWED:
        answers["other-collection"] = target.ask(wire(operation, body, "OTHER-COLLECTION", "s"))
    assert {name: code(answer) for name, answer in answers.items()} == {name: DENIED[name] for name in answers}
    assert target.stored() == before
    assert code(target.ask(wire(operation, body, "ADMIN", "admin's"))) not in DENIED.values()
