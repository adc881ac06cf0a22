"""Every view on phone and desktop, in light and dark: no sideways scrolling, and axe-core finds nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support import painter
from tests.web.conftest import Server, new_page
from tests.web.people import call, enrol

pytestmark = pytest.mark.web

AXE = "axe-core@4.10.3"
VIEWS = ("#/", "#/live", "#/people", "#/people/add", "#/person/Alice", "#/unnamed", "#/history", "#/settings", "#/help")
PAGE_WEIGHT = 200_000
CUT_OFF = """
[...document.querySelectorAll("button, a, label, h1, h2, p, nav a, summary")]
  .filter((node) => node.clientWidth > 2 && node.scrollWidth > node.clientWidth + 1)
  .map((node) => node.outerHTML.slice(0, 200))
"""


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("axe")
    try:
        subprocess.run(
            ["npm", "install", "--silent", "--prefix", folder, AXE], check=True, capture_output=True, timeout=120
        )
    except (OSError, subprocess.SubprocessError):
        pytest.skip("needs axe-core from the npm registry: apt-get install npm, and a network")
    return folder / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture
def lived_in(server: Server, ada: list[Path], couple: Path) -> Server:
    enrol(server, "Alice", *ada[:2], user_id="Alice")
    for again in (0, 1):
        call(server, "/recognize?remember=true", painter.photo_of("Edith", "Hedy", photo=again))
    return server


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 820, 1440])
def test_views_fit_and_axe_finds_nothing(
    lived_in: Server, chromium: Browser, axe: Path, scheme: str, width: int, couple: Path
) -> None:
    page = new_page(
        chromium,
        lived_in,
        viewport={"width": width, "height": 800},
        bypass_csp=True,  # for axe itself; the flows run under the real policy
        color_scheme="dark" if scheme == "dark" else "light",
    )
    for view in VIEWS:
        _open(page, view)
        if view == "#/":
            page.set_input_files("#photos", couple)
            expect(page.locator(".card .box")).to_have_count(2)
        if view == "#/unnamed":
            page.get_by_role("button", name="These are two people").first.click()
            expect(page.locator("button.thumbnail img")).to_have_count(2)
        if view == "#/history":
            page.locator(".row-button").first.click()
            expect(page.locator(".layout .box")).to_have_count(2)
        expect(page.locator(".busy")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        page.add_script_tag(path=axe)
        found = page.evaluate(
            "axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' | ')))"
        )
        assert found == [], view
    page.context.close()


@pytest.mark.parametrize("language", ["de", "es", "fr", "ja"])
def test_every_language_fits_a_phone(lived_in: Server, chromium: Browser, couple: Path, language: str) -> None:
    page = new_page(chromium, lived_in, viewport={"width": 320, "height": 700}, locale=language)
    for view in VIEWS:
        _open(page, view)
        assert page.evaluate("document.documentElement.lang") == language
        if view == "#/":
            page.set_input_files("#photos", couple)
            expect(page.locator(".card .box")).to_have_count(2)
        expect(page.locator(".busy")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, view
        assert page.evaluate(CUT_OFF) == [], view
    page.context.close()


def test_the_page_is_light(server: Server, chromium: Browser) -> None:
    page = new_page(chromium, server)
    sizes: dict[str, int] = {}
    for view in VIEWS:
        _open(page, view)
        sizes |= page.evaluate(
            "Object.fromEntries(['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind))"
            ".map(entry => [entry.name, entry.encodedBodySize]))"
        )
    assert f"{server.url}/static/views/settings.js" in sizes
    assert sum(sizes.values()) < PAGE_WEIGHT
    page.context.close()


def _open(page: Page, view: str) -> None:
    """Afresh: going from one hash to the next loads nothing, and the view before would still be there."""
    page.goto("about:blank")
    page.goto(f"/{view}")
    expect(page.locator("main h1").first).to_be_visible()
    page.wait_for_load_state("networkidle")
