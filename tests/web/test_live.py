"""The camera, played from photos: boxes with names, a log, and a camera that is refused or absent."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserType, Page, expect

from tests.web.conftest import CHROMIUM, QUIET, Server, new_page
from tests.web.people import call, enrol

pytestmark = pytest.mark.web


@pytest.fixture
def camera(ada: list[Path], tmp_path: Path) -> Path:
    """A still face as a video that Chromium takes for a camera."""
    if not shutil.which("ffmpeg"):
        pytest.skip("needs ffmpeg: apt-get install ffmpeg")
    video = tmp_path / "face.mjpeg"
    size = "scale=480:480,pad=640:480:80:0"
    still = [
        "-loop",
        "1",
        "-i",
        str(ada[1]),
        "-t",
        "1",
        "-r",
        "20",
        "-vf",
        size,
        "-pix_fmt",
        "yuvj420p",
        "-q:v",
        "2",
    ]
    subprocess.run(["ffmpeg", "-y", "-loglevel", "error", *still, str(video)], check=True)
    return video


def _launch(tool: BrowserType, *more: str) -> Browser:
    return tool.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=[*QUIET, *more])


@pytest.fixture
def watching(server: Server, camera: Path, chromium: Browser) -> Iterator[Page]:
    flags = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    browser = _launch(chromium.browser_type, *flags, f"--use-file-for-fake-video-capture={camera}")
    yield new_page(browser, server)
    browser.close()


def test_a_known_face_is_named_and_logged_once(watching: Page, server: Server, ada: list[Path]) -> None:
    enrol(server, "Vera", ada[0])
    watching.goto("/#/live")
    watching.get_by_role("button", name="Start the camera").click()
    expect(watching.locator(".layer .box.matched")).to_contain_text("Vera")
    expect(watching.locator(".log li")).to_have_count(1)
    expect(watching.locator(".log li")).to_contain_text("Vera")
    watching.get_by_role("button", name="Stop").click()
    expect(watching.locator(".layer .box")).to_have_count(0)
    watching.get_by_role("link", name="History", exact=True).click()
    expect(watching.get_by_text("Nothing has been recognised yet")).to_be_visible()


def test_a_stranger_is_logged_and_named(watching: Page, server: Server) -> None:
    watching.goto("/#/live")
    watching.get_by_role("button", name="Start the camera").click()
    stranger = watching.locator(".log .stranger")
    expect(stranger).to_have_count(1)
    expect(stranger.locator("canvas")).to_be_visible()
    stranger.get_by_label("Who is this?").fill("Vera")
    stranger.get_by_role("button", name="Save").click()
    expect(stranger).to_contain_text("Saved")
    expect(watching.locator(".layer .box.matched")).to_contain_text("Vera")
    assert [user["name"] for user in call(server, "/users")["users"]] == ["Vera"]


def test_frames_that_are_paid_for_are_sent_one_a_second(watching: Page) -> None:
    watching.route("**/calibration", lambda route: route.fulfill(json={"points": [], "default_threshold": 80}))
    watching.goto("/#/live")
    watching.get_by_role("button", name="Start the camera").click()
    expect(watching.locator("#toasts")).to_contain_text("at most one a second")
    expect(watching.locator(".live [role=status]")).to_contain_text("frames a second")


def test_a_refused_camera_gets_a_sentence(page: Page) -> None:
    page.goto("/#/live")
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator(".toast.error")).to_contain_text("camera")
    expect(page.get_by_role("button", name="Start the camera")).to_be_visible()


def test_nobody_is_named_while_the_server_refuses(watching: Page, server: Server, ada: list[Path]) -> None:
    enrol(server, "Vera", ada[0])
    watching.goto("/#/live")
    watching.get_by_role("button", name="Start the camera").click()
    expect(watching.locator(".layer .box.matched")).to_contain_text("Vera")
    watching.route("**/recognize*", lambda route: route.fulfill(status=401, json={}))
    expect(watching.locator(".live [role=status]")).to_contain_text("requires an API key")
    expect(watching.locator(".layer .box")).to_have_count(0)
    expect(watching.locator("#locked")).to_be_visible()
    watching.unroute("**/recognize*")
    expect(watching.locator(".layer .box.matched")).to_contain_text("Vera")
