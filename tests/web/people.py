"""What the flows share: people, uploaded through the public API."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.process import PATIENCE_SECONDS
from tests.web.conftest import Server


def enrol(server: Server, name: str, *photos: Path, user_id: str | None = None) -> str:
    """Upload photos of the person of a name, and return their user id: the given one, or one that the server makes."""
    person = {"name": name} | ({"user_id": user_id} if user_id else {})
    user_ids: set[str] = set()
    for photo in photos:
        query = urllib.parse.urlencode(person)
        upload = call(server, f"/upload?{query}", photo.read_bytes())
        while upload["status"] == "pending":
            time.sleep(0.05)
            upload = call(server, "/uploads/" + urllib.parse.quote(upload["image_path"]))
        assert upload["status"] == "indexed", upload["reasons"]
        user_ids.add(upload["user_id"])
    (enrolled,) = user_ids
    return enrolled


def post(server: Server, route: str, fields: dict[str, str]) -> Any:
    body, headers = json.dumps(fields).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(server.url + route, body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return json.load(answer)


def call(server: Server, route: str, photo: bytes | None = None) -> Any:
    request = urllib.request.Request(server.url + route, photo, {"Content-Type": "image/jpeg"} if photo else {})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return json.load(answer)
