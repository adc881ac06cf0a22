"""How photos are shown on AWS: read from the bucket without the key, and converted where browsers cannot show them."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from mien.backends.aws import image_limits
from mien.domain.errors import ImageTooLarge, UnsupportedImage
from mien.lambdas import api_gateway
from tests.aws import stack
from tests.aws.world import BUCKET, World, request

ROUTE = ("GET", "/images/{image_path+}")
PATH = "uploaded/Ada/1.jpg"


@pytest.mark.parametrize("wide", ["*/*", "image/*, application/json", "application/json, text/plain, */*"])
def test_a_photo_is_a_redirect_for_clients_that_take_photos(world: World, tmp_path: Path, wide: str) -> None:
    key = keep(world, tmp_path, PATH, b"photo")
    with world.function("people") as function:
        answer = function.invoke(request(*ROUTE, f"/images/{PATH}", key, headers={"Accept": wide}))
    assert (answer["statusCode"], answer["headers"]["vary"]) == (307, "Accept")
    assert key not in json.dumps(answer)


def test_a_client_that_takes_json_gets_the_address_and_need_not_send_its_key_along(
    world: World, tmp_path: Path
) -> None:
    key = keep(world, tmp_path, PATH, b"photo")
    with world.function("people") as function:
        asked = {"Accept": "application/json"}
        answer = function.invoke(request(*ROUTE, f"/images/{PATH}", key, headers=asked))
        missing = function.invoke(request(*ROUTE, "/images/uploaded/Ada/2.jpg", key, headers=asked))
    assert (answer["statusCode"], answer["headers"]["vary"]) == (200, "Accept")
    link = json.loads(answer["body"])
    assert link.keys() == {"url", "expires_in"}
    assert (httpx.get(link["url"]).content, link["expires_in"]) == (b"photo", 60)
    assert missing["statusCode"] == 404


def test_no_browser_may_bring_a_header_to_the_bucket() -> None:
    """A fetch that follows the API's redirect with X-Api-Key is refused by its browser before the key is sent."""
    (bucket,) = stack.resources("AWS::S3::Bucket").values()
    reading = [rule for rule in bucket["CorsConfiguration"]["CorsRules"] if rule.get("AllowedMethods") == ["GET"]]
    assert [rule.get("AllowedHeaders") for rule in reading] == [None]


def test_postman_asks_for_the_address_of_a_photo() -> None:
    collection = json.loads((stack.INFRA.parent / "docs" / "mien.postman_collection.json").read_text())
    asked = {item["name"]: item["request"].get("header") for item in collection["item"]}
    assert asked["GET /images/{image_path}"] == [{"key": "Accept", "value": "application/json"}]
    assert asked["GET /users"] is None


@pytest.mark.parametrize("form", ["HEIF", "TIFF", "JPEG"])
def test_a_photo_that_browsers_cannot_show_is_converted(world: World, tmp_path: Path, form: str) -> None:
    photo = encoded(form, (200, 100))
    key = keep(world, tmp_path, "uploaded/Ada/1.heic", photo)
    with world.function("recognize") as function:
        sent = request("POST", "/render", "/render", key, body=photo, headers={"Content-Type": "image/heic"})
        rendered = function.invoke(sent | {"queryStringParameters": {"size": "50"}, **many("size", "50")})
        refused = function.invoke(sent | {"body": base64.b64encode(b"no photo").decode()})
    assert size_of(rendered) == (50, 25)
    assert refused["statusCode"] == 415
    with world.function("people") as function:
        stored = function.invoke(request(*ROUTE, "/images/uploaded/Ada/1.heic", key, query={"size": "64"}))
    assert size_of(stored) == (64, 32)


def test_a_photo_is_converted_upright_and_without_what_it_tells_of_itself() -> None:
    photo = encoded("JPEG", (200, 100), orientation=6)
    shown = Image.open(io.BytesIO(image_limits.render(photo, 100)))
    assert (shown.format, shown.size, dict(shown.getexif())) == ("JPEG", (50, 100), {})


def test_a_photo_that_would_be_too_large_for_an_answer_gets_fewer_pixels(world: World, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (2400, 2400, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=92)
    assert len(file.getvalue()) > image_limits.MAX_RENDERED_BYTES
    key = keep(world, tmp_path, "uploaded/Ada/1.jpg", file.getvalue())
    with world.function("people") as function:
        shown = function.invoke(request(*ROUTE, "/images/uploaded/Ada/1.jpg", key, query={"size": "4096"}))
    assert 1000 < size_of(shown)[0] < 2400
    assert len(json.dumps(shown)) < api_gateway.MAX_ANSWER


def test_an_answer_that_lambda_would_not_return_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda itself would fail, and the gateway answer 502 for a function that did nothing wrong."""
    answers = {"statusCode": 200, "headers": {}}
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 28_000)

    def answer(body: str) -> dict[str, Any]:
        gateway = SimpleNamespace(answer=lambda *_asked: {**answers, "body": body})
        monkeypatch.setattr(api_gateway, "_gateway", lambda _function: gateway)
        return api_gateway.answer("people", request("GET", "/recognitions", "/recognitions"), context)

    assert answer("x" * (api_gateway.MAX_ANSWER - 1000))["statusCode"] == 200
    assert answer(base64.b64encode(bytes(image_limits.MAX_RENDERED_BYTES)).decode())["statusCode"] == 200
    for character, size in ('"', 2), ("\u9854", 3):  # a quotation mark is escaped
        assert answer(character * (api_gateway.MAX_ANSWER // size - 1000))["statusCode"] == 200
        refused = answer(character * (api_gateway.MAX_ANSWER // size + 1))
        assert refused["statusCode"] == 422
        assert "Ask for fewer with limit" in json.loads(refused["body"])["detail"]


def test_a_photo_that_would_take_the_functions_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_limits, "MAX_RENDERED_PIXELS", 19_999)
    monkeypatch.setattr(image_limits, "LARGE_DECODERS", {"WEBP": 9_999})
    for form, most in (("PNG", "19,999"), ("WEBP", "9,999")):
        with pytest.raises(ImageTooLarge, match=f"more than {most} pixels") as refused:
            image_limits.render(encoded(form, (200, 100)), 100)
        assert refused.value.limit == "pixels"
    assert image_limits.render(encoded("JPEG", (800, 800)), 100)  # decoded at an eighth of its sides
    with pytest.raises(UnsupportedImage):
        image_limits.render(b"no photo", 100)


def keep(world: World, folder: Path, path: str, photo: bytes) -> str:
    world.s3.put_object(Bucket=BUCKET, Key=path, Body=photo, ContentType="image/jpeg")
    return world.keep_keys(folder)


def encoded(form: str, size: tuple[int, int], orientation: int = 1) -> bytes:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, (200, 150, 100)).save(file, form, exif=exif)
    return file.getvalue()


def size_of(answer: dict[str, Any]) -> tuple[int, int]:
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (200, "image/jpeg")
    return Image.open(io.BytesIO(base64.b64decode(answer["body"]))).size


def many(name: str, value: str) -> dict[str, Any]:
    return {"multiValueQueryStringParameters": {name: [value]}}
