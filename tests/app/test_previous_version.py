"""A data folder of the previous version opens and answers the same.

tests/data/previous_version was made by the code of commit 67f8cae with the fake engine, through its REST API:

    mien.sql      the dump of mien.db
    files.json    the other files of the data folder, in base64
    answers.json  requests and that version's answers; the photos of the requests, in base64; the faces of another
                  collection with a calibration of its own; the path of a photo that still waited to be indexed
"""

from __future__ import annotations

import json
import re
import sqlite3
from base64 import b64decode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mien.api.api import create_api
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.policy import Policy
from mien.domain.records import UploadStatus
from mien.settings import Settings
from tests.support.fake_engine import FakeFaceEngine

SAVED = Path(__file__).parents[1] / "data" / "previous_version"
ANSWERS = json.loads((SAVED / "answers.json").read_text("utf-8"))
NEW_WITH_EACH_REQUEST = {"recognition_id", "timestamp", "request_id"}
SENTENCES = {"evidence", "action", "detail"}
"""May be worded anew."""


nearly = partial(pytest.approx, abs=0.01)


@pytest.fixture
def backend(tmp_path: Path, engine: FakeFaceEngine) -> Iterator[EmbeddedBackend]:
    for name, content in json.loads((SAVED / "files.json").read_text("utf-8")).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b64decode(content))
    connection = sqlite3.connect(tmp_path / "mien.db")
    connection.executescript((SAVED / "mien.sql").read_text("utf-8"))
    connection.close()
    backend = EmbeddedBackend(tmp_path, "face-collection", Policy(), lambda: engine)
    with backend.app:
        yield backend


def without(value: Any, ignored: set[str], number: Callable[[float], Any] = float) -> Any:
    """JSON without the values of the ignored names; `number` is applied to each number with a point."""
    if isinstance(value, dict):
        return {name: without(part, ignored, number) for name, part in value.items() if name not in ignored}
    if isinstance(value, list):
        return [without(part, ignored, number) for part in value]
    return number(value) if isinstance(value, float) else value


def fields_of(old: Any, new: Any) -> Any:
    """The new JSON without the fields that the old one lacks: answers may gain fields, and cursors are opaque."""
    if isinstance(old, dict) and old.get("next_cursor") and new.get("next_cursor"):
        new = {**new, "next_cursor": old["next_cursor"]}
    if isinstance(old, dict) and isinstance(new, dict):
        return {name: fields_of(old[name], part) for name, part in new.items() if name in old}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [fields_of(*parts) for parts in zip(old, new, strict=True)]
    return new


def test_every_request_is_answered_as_before(backend: EmbeddedBackend) -> None:
    client = TestClient(create_api(backend.app, Settings(), signer=backend.signer))
    photos = {name: b64decode(content) for name, content in ANSWERS["probes"].items()}
    cursor = ""
    for request in ANSWERS["requests"]:
        photo = photos[request["probe"]] if request["probe"] else None
        path = re.sub("cursor=.*", f"cursor={cursor}", request["path"])  # each version has cursors of its own
        answer = client.request(request["method"], path, content=photo, headers={"Content-Type": "image/jpeg"})
        cursor = answer.json().get("next_cursor") or cursor
        ignored = SENTENCES | (NEW_WITH_EACH_REQUEST if photo or request["status"] != 200 else set())
        assert answer.status_code == request["status"], request["path"]
        body = fields_of(request["body"], answer.json())
        assert without(body, ignored) == without(request["body"], ignored, nearly), request["path"]


def test_what_was_begun_is_finished(backend: EmbeddedBackend) -> None:
    assert backend.app.upload_status(ANSWERS["pending"]).status is UploadStatus.PENDING
    assert backend.worker(threads=1).run_once()
    assert backend.app.upload_status(ANSWERS["pending"]).status is UploadStatus.INDEXED


def test_another_collection_keeps_its_calibration(backend: EmbeddedBackend, engine: FakeFaceEngine) -> None:
    (probe,) = engine.read(b64decode(ANSWERS["probes"]["robert"]))
    (matches,) = backend.gallery().search.faces("album", probe.embedding[None], threshold=0, limit=5)
    assert [match.similarity for match in matches] == pytest.approx(ANSWERS["album"]["similarities"], abs=0.01)
    assert [match.face.face_id for match in matches] == ANSWERS["album"]["face_ids"]
