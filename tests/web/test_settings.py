"""The threshold in words, the key, health."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.conftest import Server, free_port, new_page

pytestmark = pytest.mark.web


def test_the_threshold_is_an_error_rate_in_words(page: Page) -> None:
    page.goto("/#/settings")
    expect(page.locator("output")).to_contain_text("About one wrong match in 10,000 comparisons")
    page.locator("#sure").press("End")
    expect(page.locator("output")).to_contain_text("1,000,000")
    assert float(page.evaluate("localStorage.getItem('mien-threshold')")) >= 98.5
    expect(page.locator("svg.curve path.line")).to_have_count(1)
    expect(page.get_by_text("All is well.")).to_be_visible()


def test_a_server_with_keys_asks_for_one(chromium: Browser, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    secret = _new_key(keys)
    server = Server(tmp_path / "data", free_port(), keys)
    server.start()
    try:
        page = new_page(chromium, server)
        page.goto("/#/people")
        expect(page.get_by_text("asks for an API key").first).to_be_visible()
        page.goto("/#/settings")
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button", name="Use this key").click()
        page.goto("/#/people")
        expect(page.get_by_text("was refused").first).to_be_visible()
        page.goto("/#/settings")
        page.get_by_label("API key").fill(secret)
        page.get_by_role("button", name="Use this key").click()
        page.goto("/#/people")
        expect(page.get_by_role("heading", name="Nobody is enrolled yet")).to_be_visible()
    finally:
        server.stop()


def _new_key(keys: Path) -> str:
    import json
    import os

    made = subprocess.run(
        [sys.executable, "-m", "mien", "keys", "create", "page", "--json"],
        env={**os.environ, "MIEN_API_KEYS_FILE": str(keys)},
        capture_output=True,
        check=True,
    )
    return str(json.loads(made.stdout)["key"])
