"""A real server on loopback and a real browser; both are skipped where Chromium is not installed.

Patience is long: it costs nothing where all is well, and a busy machine may be ten times slower.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium")
PATIENCE_SECONDS = 120
playwright.expect.set_options(timeout=PATIENCE_SECONDS * 1000)
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)


@dataclass
class Server:
    """`mien serve` on a folder and a port that stay the same when it is stopped and started again."""

    folder: Path
    port: int
    keys: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        environment = {**os.environ, "MIEN_DATA_DIR": str(self.folder)}
        if self.keys:
            environment["MIEN_API_KEYS_FILE"] = str(self.keys)
        command = [sys.executable, "-m", "mien", "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(PATIENCE_SECONDS)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=PATIENCE_SECONDS) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "data", free_port())
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[playwright.Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as tool:
        # No sandbox: tests run as root in containers.
        browser = tool.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=list(QUIET))
        yield browser
        browser.close()


def new_page(browser: playwright.Browser, server: Server, **options: Any) -> playwright.Page:
    page = browser.new_context(base_url=server.url, **options).new_page()
    page.set_default_timeout(PATIENCE_SECONDS * 1000)
    return page


@pytest.fixture
def page(chromium: playwright.Browser, server: Server) -> Iterator[playwright.Page]:
    """The page at 1440 x 900; a script error, or a request to another host, fails the test."""
    view = new_page(chromium, server, viewport={"width": 1440, "height": 900})
    troubles: list[str] = []
    view.on("pageerror", lambda error: troubles.append(str(error)))
    view.on(
        "request",
        lambda request: request.url.startswith((server.url, "blob:", "data:")) or troubles.append(request.url),
    )
    yield view
    view.context.close()
    assert troubles == []
