"""The people: added, renamed, merged with undo, forgotten with a receipt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.process import PATIENCE_SECONDS, wait_for
from tests.web.conftest import Server
from tests.web.people import call, enrol

pytestmark = pytest.mark.web


def test_an_empty_gallery_invites(page: Page) -> None:
    page.goto("/#/people")
    expect(page.get_by_role("heading", name="Nobody is enrolled yet")).to_be_visible()


def test_a_person_is_added_with_a_line_for_each_photo(page: Page, ada: list[Path], nobody: Path) -> None:
    page.goto("/#/people")
    page.get_by_role("button", name="Add a person").click()
    page.get_by_label("Photos", exact=True).set_input_files([*ada[:2], nobody])
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".name-field .note")).to_have_text("Enter a name first.")
    page.get_by_label("Name").fill("Zoë")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".progress .indexed")).to_have_count(2)
    expect(page.locator(".progress .rejected")).to_have_count(1)
    expect(page.locator(".tile")).to_contain_text("Zoë")
    expect(page.locator(".tile")).to_contain_text("2 photos")


def test_a_merge_can_be_undone(page: Page, server: Server, ada: list[Path], grace: list[Path]) -> None:
    user_id = enrol(server, "One", ada[0])
    enrol(server, "Other", grace[0])
    page.goto(f"/#/person/{user_id}")
    page.get_by_role("button", name="Merge…").click()
    dialog = page.locator("dialog")
    dialog.get_by_label("The other person").fill("oth")
    dialog.get_by_role("option", name="Other").click()
    expect(dialog).to_contain_text("One (1 photo) becomes part of Other (1 photo)")
    expect(dialog.locator(".pair img")).to_have_count(2)
    dialog.get_by_role("button", name="Merge").click()
    expect(page.locator("#toasts")).to_contain_text("One is now part of Other.")
    expect(page.locator("h1")).to_have_text("Other")
    expect(page.locator(".tile")).to_have_count(2)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".tile")).to_have_count(1)
    assert sorted(user["name"] for user in call(server, "/users")["users"]) == ["One", "Other"]


def test_forgetting_shows_the_receipt(page: Page, server: Server, ada: list[Path]) -> None:
    user_id = enrol(server, "Gone", ada[0])
    page.goto(f"/#/person/{user_id}")
    page.get_by_role("button", name="Forget this person").click()
    page.locator("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator(".tile")).to_have_count(1)
    page.get_by_role("button", name="Forget this person").click()
    page.locator("dialog").get_by_role("button", name="Forget this person").click()
    expect(page.get_by_role("heading", name="Gone is forgotten.")).to_be_visible()
    expect(page.locator("table")).to_contain_text("Photos erased")
    expect(page.get_by_text("Nothing is left in any store.")).to_be_visible()
    assert call(server, "/users")["users"] == []


def test_a_photo_that_looks_like_somebody_else_says_who(page: Page, server: Server, ada: list[Path]) -> None:
    user_id = enrol(server, "Ada", ada[0])
    page.goto("/#/people/add")
    page.get_by_label("Name", exact=True).fill("Eve")
    page.set_input_files("#new-photos", ada[1])
    page.get_by_role("button", name="Add", exact=True).click()
    line = page.locator(".progress li")
    expect(line).to_contain_text("added · The face looks like one that is enrolled under another name. → Ada")
    expect(line.get_by_role("link", name="Ada")).to_have_attribute("href", f"#/person/{user_id}")


def test_a_refused_photo_keeps_its_line_with_the_reason(
    page: Page, server: Server, ada: list[Path], nobody: Path
) -> None:
    first, second, *_ = ada
    user_id = enrol(server, "Ann", first)
    page.goto(f"/#/person/{user_id}")
    page.get_by_label("Add photos").set_input_files([second, nobody])
    expect(page.locator(".tile")).to_have_count(2)
    expect(page.locator(".progress .rejected")).to_contain_text("no face")


def test_a_photo_that_was_given_up_says_why_and_is_sent_again(page: Page, server: Server, ada: list[Path]) -> None:
    first, second, *_ = ada
    user_id = enrol(server, "Ann", first)
    remarks = [{"code": "indexing_failed", "message": "Something went wrong."}]
    state = {"image_path": "uploaded/Ann/x.jpg", "status": "failed", "remarks": remarks}
    page.route("**/uploads/**", lambda route: route.fulfill(json=state))
    page.goto(f"/#/person/{user_id}")
    page.get_by_label("Add photos").set_input_files([second])
    line = page.locator(".progress .rejected")
    expect(line).to_contain_text("failed · Something went wrong.")
    page.unroute("**/uploads/**")
    line.get_by_role("button").click()
    expect(page.locator(".tile")).to_have_count(2)


def test_the_last_photo_is_removed_after_a_question(page: Page, server: Server, ada: list[Path]) -> None:
    user_id = enrol(server, "Ann", ada[0])
    page.goto(f"/#/person/{user_id}")
    page.locator(".tile").get_by_role("button", name="Delete photo").click()
    expect(page.locator("dialog")).to_contain_text("Ann will no longer be recognised")
    page.locator("dialog").get_by_role("button", name="Delete photo").click()
    expect(page.get_by_role("heading", name="Nobody is enrolled yet")).to_be_visible()


def test_a_view_that_loads_slowly_keeps_the_sentence_that_led_to_it(
    page: Page, server: Server, ada: list[Path]
) -> None:
    user_id = enrol(server, "Ann", ada[0])
    held: list[Route] = []
    page.clock.install()
    page.route("**/views/people.js*", lambda route: held.append(route))  # Playwright marks what it is given
    page.goto(f"/#/person/{user_id}")
    page.locator(".tile").get_by_role("button", name="Delete photo").click()
    page.locator("dialog").get_by_role("button", name="Delete photo").click()
    wait_for(lambda: bool(page.title() and held))
    page.clock.fast_forward(2000)
    held[0].continue_()
    expect(page.get_by_role("heading", name="Nobody is enrolled yet")).to_be_visible()
    expect(page.locator("#toasts")).to_contain_text("The last photo of Ann was deleted.")


def test_a_rename_keeps_the_photos_and_can_be_undone(page: Page, server: Server, ada: list[Path]) -> None:
    user_id = enrol(server, "One", *ada[:2])
    page.goto(f"/#/person/{user_id}")
    page.get_by_role("button", name="Rename").click()
    page.locator("dialog").get_by_label("Name").fill("Two")
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Renamed to Two.")
    expect(page.locator("h1")).to_have_text("Two")
    expect(page.locator(".tile")).to_have_count(2)
    assert [(user["user_id"], user["name"]) for user in call(server, "/users")["users"]] == [(user_id, "Two")]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("h1")).to_have_text("One")
    assert [(user["user_id"], user["name"]) for user in call(server, "/users")["users"]] == [(user_id, "One")]


def test_a_name_that_differs_in_case_alone_asks_to_merge(
    page: Page, server: Server, ada: list[Path], grace: list[Path]
) -> None:
    user_id = enrol(server, "One", ada[0])
    enrol(server, "Other", grace[0])
    page.goto(f"/#/person/{user_id}")
    page.get_by_role("button", name="Rename").click()
    page.locator("dialog").get_by_label("Name").fill("OTHER")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Is One the same person")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("h1")).to_have_text("One")
    assert sorted(user["name"] for user in call(server, "/users")["users"]) == ["One", "Other"]


def test_the_end_of_a_consent_is_set_and_taken_back(page: Page, server: Server, ada: list[Path]) -> None:
    user_id = enrol(server, "Ada", ada[0])
    page.goto(f"/#/person/{user_id}")
    page.get_by_label("Consent until").fill("2099-06-30")
    expect(page.locator(".toast")).to_contain_text("Ada will be forgotten after Jun 30, 2099")
    page.reload()
    expect(page.get_by_label("Consent until")).to_have_value("2099-06-30")
    page.get_by_label("Consent until").fill("2000-01-01")
    page.get_by_label("Consent until").blur()
    expect(page.locator(".toast.error")).to_contain_text("A consent ends today or later")
    expect(page.get_by_label("Consent until")).to_have_value("2099-06-30")
    page.get_by_label("Consent until").fill("")
    expect(page.locator(".toast").last).to_contain_text("has no end")
    assert call(server, f"/users/{user_id}")["consent_until"] is None


def test_a_date_is_typed_without_being_sent_half_way(page: Page, server: Server, ada: list[Path]) -> None:
    user_id = enrol(server, "Ada", ada[0])
    sent: list[str] = []
    page.on("request", lambda request: request.method == "PATCH" and sent.append(request.post_data or ""))
    page.goto(f"/#/person/{user_id}")
    page.get_by_label("Consent until").focus()
    page.keyboard.type("06302099")
    page.keyboard.press("Tab")
    expect(page.locator(".toast")).to_contain_text("Ada will be forgotten after Jun 30, 2099")
    expect(page.locator(".toast.error")).to_have_count(0)
    assert sent == ['{"consent_until":"2099-06-30"}']


def test_whose_consent_ends_soon_is_listed(page: Page, server: Server, ada: list[Path], grace: list[Path]) -> None:
    soon, late = enrol(server, "Ada", ada[0]), enrol(server, "Grace", grace[0])
    in_a_week = (datetime.now(UTC).date() + timedelta(days=7)).isoformat()
    for user_id, day in ((soon, in_a_week), (late, "2099-06-30")):
        answer = httpx.patch(f"{server.url}/users/{user_id}", json={"consent_until": day}, timeout=PATIENCE_SECONDS)
        answer.raise_for_status()
    page.goto("/#/people")
    reminders = page.locator("section", has=page.get_by_role("heading", name="Ask for consent again"))
    expect(reminders.locator("li")).to_have_count(1)
    expect(reminders.locator("li")).to_contain_text("Ada is forgotten after")
    reminders.get_by_role("link").click()
    expect(page.get_by_label("Consent until")).to_have_value(in_a_week)


def test_a_photo_of_someone_else_is_moved_and_moved_back(
    page: Page, server: Server, ada: list[Path], grace: list[Path]
) -> None:
    user_id = enrol(server, "Ada", ada[0])
    enrol(server, "Ada", grace[0], user_id=user_id)
    page.goto(f"/#/person/{user_id}")
    page.locator(".tile").first.get_by_role("button", name="This is someone else…").click()
    expect(page.get_by_role("dialog").locator(".pair img")).to_have_count(1)
    page.get_by_role("dialog").get_by_label("Who is it?").fill("Grace")
    page.get_by_role("dialog").get_by_role("button", name="Move the photo").click()
    expect(page.locator("#toasts")).to_contain_text("The photo was moved to Grace.")
    expect(page.locator(".tile")).to_have_count(1)
    assert sorted((user["name"], user["face_count"]) for user in call(server, "/users")["users"]) == [
        ("Ada", 1),
        ("Grace", 1),
    ]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".tile")).to_have_count(2)
    assert [(user["name"], user["face_count"]) for user in call(server, "/users")["users"]] == [("Ada", 2)]


def test_the_only_photo_of_a_person_is_moved_and_moved_back(page: Page, server: Server, ada: list[Path]) -> None:
    user_id = enrol(server, "Ada", ada[0])
    page.goto(f"/#/person/{user_id}")
    page.get_by_role("button", name="This is someone else…").click()
    page.get_by_role("dialog").get_by_label("Who is it?").fill("Grace")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Grace")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#toasts .undo")).to_have_count(0)
    page.get_by_role("link", name="People", exact=True).click()
    expect(page.locator(".tile")).to_contain_text("Ada")
    assert [(user["user_id"], user["name"]) for user in call(server, "/users")["users"]] == [(user_id, "Ada")]


def test_two_thousand_people_are_listed_found_and_suggested(page: Page, ada: list[Path]) -> None:
    def listing(route: Route) -> None:
        first = 1000 if "cursor=next" in route.request.url else 0
        users = [_made_up(number) for number in range(first, first + 1000)]
        route.fulfill(json={"users": users, "next_cursor": None if first else "next"})

    loaded: list[str] = []
    page.on("request", lambda request: "/faces/" in request.url and loaded.append(request.url))
    page.route("**/users?*", listing)
    page.route("**/faces/*/image*", lambda route: route.fulfill(path=ada[0]))
    page.goto("/#/people")
    expect(page.get_by_text("2,000 people")).to_be_visible()
    expect(page.locator(".tile")).to_have_count(2000)
    expect(page.locator(".tile").first.locator("img")).to_be_visible()
    assert len(loaded) < 100  # those in view and soon to come
    page.get_by_text("Person 1200", exact=True).scroll_into_view_if_needed()
    page.wait_for_timeout(200)  # until the tiles around it have their real heights
    before = page.evaluate("scrollY")
    assert before > 5000
    page.get_by_text("Person 1200", exact=True).click()
    page.get_by_role("link", name="← People").click()
    expect(page.locator(".tile")).to_have_count(2000)
    expect(page.get_by_text("Person 1200", exact=True)).to_be_in_viewport()
    assert abs(page.evaluate("scrollY") - before) < 50
    page.get_by_label("Find a person").fill("1999")
    expect(page.locator(".tile:visible")).to_have_text(["Person 19991 photo"])
    expect(page.locator(".tile:visible img")).to_be_visible()
    page.get_by_role("link", name="Recognise", exact=True).click()
    page.set_input_files("#photos", ada[1])
    page.get_by_label("Who is this?").fill("person 19")
    expect(page.locator(".suggestions").get_by_role("option")).to_have_count(6)


def _made_up(number: int) -> dict[str, object]:
    face = {"face_id": f"face-{number}", "name": f"Person {number}", "image_path": None}
    person = {"user_id": f"user-{number}", "name": f"Person {number}", "face_count": 1, "best_face": face}
    return person | {"timestamp": "2026-01-02T03:04:05Z", "consent_until": None}
