"""The threshold in words, health; and a recogniser whose error rates are not known."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.process import wait_for
from tests.web.conftest import Server
from tests.web.people import call

pytestmark = pytest.mark.web

NO_STORAGE = """
for (const kind of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, kind, { get() { throw new DOMException("denied", "SecurityError"); } });
}
"""


def test_the_threshold_is_an_error_rate_in_words(page: Page) -> None:
    page.goto("/#/settings")
    expect(page.locator("output")).to_contain_text("About one wrong match in 10,000 comparisons")
    page.locator("#sure").press("End")
    expect(page.locator("output")).to_contain_text("1,000,000")
    assert float(page.evaluate("localStorage.getItem('mien-threshold')")) >= 98.5
    expect(page.locator("svg.curve path.line")).to_have_count(1)
    expect(page.get_by_text("All is well.")).to_be_visible()


def test_without_a_measured_curve_the_threshold_is_a_similarity(page: Page) -> None:
    page.route("**/calibration", lambda route: route.fulfill(json={"points": [], "default_threshold": 80}))
    page.goto("/#/settings")
    expect(page.locator("output")).to_have_text("similarity 80")
    expect(page.get_by_text("are not known for this recogniser")).to_be_visible()
    page.locator("#sure").press("End")
    assert page.evaluate("localStorage.getItem('mien-threshold')") == "100"


def test_nobody_is_said_to_be_missing_when_a_key_may_not_list_people(page: Page) -> None:
    page.route("**/users?*", lambda route: route.fulfill(status=403, json={"type": "urn:mien:access-denied"}))
    page.goto("/?lang=de#/settings")
    expect(page.locator("output")).to_contain_text("Etwa ein falscher Treffer auf 10.000 Vergleiche · Ähnlichkeit 80,0")
    expect(page.locator("output strong")).to_have_count(0)


def test_what_needs_attention_is_said_though_mien_works(page: Page, server: Server) -> None:
    odd = server.folder / "bucket" / "uploaded" / "con"
    odd.mkdir()
    (odd / "1.jpg").write_bytes(b"")
    server.stop()
    server.start()
    wait_for(lambda: bool(call(server, "/health")["warnings"]))
    page.goto("/#/settings")
    expect(page.locator(".problem", has_text="cannot be a person's")).to_contain_text(": 1.")
    expect(page.get_by_text("All is well.")).not_to_be_visible()
    page.goto("/?lang=de#/settings")
    expect(page.locator(".problem", has_text="Ordner zwischen den Fotos")).to_contain_text(": 1. „mien doctor“")


def test_a_browser_without_storage_keeps_choices_while_the_page_is_open(page: Page, couple: Path) -> None:
    page.add_init_script(NO_STORAGE)
    page.goto("/#/settings")
    page.locator("#sure").press("End")
    expect(page.locator("output")).to_contain_text("1,000,000")
    page.get_by_role("link", name="Recognise", exact=True).click()
    with page.expect_request("**/recognize?*") as request:
        page.set_input_files("#photos", couple)
    assert "threshold=9" in request.value.url
    expect(page.locator(".card .box")).to_have_count(2)
    page.get_by_role("link", name="Settings", exact=True).click()
    expect(page.locator("output")).to_contain_text("1,000,000")


@pytest.mark.parametrize("storage", [True, False])
def test_the_language_can_be_chosen_with_and_without_storage(page: Page, storage: bool) -> None:
    if not storage:
        page.add_init_script(NO_STORAGE)
    page.goto("/#/settings")
    page.get_by_label("Language").select_option("de")
    expect(page.locator("h1")).to_have_text("Einstellungen")
    page.get_by_label("Sprache").select_option("fr")
    expect(page.locator("h1")).to_have_text("Réglages")
    assert page.url.endswith("#/settings")
    assert ("lang=fr" in page.url) is not storage
