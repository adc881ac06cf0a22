"""Drop a photo, see the names; unknown faces can be named; nothing that goes wrong loses the photo."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.support import painter
from tests.web.conftest import Server
from tests.web.people import call, enrol

pytestmark = pytest.mark.web


def test_a_known_face_gets_its_name_and_lights_its_box(page: Page, server: Server, ada: list[Path]) -> None:
    first, second, *_ = ada
    user_id = enrol(server, "Ana María 👩", first)
    page.goto("/")
    page.set_input_files("#photos", second)
    row = page.locator(".face.matched")
    expect(row).to_contain_text("Ana María 👩")
    expect(row.get_by_role("link")).to_have_attribute("href", f"#/person/{user_id}")
    row.hover()
    expect(page.locator(".box.matched")).to_have_class("box matched highlighted")


def test_an_unknown_face_is_remembered_in_two_clicks(page: Page, ada: list[Path]) -> None:
    first, second, *_ = ada
    page.goto("/")
    page.set_input_files("#photos", first)
    form = page.locator(".face.unknown form").first
    form.get_by_label("Who is this?").fill("<script>alert(1)</script> O'Neil")
    form.get_by_role("button", name="Save").click()
    expect(page.locator(".face").first).to_contain_text("Saved")
    page.set_input_files("#photos", second)
    expect(page.locator(".card").first.locator(".face.matched")).to_contain_text("<script>alert(1)</script> O'Neil")


def test_everybody_on_a_group_photo_has_a_box(page: Page, eight: Path) -> None:
    page.goto("/")
    page.set_input_files("#photos", eight)
    expect(page.locator(".card .box")).to_have_count(8)
    expect(page.locator(".card h2")).to_have_text("8 faces")


def test_a_photo_without_faces_says_so(page: Page, nobody: Path) -> None:
    page.goto("/")
    page.set_input_files("#photos", nobody)
    expect(page.locator(".card h2")).to_have_text("No face was found in this photo.")


@pytest.mark.parametrize("name", ["note.jpg", "note.pdf", "note.md", "note.json"])
def test_a_file_that_is_no_picture_gets_a_sentence(page: Page, tmp_path: Path, name: str) -> None:
    note = tmp_path / name
    note.write_text("not a picture")
    page.goto("/")
    page.set_input_files("#photos", note)
    expect(page.locator(".problem")).to_contain_text("not a photo of a known format")


@pytest.mark.parametrize(
    ("language", "sentence"), [("en", "The photo has more than 15,728,640 bytes."), ("de", "Das Foto ist zu groß")]
)
def test_a_photo_with_too_many_bytes_gets_a_sentence(page: Page, tmp_path: Path, language: str, sentence: str) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8\xff" + bytes(20_000_000))
    page.goto(f"/?lang={language}")
    page.set_input_files("#photos", photo)
    expect(page.locator(".problem")).to_contain_text(sentence)


def test_a_stopped_server_loses_nothing(page: Page, server: Server, couple: Path) -> None:
    page.goto("/")
    expect(page.locator("h1")).to_be_visible()
    server.stop()
    page.set_input_files("#photos", couple)
    expect(page.locator(".problem")).to_contain_text("not responding")
    expect(page.locator("#offline")).to_be_visible()
    server.start()
    expect(page.locator("#offline")).to_be_hidden()
    expect(page.locator(".card .box")).to_have_count(2)


def test_a_photo_is_recognised_when_its_view_is_shown_again_after_the_server_was_away(
    page: Page, server: Server, couple: Path
) -> None:
    page.goto("/")
    page.get_by_role("link", name="People", exact=True).click()
    expect(page.get_by_role("heading", name="Nobody is enrolled yet")).to_be_visible()
    page.get_by_role("link", name="Recognise", exact=True).click()
    server.stop()
    page.set_input_files("#photos", couple)
    expect(page.locator(".problem")).to_contain_text("not responding")
    page.get_by_role("link", name="People", exact=True).click()
    expect(page.get_by_role("heading", name="People")).to_be_visible()
    server.start()
    expect(page.locator("#offline")).to_be_hidden()
    page.get_by_role("link", name="Recognise", exact=True).click()
    expect(page.locator(".card .box")).to_have_count(2)


def test_a_name_is_saved_after_the_server_was_away(page: Page, server: Server, ada: list[Path]) -> None:
    page.goto("/")
    page.set_input_files("#photos", ada[0])
    form = page.locator(".face.unknown form")
    form.get_by_label("Who is this?").fill("Ada")
    server.stop()
    form.get_by_role("button", name="Save").click()
    expect(page.locator(".toast.error")).to_contain_text("Your work is still here")
    expect(form.get_by_label("Who is this?")).to_have_value("Ada")
    server.start()
    expect(page.locator("#offline")).to_be_hidden()
    form.get_by_role("button", name="Save").click()
    expect(page.locator(".face.matched")).to_contain_text("Saved")


def test_a_first_timer_tries_sample_photos(page: Page, ada: list[Path], grace: list[Path]) -> None:
    photos = {"ada.jpg": ada[0], "ada2.jpg": ada[1], "grace.jpg": grace[0]}
    people = [{"name": "Ada", "photos": ["ada.jpg", "ada2.jpg"]}, {"name": "Grace", "photos": ["grace.jpg"]}]
    page.route("**/samples", lambda route: route.fulfill(json={"people": people}))
    page.route("**/samples/*", lambda route: route.fulfill(path=photos[route.request.url.rpartition("/")[2]]))
    page.goto("/")
    expect(page.get_by_role("heading", name="Two steps to the first name")).to_be_visible()
    page.get_by_role("button", name="Try it with sample photos").click()
    expect(page.locator("#toasts")).to_contain_text("Ada was added from another photo. Now name Grace.")
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator(".face.matched")).to_contain_text("Ada")
    expect(page.locator(".face.unknown")).to_have_count(1)
    expect(page.get_by_role("heading", name="Two steps to the first name")).to_be_hidden()
    group = page.get_by_role("button", name="Group unknown faces")
    expect(group).to_be_visible()
    page.get_by_label("Who is this?").fill("Grace")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".face.matched")).to_have_count(2)
    expect(group).to_be_hidden()


def test_many_photos_get_a_summary_and_rows_that_open(
    page: Page, server: Server, tmp_path: Path, ada: list[Path], grace: list[Path], couple: Path, nobody: Path
) -> None:
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(ada[0].read_bytes()[:200])
    enrol(server, "Ada", ada[0])
    page.goto("/")
    page.set_input_files("#photos", [*ada, *grace, couple, nobody, damaged])
    expect(page.locator(".card")).to_have_count(9)
    expect(page.locator(".summary strong")).to_have_text("9 photos · 1 person · 5 unknown")
    rows = page.locator(".card.compact")
    expect(rows).to_have_count(8)  # what is wrong with a photo is never hidden
    in_order = [photo.name for photo in (*ada, *grace, couple, nobody)]
    expect(rows.locator(".file-name")).to_have_text(in_order)
    expect(rows.filter(has_text=nobody.name)).to_contain_text("No face")
    expect(page.locator(".card:not(.compact) .problem")).to_contain_text("damaged")
    row = rows.filter(has_text=couple.name)
    expect(row).to_contain_text("2 unknown")
    row.get_by_role("button").click()
    expect(rows).to_have_count(7)
    expect(page.locator(".box:visible")).to_have_count(2)
    page.get_by_role("button", name="Open all").click()
    expect(rows).to_have_count(0)
    page.get_by_role("button", name="Close all").click()
    expect(rows).to_have_count(8)
    page.get_by_role("button", name="Dismiss all").click()
    expect(page.locator(".card")).to_have_count(0)
    expect(page.locator(".summary")).to_be_hidden()


def test_the_server_is_heard_in_the_language_of_the_page(page: Page, tmp_path: Path, nobody: Path) -> None:
    note = tmp_path / "note.jpg"
    note.write_text("not a picture")
    page.goto("/?lang=de")
    page.set_input_files("#photos", note)
    expect(page.locator(".problem")).to_contain_text("Die Datei ist kein Foto in einem bekannten Format: JPEG")
    page.goto("/?lang=fr#/people/add")
    page.get_by_label("Nom", exact=True).fill("Ada")
    page.set_input_files("#new-photos", nobody)
    page.get_by_role("button", name="Ajouter", exact=True).click()
    expect(page.locator(".progress")).to_contain_text("non ajoutée · Aucun visage qui convienne")


def test_photos_stay_while_another_view_is_looked_at(page: Page, couple: Path) -> None:
    page.goto("/")
    page.set_input_files("#photos", couple)
    expect(page.locator(".card .box")).to_have_count(2)
    page.get_by_role("link", name="History", exact=True).click()
    expect(page.locator(".timeline > li")).to_have_count(1)
    page.get_by_role("link", name="Recognise", exact=True).click()
    expect(page.locator(".card .box")).to_have_count(2)


def test_a_wrong_name_is_taken_back_and_back_again(page: Page, server: Server, ada: list[Path]) -> None:
    first, second, *_ = ada
    enrol(server, "Ann", first)
    page.goto("/")
    page.set_input_files("#photos", second)
    page.get_by_role("button", name="Not Ann").click()
    expect(page.locator("#toasts")).to_contain_text("this is not Ann")
    expect(page.locator(".face.unknown")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".face.matched")).to_contain_text("Ann")
    expect(page.get_by_role("button", name="Not Ann")).to_be_focused()


def test_after_a_name_is_taken_back_the_next_can_be_typed_at_once(page: Page, couple: Path) -> None:
    page.goto("/")
    page.set_input_files("#photos", couple)
    field = page.locator(".face").first.get_by_label("Who is this?")
    field.fill("Edith")
    field.press("Enter")
    expect(page.locator(".face.matched")).to_contain_text("Edith")
    page.locator(".face.matched").get_by_role("button", name="Undo").click()
    expect(page.locator(".face.unknown")).to_have_count(2)
    expect(field).to_be_focused()


def test_a_crowd_of_a_hundred_has_a_hundred_boxes(page: Page, tmp_path: Path) -> None:
    crowd = Image.new("RGB", (2000, 2000))
    for person in range(100):
        portrait = painter.paint(painter.Portrait(person, side=120), size=(200, 200))
        crowd.paste(portrait, (person % 10 * 200, person // 10 * 200))
    crowd.save(tmp_path / "crowd.jpg", quality=92)
    page.goto("/")
    page.set_input_files("#photos", tmp_path / "crowd.jpg")
    expect(page.locator(".card .box")).to_have_count(100)


def test_sixty_megapixels_are_made_smaller_and_a_hundred_are_refused(page: Page, tmp_path: Path, couple: Path) -> None:
    whole = Image.open(couple)
    for name, size in (("large.jpg", (9200, 6509)), ("huge.jpg", (11000, 9000))):
        whole.resize(size).save(tmp_path / name, quality=70)
    page.goto("/")
    page.set_input_files("#photos", tmp_path / "large.jpg")
    expect(page.locator(".card .box")).to_have_count(2)
    page.set_input_files("#photos", tmp_path / "huge.jpg")
    expect(page.locator(".card").first.locator(".problem")).to_contain_text("too many pixels")


def test_a_double_click_works_once(page: Page, server: Server, ada: list[Path]) -> None:
    first, second, *_ = ada
    posts: list[str] = []
    page.on("request", lambda request: request.method == "POST" and posts.append(request.url.split("?")[0]))
    page.goto("/")
    page.set_input_files("#photos", first)
    page.get_by_label("Who is this?").fill("Ann")
    page.get_by_role("button", name="Save").dblclick()
    expect(page.locator(".face").first).to_contain_text("Saved")
    page.get_by_role("button", name="Dismiss").click()
    page.set_input_files("#photos", second)
    page.get_by_role("button", name="Not Ann").dblclick()
    expect(page.locator(".face.unknown")).to_have_count(1)
    assert posts.count(f"{server.url}/upload") == 1
    assert posts.count(f"{server.url}/rejections") == 1


def test_a_name_half_typed_outlives_a_correction(
    page: Page, server: Server, tmp_path: Path, ada: list[Path], grace: list[Path]
) -> None:
    enrol(server, "Ann", ada[0])
    both = Image.new("RGB", (500, 250))
    both.paste(Image.open(ada[1]).resize((250, 250)), (0, 0))
    both.paste(Image.open(grace[0]).resize((250, 250)), (250, 0))
    both.save(tmp_path / "both.png")
    page.goto("/")
    page.set_input_files("#photos", tmp_path / "both.png")
    page.get_by_label("Who is this?").fill("Ben")
    page.get_by_role("button", name="Not Ann").click()
    expect(page.locator(".face.unknown")).to_have_count(2)
    expect(page.locator(".box")).to_have_count(2)
    assert sorted(box.input_value() for box in page.get_by_label("Who is this?").all()) == ["", "Ben"]


def test_the_skip_link_stays_in_the_view(page: Page) -> None:
    page.goto("/#/settings")
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()


def test_a_view_that_cannot_be_loaded_says_so_and_comes_later(page: Page, server: Server) -> None:
    page.goto("/")
    expect(page.locator("h1")).to_be_visible()
    server.stop()
    page.get_by_role("link", name="History", exact=True).click()
    expect(page.locator("main .problem")).to_contain_text("not responding")
    server.start()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="History")).to_be_visible()


def test_a_call_too_many_comes_again_by_itself(page: Page, couple: Path) -> None:
    refusals = iter([True])
    page.route(
        "**/recognize*",
        lambda route: (
            route.fulfill(status=429, json={"message": "Too Many Requests"})
            if next(refusals, False)
            else route.continue_()
        ),
    )
    page.goto("/")
    page.set_input_files("#photos", couple)
    expect(page.locator(".card .box")).to_have_count(2)


def test_faces_are_numbered_from_left_to_right_in_picture_list_and_history(
    page: Page, server: Server, tmp_path: Path, ada: list[Path]
) -> None:
    enrol(server, "Ada", ada[0])
    photo = tmp_path / "both.jpg"
    photo.write_bytes(painter.photo_of(painter.Portrait("Grace", side=64), painter.Portrait("Ada", photo=5)))
    assert [face["name"] for face in call(server, "/recognize", photo.read_bytes())["faces"]] == ["Ada", None]
    page.goto("/")
    page.set_input_files("#photos", photo)
    expect(page.locator(".box .number")).to_have_text(["1", "2"])
    expect(page.locator(".box .tag")).to_have_text(["Unknown", "Ada"])
    expect(page.locator(".face .number")).to_have_text(["1", "2"])
    expect(page.locator(".face strong")).to_have_text(["Unknown", "Ada"])
    page.get_by_role("link", name="History", exact=True).click()
    page.locator(".row-button").first.click()
    expect(page.locator(".details .face .number")).to_have_text(["1", "2"])
    expect(page.locator(".details .face strong")).to_have_text(["Unknown", "Ada"])
