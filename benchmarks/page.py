"""Measure the web page: first paint, weight, a group photo end to end, and frames recognised live.

    python -m benchmarks.page FOLDER [--json]

FOLDER contains `photos/groups/016_8.jpg` (eight faces) and `lfw_dev`. Needs Chromium, Playwright and ffmpeg.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.web.conftest import CHROMIUM, QUIET, Server, free_port

ROUNDS = 5
LIVE_SECONDS = 8
WEIGHT = """
["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
  .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)
"""
CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as tool:
        server = Server(Path(scratch) / "data", free_port())
        server.start()
        video = make_camera(next((given.folder / "lfw_dev").glob("*/*.jpg")), Path(scratch) / "face.mjpeg")
        arguments = [*QUIET, *CAMERA, f"--use-file-for-fake-video-capture={video}"]
        browser = tool.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=arguments)
        try:
            found = _measure(browser, server.url, given.folder / "photos" / "groups" / "016_8.jpg")
        finally:
            browser.close()
            server.stop()
    print(json.dumps(found) if given.json else "\n".join(f"{name:28}{value:10.1f}" for name, value in found.items()))


def _measure(browser: Browser, url: str, group: Path) -> dict[str, float]:
    paints, weights = zip(*(_load(browser, url) for _ in range(ROUNDS)), strict=True)
    page = browser.new_page(base_url=url)
    page.goto("/")
    page.locator("#photos").wait_for(state="attached")
    groups = [_group(page, group) for _ in range(ROUNDS)]
    return {
        "first_paint_ms": sorted(paints)[ROUNDS // 2],
        "weight_kb": max(weights) / 1000,
        "group_of_eight_ms": sorted(groups)[ROUNDS // 2],
        "live_frames_per_second": _live(page),
    }


def _load(browser: Browser, url: str) -> tuple[float, float]:
    """Load the page with an empty cache; returns first contentful paint in milliseconds and bytes fetched."""
    page = browser.new_page(base_url=url)
    page.goto("/")
    page.wait_for_load_state("networkidle")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    weight = page.evaluate(WEIGHT)
    page.close()
    return float(paint), float(weight)


def _group(page: Page, photo: Path) -> float:
    """Measure milliseconds from choosing the photo until all boxes are drawn."""
    page.evaluate("document.querySelectorAll('.card').forEach((card) => card.remove())")
    page.evaluate(
        """() => { window.drawn = new Promise((done) => {
            let start;
            document.getElementById('photos').addEventListener('change', () => { start = performance.now(); }, true);
            new MutationObserver(() => {
              if (document.querySelectorAll('.card .box').length === 8) done(performance.now() - start);
            }).observe(document.body, { childList: true, subtree: true });
        }); }"""
    )
    page.set_input_files("#photos", photo)
    return float(page.evaluate("window.drawn"))


def _live(page: Page) -> float:
    answers: list[str] = []
    page.goto("/#/live")
    page.get_by_role("button", name="Start the camera").click()
    page.locator(".layer .box").first.wait_for()
    page.on("response", lambda response: answers.append(response.url))
    page.wait_for_timeout(LIVE_SECONDS * 1000)
    return len(answers) / LIVE_SECONDS


def make_camera(photo: Path, video: Path) -> Path:
    """Write a video of a photo that Chromium takes for a camera."""
    still = ["-loop", "1", "-i", str(photo), "-t", "2", "-r", "30", "-vf", "scale=480:480,pad=640:480:80:0"]
    subprocess.run(
        ["ffmpeg", "-y", "-loglevel", "error", *still, "-pix_fmt", "yuvj420p", "-q:v", "2", str(video)], check=True
    )
    return video


if __name__ == "__main__":
    main()
