"""Make the screenshots of the page in docs/images: `python -m docs.screenshots`. Needs Chromium, Playwright and ffmpeg.

The people in them are those of `mien demo`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from platformdirs import user_cache_path
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.page import CAMERA, make_camera
from mien.demo.photos import demo_photos
from tests.support.process import MIEN, free_port, serve
from tests.web.conftest import CHROMIUM, QUIET, Server
from tests.web.people import call, enrol

IMAGES = Path(__file__).parent / "images"
ENROLLED = {"Barack Obama": ("obama.jpg", "obama2.jpg"), "Joe Biden": ("biden.jpg",)}
DESKTOP, PHONE = (1440, 900), (360, 740)
SHOWN = ("obama3.jpg", "biden.jpg")
NOBODY_ENROLLED = (  # file, view, what to wait for, size, colours
    ("start-light-1440", "", ".welcome li", DESKTOP, "light"),
    ("unnamed-light-1440", "unnamed", ".group img", DESKTOP, "light"),
)
LIVED_IN = (
    ("recognise-light-1440", "", ".card .box", DESKTOP, "light"),
    ("many-dark-1440", "", ".card.compact img", DESKTOP, "dark"),
    ("live-light-1440", "live", ".layer .box.matched", DESKTOP, "light"),
    ("people-dark-1440", "people", ".tile img", DESKTOP, "dark"),
    ("person-light-360", "person/Barack%20Obama", ".tile img", PHONE, "light"),
    ("history-light-1440", "history", ".timeline img", DESKTOP, "light"),
    ("settings-light-1440", "settings", ".curve", DESKTOP, "light"),
)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    photos = demo_photos(user_cache_path("mien") / "demo")[0].parent
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as tool:
        server = Server(Path(scratch) / "data", free_port())
        server.process = serve(server.folder, server.port, mien=MIEN)
        camera = make_camera(photos / "obama2.jpg", Path(scratch) / "face.mjpeg")
        flags = [*QUIET, *CAMERA, f"--use-file-for-fake-video-capture={camera}"]
        browser = tool.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=flags)
        try:
            for file in sorted(photos.glob("*.jpg")):
                call(server, "/recognize?remember=true", file.read_bytes())
            for picture in NOBODY_ENROLLED:
                _take(browser, server.url, photos, *picture)
            for name, files in ENROLLED.items():
                enrol(server, name, *(photos / file for file in files), user_id=name)
            for file in SHOWN:
                call(server, "/recognize", (photos / file).read_bytes())
            for picture in LIVED_IN:
                _take(browser, server.url, photos, *picture)
        finally:
            browser.close()
            server.stop()


def _take(
    browser: Browser, url: str, photos: Path, name: str, view: str, shown: str, size: tuple[int, int], colours: str
) -> None:
    width, height = size
    page = browser.new_page(base_url=url, viewport={"width": width, "height": height}, color_scheme=colours)
    page.goto(f"/#/{view}")
    _use(page, name.partition("-")[0], photos)
    expect(page.locator(shown).first).to_be_visible()
    if view != "live":  # which sends one frame after the other
        page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / f"{name}.jpg", type="jpeg", quality=88)
    page.close()


def _use(page: Page, picture: str, photos: Path) -> None:
    """Do what a user would before a picture is worth taking."""
    if picture == "recognise":
        page.set_input_files("#photos", photos / SHOWN[0])
    if picture == "many":
        page.set_input_files("#photos", sorted(photos.glob("*.jpg")))
        expect(page.locator(".card .busy")).to_have_count(0)
    if picture == "live":
        page.get_by_role("button", name="Start the camera").click()
    if picture == "history":
        page.locator(".row-button").first.click()


if __name__ == "__main__":
    main()
