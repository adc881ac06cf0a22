"""Faces in photos of nobody, grouped by likeness: named with undo, skipped, divided, and dismissed."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import Server
from tests.web.people import call, enrol, post

pytestmark = pytest.mark.web


def remember(server: Server, *photos: Path) -> None:
    """Recognise photos of strangers, whom the server shall know again."""
    for photo in photos:
        call(server, "/recognize?remember=true", photo.read_bytes())


def names(server: Server) -> list[str]:
    return sorted(user["name"] for user in call(server, "/users")["users"])


def sizes(server: Server) -> list[int]:
    return [group["faces"] for group in call(server, "/groups")["groups"]]


def test_nobody_unnamed_says_where_faces_come_from(page: Page) -> None:
    page.goto("/#/people")
    page.get_by_role("link", name="Unnamed").click()
    expect(page.get_by_role("heading", name="Nobody without a name")).to_be_visible()


def test_unknown_faces_of_recognised_photos_are_grouped_on_wish(
    page: Page, server: Server, ada: list[Path], grace: list[Path]
) -> None:
    page.goto("/")
    page.set_input_files("#photos", [*ada[:2], grace[0]])
    expect(page.get_by_role("status").filter(has_text="3 photos")).to_contain_text("3 unknown")
    assert sizes(server) == []
    page.get_by_role("button", name="Group unknown faces").click()
    expect(page.locator(".group")).to_have_count(2)
    assert sizes(server) == [2, 1]
    assert len(call(server, "/recognitions")["recognitions"]) == 3


def test_a_group_is_named_and_the_name_taken_back(
    page: Page, server: Server, ada: list[Path], grace: list[Path]
) -> None:
    remember(server, *ada[:2], grace[0])
    page.goto("/#/unnamed")
    expect(page.locator(".group")).to_have_count(2)
    first = page.locator(".group").first
    expect(first.locator("h2")).to_contain_text("2 faces")
    expect(first.locator("img")).to_have_count(2)
    first.get_by_label("Who is this?").fill("Ada")
    first.get_by_role("button", name="Save").click()
    expect(page.locator("#toasts")).to_contain_text("Ada: 2 faces enrolled.")
    expect(page.locator(".group")).to_have_count(1)
    expect(page.get_by_label("Who is this?")).to_be_focused()
    assert names(server) == ["Ada"]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".group")).to_have_count(2)
    expect(first.get_by_label("Who is this?")).to_be_focused()
    assert (names(server), sizes(server)) == ([], [2, 1])
    first.get_by_role("button", name="These are two people").click()
    page.get_by_role("button", name="Cancel").click()
    expect(first.get_by_label("Who is this?")).to_be_focused()


def test_a_group_with_the_name_of_a_person_becomes_that_person(
    page: Page, server: Server, ada: list[Path], grace: list[Path]
) -> None:
    enrol(server, "Zoë", ada[0])
    remember(server, grace[0])
    page.goto("/#/unnamed")
    field = page.get_by_label("Who is this?")
    field.fill("zoe")
    expect(page.locator(".name-field .note")).to_contain_text("Zoë is enrolled.")
    field.fill("zoë")
    expect(page.locator(".name-field .note")).to_have_text("Saves to Zoë.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#toasts")).to_contain_text("Zoë: 1 face enrolled.")
    assert names(server) == ["Zoë"]


def test_a_group_that_somebody_else_named_meanwhile_is_told_and_gone(
    page: Page, server: Server, ada: list[Path], grace: list[Path]
) -> None:
    remember(server, *ada[:2], grace[0])
    page.goto("/#/unnamed")
    expect(page.locator(".group")).to_have_count(2)
    largest = call(server, "/groups")["groups"][0]["group_id"]
    post(server, f"/groups/{largest}/name", {"name": "Grace"})
    first = page.locator(".group").first
    first.get_by_label("Who is this?").fill("Ada")
    first.get_by_role("button", name="Save").click()
    expect(page.locator(".toast.error")).to_contain_text("group")
    expect(page.locator(".group")).to_have_count(1)
    assert names(server) == ["Grace"]


def test_a_group_without_a_name_is_told_so(page: Page, server: Server, ada: list[Path]) -> None:
    remember(server, ada[0])
    page.goto("/#/unnamed")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".name-field .note")).to_have_text("Enter a name first.")
    expect(page.locator(".group")).to_have_count(1)


def test_a_skipped_group_comes_back_on_undo(page: Page, server: Server, ada: list[Path]) -> None:
    remember(server, ada[0])
    page.goto("/#/unnamed")
    page.get_by_role("button", name="Skip").click()
    expect(page.get_by_role("heading", name="Nobody without a name")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".group")).to_have_count(1)
    expect(page.get_by_role("heading", name="Nobody without a name")).to_have_count(0)


def test_a_group_of_two_people_is_divided_by_the_pressed_faces(page: Page, server: Server, ada: list[Path]) -> None:
    remember(server, *ada)
    page.goto("/#/unnamed")
    page.get_by_role("button", name="These are two people").click()
    faces = page.locator("button.thumbnail")
    expect(faces).to_have_count(3)
    expect(faces.first).to_be_focused()
    faces.last.click()
    expect(faces.last).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Divide").click()
    expect(page.locator(".group")).to_have_count(2)
    assert sizes(server) == [2, 1]


def test_the_faces_of_a_large_group_are_shown_page_by_page(page: Page, server: Server, ada: list[Path]) -> None:
    remember(server, *ada)
    page.route("**/groups/*/faces?limit=*", lambda route: route.continue_(url=route.request.url.replace("=60", "=2")))
    page.goto("/#/unnamed")
    page.get_by_role("button", name="These are two people").click()
    faces = page.locator("button.thumbnail")
    expect(faces).to_have_count(2)
    faces.first.click()
    page.get_by_role("button", name="Show more").click()
    expect(faces).to_have_count(3)
    expect(faces.last).to_be_focused()
    expect(faces.last).to_have_accessible_name("3")
    expect(faces.first).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Show more")).to_have_count(0)
    page.get_by_role("button", name="Divide").click()
    expect(page.locator(".group")).to_have_count(2)
    assert sizes(server) == [2, 1]


def test_many_groups_are_shown_page_by_page_and_again_as_many(
    page: Page, server: Server, ada: list[Path], grace: list[Path], couple: Path
) -> None:
    remember(server, ada[0], grace[0], couple)
    page.route(
        "**/groups?*limit=50*", lambda route: route.continue_(url=route.request.url.replace("limit=50", "limit=3"))
    )
    page.goto("/#/unnamed")
    expect(page.locator(".group")).to_have_count(3)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".group")).to_have_count(4)
    expect(page.locator(".group").last.get_by_label("Who is this?")).to_be_focused()
    expect(page.get_by_role("button", name="Show more")).to_have_count(0)


def test_what_is_no_face_is_deleted_after_a_question(page: Page, server: Server, ada: list[Path]) -> None:
    remember(server, ada[0])
    page.goto("/#/unnamed")
    page.get_by_role("button", name="Not a face").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator(".group")).to_have_count(1)
    page.get_by_role("button", name="Not a face").click()
    expect(page.get_by_role("dialog")).to_contain_text("1 picture is deleted")
    page.get_by_role("dialog").get_by_role("button", name="Not a face").click()
    expect(page.get_by_role("heading", name="Nobody without a name")).to_be_visible()
    assert sizes(server) == []
