"""A server with keys: asked for one at the start, and for another when it is revoked in the middle of the work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from mien.security.api_keys import KeyFile, Scope
from tests.support.process import free_port
from tests.web.conftest import Server, new_page

pytestmark = pytest.mark.web


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def page(keys: KeyFile, tmp_path: Path, chromium: Browser) -> Iterator[Page]:
    """With a key entered."""
    secret = keys.create("page", Scope)
    server = Server(tmp_path / "data", free_port(), tmp_path / "keys.json")
    server.start()
    page = new_page(chromium, server)
    page.goto("/")
    enter(page, secret)
    yield page
    page.context.close()
    server.stop()


def enter(page: Page, secret: str) -> None:
    page.locator("#locked").get_by_role("button", name="Enter the key").click()
    page.locator("dialog").get_by_label("API key").fill(secret)
    page.locator("dialog").get_by_role("button", name="Use this key").click()
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator("#locked")).to_be_hidden()


def revoke(keys: KeyFile) -> None:
    for key in keys.list():
        keys.revoke(key.key_id)


def test_a_wrong_key_is_told_at_once(page: Page, keys: KeyFile) -> None:
    page.goto("/#/settings")
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("form .problem")).to_have_text("The API key was refused.")
    page.get_by_label("API key").fill(keys.create("another", Scope))
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("form .problem")).to_be_empty()
    expect(page.locator("#toasts")).to_contain_text("The key works")


def test_a_revoked_key_loses_neither_photo_nor_typed_name(page: Page, keys: KeyFile, ada: list[Path]) -> None:
    first, second, *_ = ada
    page.set_input_files("#photos", first)
    form = page.locator(".face.unknown form").first
    form.get_by_label("Who is this?").fill("Ann")
    revoke(keys)
    form.get_by_role("button", name="Save").click()
    expect(page.locator("#locked")).to_contain_text("The API key was refused.")
    page.set_input_files("#photos", second)
    expect(page.locator(".card").first.locator(".problem")).to_contain_text("refused")
    enter(page, keys.create("new", Scope))
    expect(page.locator(".card").first.locator(".face.unknown")).to_have_count(1)
    expect(page.locator(".card").last.get_by_label("Who is this?")).to_have_value("Ann")


def test_a_revoked_key_loses_no_chosen_photos(page: Page, keys: KeyFile, ada: list[Path]) -> None:
    page.get_by_role("link", name="People", exact=True).click()
    page.get_by_role("button", name="Add a person").click()
    page.get_by_label("Name").fill("Ann")
    page.get_by_label("Photos").set_input_files(ada[:2])
    revoke(keys)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".progress .rejected")).to_have_count(2)
    expect(page.get_by_label("Name")).to_have_value("Ann")
    enter(page, keys.create("new", Scope))
    expect(page.locator(".progress .indexed")).to_have_count(2)
    expect(page.locator(".tile")).to_contain_text("2 photos")


def test_a_key_for_recognition_only_is_told_what_it_lacks(page: Page, keys: KeyFile, ada: list[Path]) -> None:
    revoke(keys)
    page.get_by_role("link", name="People", exact=True).click()
    expect(page.locator("main > div > div > .problem")).to_contain_text("refused")
    enter(page, keys.create("guest", [Scope.RECOGNIZE]))
    expect(page.locator("main > div > div > .problem")).to_contain_text("lacks the scope manage")
    page.get_by_role("link", name="Recognise", exact=True).click()
    page.set_input_files("#photos", ada[0])
    expect(page.locator(".face.unknown")).to_have_count(1)
    expect(page.locator("#locked")).to_be_hidden()
