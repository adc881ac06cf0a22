"""Make the screenshots of the page in docs/images: `python -m docs.screenshots`. Needs Chromium and Playwright.

The people in them are those of `mien demo`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from platformdirs import user_cache_path
from playwright.sync_api import Browser, expect, sync_playwright

from mien.demo.photos import demo_photos
from tests.support.process import MIEN, free_port, serve
from tests.web.conftest import CHROMIUM, QUIET, Server
from tests.web.people import call, enrol

IMAGES = Path(__file__).parent / "images"
ENROLLED = {"Barack Obama": ("obama.jpg", "obama2.jpg"), "Joe Biden": ("biden.jpg",)}
DESKTOP, PHONE = (1440, 900), (360, 740)
PICTURES = (  # file, view, what to wait for, size, colours
    ("recognise-light-1440", "", ".card .box", DESKTOP, "light"),
    ("people-dark-1440", "people", ".tile canvas", DESKTOP, "dark"),
    ("person-light-360", "person/Barack%20Obama", ".tile canvas", PHONE, "light"),
    ("history-light-1440", "history", ".timeline canvas", DESKTOP, "light"),
    ("settings-light-1440", "settings", ".curve", DESKTOP, "light"),
)
SHOWN = ("obama3.jpg", "biden.jpg")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    photos = demo_photos(user_cache_path("mien") / "demo")[0].parent
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as tool:
        server = Server(Path(folder) / "data", free_port())
        server.process = serve(server.folder, server.port, mien=MIEN)
        try:
            for name, files in ENROLLED.items():
                enrol(server, name, *(photos / file for file in files), user_id=name)
            for file in SHOWN:
                call(server, "/recognize", (photos / file).read_bytes())
            browser = tool.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=list(QUIET))
            for picture in PICTURES:
                _take(browser, server.url, photos, *picture)
        finally:
            server.stop()


def _take(
    browser: Browser, url: str, photos: Path, name: str, view: str, shown: str, size: tuple[int, int], colours: str
) -> None:
    width, height = size
    page = browser.new_page(base_url=url, viewport={"width": width, "height": height}, color_scheme=colours)
    page.goto(f"/#/{view}")
    if not view:
        page.set_input_files("#photos", photos / SHOWN[0])
    expect(page.locator(shown).first).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / f"{name}.jpg", type="jpeg", quality=88)
    page.close()


if __name__ == "__main__":
    main()
