"""A real server on loopback and a real browser; skipped where Chromium is not installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import painter
from tests.support.process import PATIENCE_SECONDS, free_port, serve

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium")
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
    """`mien serve` on the fake engine; folder and port stay the same when it is stopped and started again."""

    folder: Path
    port: int
    keys: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = serve(self.folder, self.port, {"MIEN_API_KEYS_FILE": str(self.keys)} if self.keys else {})

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(PATIENCE_SECONDS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "data", free_port())
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of painted photos that a browser can choose."""
    folder = tmp_path_factory.mktemp("painted")
    painter.write_people(folder, ["Ada", "Grace"], photos=3)
    for name, people in (("nobody", ()), ("couple", ("Edith", "Hedy")), ("eight", range(20, 28))):
        (folder / f"{name}.jpg").write_bytes(painter.photo_of(*people))
    return folder


@pytest.fixture(scope="session")
def ada(painted: Path) -> list[Path]:
    """Three photos of one person."""
    return sorted((painted / "Ada").iterdir())


@pytest.fixture(scope="session")
def grace(painted: Path) -> list[Path]:
    """Three photos of another."""
    return sorted((painted / "Grace").iterdir())


@pytest.fixture(scope="session")
def couple(painted: Path) -> Path:
    """A photo of two strangers."""
    return painted / "couple.jpg"


@pytest.fixture(scope="session")
def eight(painted: Path) -> Path:
    """A photo of eight strangers."""
    return painted / "eight.jpg"


@pytest.fixture(scope="session")
def nobody(painted: Path) -> Path:
    """A photo without a face."""
    return painted / "nobody.jpg"


@pytest.fixture(scope="session")
def chromium() -> Iterator[playwright.Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as tool:
        # No sandbox: tests run as root in containers.
        browser = tool.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=list(QUIET))
        yield browser
        browser.close()


KEEP_TOASTS = """
const setUsualTimeout = window.setTimeout;
window.setTimeout = (call, milliseconds, ...more) =>
  setUsualTimeout(call, milliseconds >= 5000 ? 600_000 : milliseconds, ...more);
"""
"""What the page says goes again after five seconds, in which a busy machine may not get to look at it."""


def new_page(browser: playwright.Browser, server: Server, **options: Any) -> playwright.Page:
    page = browser.new_context(base_url=server.url, **options).new_page()
    page.add_init_script(KEEP_TOASTS)
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
