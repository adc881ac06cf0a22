"""Rate every view of the page by Lighthouse, empty and with people: `python -m benchmarks.lighthouse FOLDER`.

FOLDER contains `lfw_dev` and `photos/groups`. Lighthouse simulates a phone on a slow line; each rating is the best of
some runs, for whatever else the machine does counts against the page (`chrt -r 1` in front lets it wait). Needs
Chromium, npm and the npm registry.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

from tests.support.process import MIEN, free_port, serve
from tests.web.conftest import CHROMIUM, Server
from tests.web.people import call, enrol

LIGHTHOUSE = "lighthouse@12.8.2"
PEOPLE, RUNS = 33, 3
VIEWS = ("", "live", "people", "unnamed", "history", "settings", "help")
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--desktop", action="store_true", help="a desktop on a fast line")
    given = parser.parse_args()
    form = ["--preset=desktop"] if given.desktop else []
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(Path(scratch) / "data", free_port())
        server.process = serve(server.folder, server.port, mien=MIEN)
        try:
            _rate_views(server, "empty", VIEWS, given.runs, form)
            person = _fill(server, given.folder)
            _rate_views(server, "filled", (*VIEWS, f"person/{person}"), given.runs, form)
        finally:
            server.stop()


def _fill(server: Server, folder: Path) -> str:
    """Enrol people and show the server strangers; returns the id of the last person."""
    user_id = ""
    for person in sorted((folder / "lfw_dev").iterdir())[:PEOPLE]:
        user_id = enrol(server, person.name.replace("_", " "), *sorted(person.iterdir()))
    for photo in sorted((folder / "photos" / "groups").glob("*.jpg")):
        call(server, "/recognize?remember=true", photo.read_bytes())
    return user_id


def _rate_views(server: Server, data: str, views: tuple[str, ...], runs: int, form: list[str]) -> None:
    for view in views:
        ratings = [_rate(f"{server.url}/#/{view}", form) for _ in range(runs)]
        best = [max(scores) for scores in zip(*ratings, strict=True)]
        words = ", ".join(f"{name} {score:.0f}" for name, score in zip(CATEGORIES, best, strict=True))
        print(f"{data:8}{view.partition('/')[0] or 'recognise':12}{words}", flush=True)


def _rate(url: str, form: list[str]) -> list[float]:
    done = subprocess.run(
        ["npx", "--yes", LIGHTHOUSE, url, "--quiet", "--output=json", "--chrome-flags=--headless --no-sandbox", *form],
        env=os.environ | {"CHROME_PATH": str(CHROMIUM)},
        capture_output=True,
        check=True,
        text=True,
    )
    found = json.loads(done.stdout)["categories"]
    return [100 * found[name]["score"] for name in CATEGORIES]


if __name__ == "__main__":
    main()
