"""What the flows share: people from the photos, uploaded through the public API."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.web.conftest import PATIENCE_SECONDS, Server


def several_photos(lfw: Path, count: int) -> list[Path]:
    """Folders of people who have several photos."""
    return [folder for folder in sorted(lfw.iterdir()) if folder.is_dir() and len(list(folder.iterdir())) > 2][:count]


def enrol(server: Server, name: str, *photos: Path) -> None:
    for photo in photos:
        query = urllib.parse.urlencode({"user_id": name})
        upload = call(server, f"/upload?{query}", photo.read_bytes())
        while upload["status"] == "pending":
            time.sleep(0.05)
            upload = call(server, "/uploads/" + urllib.parse.quote(upload["image_path"]))
        assert upload["status"] == "indexed", upload["reasons"]


def call(server: Server, route: str, photo: bytes | None = None) -> Any:
    request = urllib.request.Request(server.url + route, photo, {"Content-Type": "image/jpeg"} if photo else {})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return json.load(answer)
