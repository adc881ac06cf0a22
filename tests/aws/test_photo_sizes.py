"""Photos from some kilobytes to 15 MB through every door: what is accepted, and which sentence refuses the rest.

API Gateway and Lambda, which take less, are not here: tests of the template check what they answer.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from mien.backends.aws.image_limits import MAX_BYTES
from mien.domain.policy import Policy
from tests.aws import stack
from tests.aws.conftest import Deployment
from tests.aws.runtime import RuntimeApi
from tests.aws.test_deployed import indexed, until
from tests.aws.world import BUCKET, World, message, request
from tests.support.painter import Portrait, encoded, paint

LARGEST = Policy().max_image_bytes
LAMBDA = 6 * 1024 * 1024
"""What Lambda takes of a request, with the photo in base64."""
COMMENT = 65_533  # bytes, the longest comment of a JPEG

TOO_LARGE = "The photo has more than 15,728,640 bytes."
TOO_SMALL = "The photo is smaller than 80 by 80 pixels."
EMPTY = "The photo has no bytes."
NO_PHOTO = "The file is not a photo of a known format: JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF or BMP."


def tiny(side: int = 96) -> bytes:
    """A photo of about a kilobyte."""
    return encoded(paint(Portrait("Ada", side=64), size=(side, side)), quality=25)


@cache
def sized(size: int) -> bytes:
    """A JPEG of so many bytes, most of which are comments."""
    photo = encoded(paint("Ada"))
    missing = size - len(photo)
    comments = [COMMENT] * (missing // (COMMENT + 4)) + [missing % (COMMENT + 4) - 4]
    segments = (b"\xff\xfe" + (length + 2).to_bytes(2, "big") + b"." * length for length in comments)
    padded = photo[:2] + b"".join(segments) + photo[2:]
    assert len(padded) == size
    return padded


def noisy() -> bytes:
    """A PNG of about 12 MB that stays large as a JPEG."""
    picture = paint(Portrait("Ada", side=1000), size=(2000, 2000))
    noise = np.random.default_rng(1).integers(-60, 60, (2000, 2000, 3))
    return encoded(Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8)), "PNG")


BUCKET_SIZES = {
    "a kilobyte": (tiny, None),
    "as much as passes the gateway": (lambda: sized(LAMBDA * 3 // 4 - 100_000), None),
    "more than Rekognition takes as bytes": (lambda: sized(MAX_BYTES + 1), None),
    "more than that in pixels, too": (noisy, None),
    "15 MB": (lambda: sized(LARGEST), None),
    "more": (lambda: sized(LARGEST + 1), TOO_LARGE),
    "too few pixels": (lambda: tiny(79), TOO_SMALL),
    "no bytes": (lambda: b"", EMPTY),
    "no photo": (lambda: b"%PDF-1.7 " + 2_000_000 * b".", NO_PHOTO),
}


@pytest.fixture
def functions(world: World) -> Iterator[dict[str, RuntimeApi]]:
    with world.function("upload") as upload, world.function("recognize") as recognize:
        yield {"upload": upload, "recognize": recognize}


@pytest.fixture
def key(world: World, tmp_path: Path) -> str:
    return world.keep_keys(tmp_path)


def test_a_photo_in_the_bucket_is_indexed_and_recognised_there_or_refused_with_the_reason(
    world: World, functions: dict[str, RuntimeApi], key: str
) -> None:
    for name, (photo, sentence) in BUCKET_SIZES.items():
        path = f"uploaded/Ada/{name}.jpg"
        world.s3.put_object(Bucket=BUCKET, Key=path, Body=photo())
        assert functions["upload"].invoke({"Records": [message(path)]}) == {"batchItemFailures": []}, name
        state = body_of(functions["upload"].invoke(request("GET", "/uploads/{image_path+}", f"/uploads/{path}", key)))
        answer = functions["recognize"].invoke(request("GET", "/recognize", "/recognize", key, query=image_path(path)))
        if sentence is None:
            assert (state["status"], len(state["face_ids"])) == ("indexed", 1), name
            assert [face["user_id"] for face in body_of(answer)["faces"]] == ["Ada"], name
        else:
            assert (state["status"], state["reasons"]) == ("rejected", [sentence]), name
            assert body_of(answer)["detail"] == sentence, name
            assert answer["statusCode"] in {400, 413, 415, 422}


def test_a_photo_in_a_request_is_taken_or_refused_with_the_same_words(
    world: World, functions: dict[str, RuntimeApi], key: str
) -> None:
    jpeg = {"headers": {"Content-Type": "image/jpeg"}}
    accepted = {"a kilobyte": tiny(), "as much as passes the gateway": sized(LAMBDA * 3 // 4 - 100_000)}
    for name, photo in accepted.items():
        sent = functions["upload"].invoke(request("POST", "/upload", "/upload", key, body=photo, **jpeg))
        assert sent["statusCode"] == 202, name
        path = body_of(sent)["image_path"]
        assert functions["upload"].invoke({"Records": [message(path)]}) == {"batchItemFailures": []}
        found = functions["recognize"].invoke(request("POST", "/recognize", "/recognize", key, body=photo, **jpeg))
        assert (found["statusCode"], len(body_of(found)["faces"])) == (200, 1), name
    refused = {TOO_SMALL: tiny(79), EMPTY: b"", NO_PHOTO: b"%PDF-1.7"}
    for sentence, photo in refused.items():
        answer = functions["recognize"].invoke(request("POST", "/recognize", "/recognize", key, body=photo, **jpeg))
        assert body_of(answer)["detail"] == sentence
    for sentence in (EMPTY, NO_PHOTO):
        answer = functions["upload"].invoke(request("POST", "/upload", "/upload", key, body=refused[sentence], **jpeg))
        assert body_of(answer)["detail"] == sentence


def test_a_form_takes_photos_up_to_15_mb(world: World, functions: dict[str, RuntimeApi], key: str) -> None:
    ask = {"body": b'{"content_type": "image/jpeg", "user_id": "Ada"}', "headers": {"Content-Type": "application/json"}}
    for photo in (tiny(), sized(LARGEST)):
        form = body_of(functions["upload"].invoke(request("POST", "/uploads", "/uploads", key, **ask)))
        sent = httpx.post(f"{world.aws}/{BUCKET}", data=form["fields"], files={"file": photo}, timeout=60)
        assert sent.status_code == 204, sent.text
        assert functions["upload"].invoke({"Records": [message(form["image_path"])]}) == {"batchItemFailures": []}
        policy = json.loads(base64.b64decode(form["fields"]["policy"]))
        assert ["content-length-range", 1, LARGEST] in policy["conditions"]
    assert len(world.items("FaceMetadata")) == 2


@pytest.mark.aws
def test_s3_refuses_a_form_with_more(deployment: Deployment) -> None:
    """Which moto does not, but the emulator does."""
    with deployment.stack.api(deployment.key) as api:
        for size, status in ((LARGEST, 204), (LARGEST + 1, 400)):
            form = api.post("/uploads", json={"content_type": "image/jpeg", "user_id": "Sized"}).json()
            sent = httpx.post(form["url"], data=form["fields"], files={"file": sized(size)}, timeout=60)
            assert sent.status_code == status, sent.text
            if status == 204:
                assert until(lambda: indexed(api, form["image_path"]))["status"] == "indexed"  # noqa: B023
        assert "EntityTooLarge" in sent.text
        api.delete("/users/Sized").raise_for_status()


def test_the_command_line_refuses_before_it_uploads(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "people" / "Ada"
    folder.mkdir(parents=True)
    (folder / "large.jpg").write_bytes(sized(LARGEST + 1))
    environment = os.environ | world.settings() | {"AWS_REGION": stack.REGION}
    environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    command = [sys.executable, "-m", "mien", "recognize", str(folder / "large.jpg")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "has more than 15,728,640 bytes" in " ".join((done.stdout + done.stderr).split())
    assert "Contents" not in world.s3.list_objects_v2(Bucket=BUCKET)


def image_path(path: str) -> dict[str, str]:
    return {"image_path": path}


def body_of(answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer["body"])
    return found
