"""What was recognised: filtered by person, exported, and the answer to "when was X last seen"."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.web.conftest import Server
from tests.web.people import call, enrol

pytestmark = pytest.mark.web


def test_the_timeline_filters_exports_and_answers_when(
    page: Page, server: Server, ada: list[Path], couple: Path
) -> None:
    first, second, *_ = ada
    user_id = enrol(server, "=Eve", first)
    call(server, "/recognize", second.read_bytes())
    call(server, "/recognize", couple.read_bytes())
    page.goto("/#/history")
    expect(page.locator(".timeline > li")).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()))
    assert sorted((row["user_id"], row["name"]) for row in rows) == [("", ""), ("", ""), (user_id, "'=Eve")]
    page.get_by_label("Person").select_option(label="=Eve")
    expect(page.locator(".timeline > li")).to_have_count(1)
    expect(page.get_by_role("status").filter(has_text="last seen")).to_contain_text("=Eve was last seen")


def test_the_export_holds_what_is_not_shown_yet(page: Page) -> None:
    def listing(route: Route) -> None:
        last = "cursor=next" in route.request.url
        entry = {"timestamp": "2026-01-02T03:04:05Z", "recognition_id": "b" if last else "a", "image_path": None}
        face = {"status": "unknown", "user_id": None, "name": None, "similarity": None}
        face |= {"bounding_box": {}, "candidates": []}
        route.fulfill(json={"recognitions": [entry | {"faces": [face]}], "next_cursor": None if last else "next"})

    page.route("**/recognitions*", listing)
    page.goto("/#/history")
    expect(page.locator(".timeline > li")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()))
    assert [row["recognition_id"] for row in rows] == ["a", "b"]


def test_results_are_deleted_one_by_one_and_those_that_name_nobody_together(
    page: Page, server: Server, ada: list[Path], couple: Path
) -> None:
    first, second, third = ada
    enrol(server, "Eve", first)
    for photo in (second, couple, couple, third):
        call(server, "/recognize", photo.read_bytes())
    page.goto("/#/history")
    expect(page.locator(".timeline > li")).to_have_count(4)
    page.locator(".row-button").first.click()
    page.locator(".timeline > li").first.get_by_role("button", name="Delete").click()
    expect(page.locator(".timeline > li")).to_have_count(3)
    page.get_by_role("button", name="Delete unnamed").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".toast")).to_contain_text("2 results were deleted.")
    expect(page.locator(".timeline > li")).to_have_count(1)
    expect(page.locator(".timeline > li")).to_contain_text("Eve")
