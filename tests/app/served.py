"""A server that runs as a process of its own, and the command line on the same data folder."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.process import MIEN_ON_FAKE_ENGINE, wait_for

JPEG = {"Content-Type": "image/jpeg"}


@dataclass
class Served:
    process: subprocess.Popen[bytes]
    client: httpx.Client
    folder: Path

    def assert_sound(self) -> None:
        """Assert that the server holds locks on mien.db, and has no deleted file open."""
        inode = (self.folder / "mien.db").stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
        locks = [line.split() for line in lines if "->" not in line]  # an arrow is before one that waits
        assert any(int(lock[4]) == self.process.pid and lock[5].endswith(f":{inode}") for lock in locks)
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                assert "mien.db" not in (name := os.readlink(descriptor)) or "deleted" not in name

    def enroll(self, name: str, photo: bytes) -> str:
        answer = self.client.post("/upload", params={"user_id": name}, content=photo, headers=JPEG)
        assert answer.status_code == 202
        status = answer.headers["location"]
        wait_for(lambda: self.client.get(status).json()["status"] == "indexed")
        return str(answer.json()["image_path"])

    def mien(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        settings = os.environ | {"MIEN_DATA_DIR": str(self.folder)}
        return subprocess.run([*MIEN_ON_FAKE_ENGINE, *words], env=settings, capture_output=True, timeout=120)

    def answer(self, *words: str) -> dict[str, Any]:
        """Run a command that has to succeed, and return its JSON."""
        done = self.mien(*words, "--json")
        assert done.returncode == 0, (words[0], done.returncode, done.stderr)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
