"""Names in any script, with emoji, from right to left, or very long: shown whole, found, and in nobody's way."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support import painter
from tests.web.conftest import Server, new_page
from tests.web.people import enrol

pytestmark = pytest.mark.web

NAMES = (
    "María José Ñandú",
    "Юлия Щербакова",
    "山田 花子",
    "أحمد الخطيب",
    "שָׂרָה לוי",
    "हिमांशु शर्मा",
    "👩‍🚀 Zoë 🏳️‍🌈",
    "Wolfeschlegelsteinhausenbergerdorff" * 2,
)

CUT_OFF = """
[...document.querySelectorAll(".face, .face *")]
  .filter((node) => node.clientWidth && node.scrollWidth > node.clientWidth)
  .map((node) => node.outerHTML.slice(0, 200))
"""


@pytest.mark.parametrize("width", [320, 1440])
def test_names_of_all_scripts_are_shown_found_and_recognised(
    server: Server, chromium: Browser, tmp_path: Path, width: int
) -> None:
    photos = [tmp_path / f"{number}.jpg" for number in range(len(NAMES))]
    for number, (name, photo) in enumerate(zip(NAMES, photos, strict=True)):
        photo.write_bytes(painter.photo_of(number))
        enrol(server, name, photo)
    everybody = tmp_path / "everybody.jpg"
    everybody.write_bytes(painter.photo_of(*range(len(NAMES)), 50, photo=1))
    page = new_page(chromium, server, viewport={"width": width, "height": 800})

    page.goto("/#/people")
    expect(page.locator(".tile strong")).to_have_count(len(NAMES))
    for name in NAMES:
        page.get_by_label("Find a person").fill(name.upper()[:6])
        expect(page.locator(".tile:visible strong")).to_have_text([name])
    page.get_by_label("Find a person").fill("")
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    page.goto("/")
    page.set_input_files("#photos", everybody)
    expect(page.locator(".face.matched strong")).to_have_count(len(NAMES))
    assert sorted(page.locator(".face.matched strong").all_inner_texts()) == sorted(NAMES)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT_OFF) == []

    page.get_by_role("link", name="أحمد الخطيب").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("أحمد الخطيب")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto("/#/history")
    row = page.locator(".row-button").first
    for name in NAMES:
        expect(row).to_contain_text(name)
    expect(row).to_contain_text("1 unknown")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()
