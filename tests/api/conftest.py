"""The REST API on the in-memory backend with a fake engine; events run when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from mien.api.api import create_api
from mien.app.app import FaceApp
from mien.app.group_ports import Grouping
from mien.backends.memory.bucket import MemoryBucket
from mien.backends.memory.catalog import MemoryCatalog
from mien.backends.memory.recognizer import MemoryRecognizer
from mien.domain.policy import Policy
from mien.settings import Settings
from tests.support.fake_engine import FakeFaceEngine


@dataclass
class Service:
    """A client of the API, and what lies behind it."""

    client: TestClient
    app: FaceApp
    waiting: list[str]

    def run_events(self) -> None:
        while self.waiting:
            self.app.index_upload(self.waiting.pop())

    def enroll(self, photo: bytes, user_id: str | None) -> dict[str, Any]:
        query = {} if user_id is None else {"user_id": user_id}
        answer = self.client.post("/upload", params=query, content=photo, headers=JPEG)
        assert answer.status_code == 202, answer.text
        self.run_events()
        state: dict[str, Any] = self.client.get(answer.headers["location"]).json()
        return state


JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture
def open_service(engine: FakeFaceEngine) -> Callable[..., Service]:
    def open_service(policy: Policy | None = None, settings: Settings | None = None, **more: Any) -> Service:
        waiting: list[str] = []
        grouping = Grouping(MemoryBucket(waiting.append), MemoryRecognizer(engine), MemoryCatalog())
        app = FaceApp(grouping.bucket, grouping.recognizer, grouping.catalog, policy, grouping=grouping)
        api = create_api(app, settings or Settings(), **more)
        return Service(TestClient(api, raise_server_exceptions=False), app, waiting)

    return open_service


@pytest.fixture
def service(open_service: Callable[..., Service]) -> Service:
    return open_service()
