"""Each parser of a stranger's bytes, alone: it returns, or raises the one error that its callers expect."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from mien import setting_parsers
from mien.api.forwarding import trusted_peers
from mien.domain import image_types, object_keys, thresholds
from mien.domain.errors import AccessDenied, ImageError, InvalidInput, NotAuthenticated, SetupError
from mien.engine.decode import open_photo
from mien.rekognition.access_keys import load_keys
from mien.rekognition.errors import WireError
from mien.rekognition.operations import OPERATIONS
from mien.rekognition.parsing import operation_model, parse
from mien.rekognition.sigv4 import RawRequest, read_claim, verify
from mien.rekognition.validation import validate
from mien.security.api_keys import KeyFile
from mien.security.signing import Signer
from tests.hostile.conftest import inputs
from tests.hostile.generators import any_signature
from tests.support.painter import photo_of

some = settings(
    max_examples=inputs(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ANYTHING = st.text(st.characters(codec=None), max_size=100)
"""Lone surrogates, too: JSON can hold them."""

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANYTHING,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANYTHING, inner, max_size=4),
    max_leaves=12,
)
LATIN = st.text(st.characters(max_codepoint=255), max_size=200)


@some
@given(ANYTHING)
@example("\ud800")
@example("/" + "a" * 300)
@pytest.mark.parametrize(
    "read",
    [
        object_keys.parse_user_id,
        object_keys.parse_new_user_id,
        object_keys.parse_name,
        object_keys.parse_image_path,
        thresholds.parse,
        setting_parsers.root_path,
        lambda text: Signer(b"0123456789abcdef").verify("cursor", text),
    ],
)
def test_a_text_is_taken_or_refused(read: Callable[[str], object], text: str) -> None:
    with suppress(InvalidInput, AccessDenied):
        taken = read(text)
        assert not isinstance(taken, str) or "\0" not in taken
        str(taken).encode()  # what was taken can be stored and sent


@some
@given(ANYTHING)
def test_no_text_is_an_api_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(NotAuthenticated):
        KeyFile(tmp_path / "keys.json").check(text)


@some
@given(ANYTHING, ANYTHING)
def test_a_peer_is_trusted_or_not(listed: str, peer: str) -> None:
    assert trusted_peers(listed)(peer) in (True, False)


@some
@given(st.binary(max_size=300))
def test_bytes_are_an_image_type_or_not(content: bytes) -> None:
    with suppress(ImageError):
        assert all(image_types.sniff(content))


@some
@given(st.sampled_from(sorted(OPERATIONS)), JSON_VALUES)
@example("ListFaces", {"CollectionId": "\ud800", "MaxResults": 10**400})
def test_parameters_of_any_shape_are_taken_or_refused(operation: str, value: Any) -> None:
    shape = operation_model(operation).input_shape
    with suppress(WireError):
        validate(shape, parse(shape, value))


@some
@given(LATIN, LATIN, st.dictionaries(st.sampled_from(("authorization", "x-amz-date", "host")), LATIN))
def test_a_signature_that_nobody_made_is_refused(path: str, query: str, headers: dict[str, str]) -> None:
    _is_refused(RawRequest("POST", path, query, headers, b"{}"))


def test_a_signature_that_was_changed_is_refused() -> None:
    for number in range(inputs(400)):
        request = any_signature(number)
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        _is_refused(RawRequest("POST", request.path, request.query.decode("latin-1"), headers, b"{}"))


def _is_refused(request: RawRequest) -> None:
    with pytest.raises(WireError):
        verify(request, read_claim(request), "not the admin's", region=None, now=datetime.now(UTC))


@some
@given(st.dictionaries(ANYTHING, JSON_VALUES, max_size=3) | JSON_VALUES)
def test_a_file_of_access_keys_is_read_or_refused(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "access-keys.json"
    path.write_text(json.dumps({"KEY": value}), "utf-8")
    path.chmod(0o600)
    with suppress(SetupError):
        load_keys(path)


def _in_every_format() -> dict[str, bytes]:
    picture = Image.open(BytesIO(photo_of("Ada"))).resize((64, 64))
    found = {}
    for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        stream = BytesIO()
        picture.save(stream, name)
        found[name] = stream.getvalue()
    stream = BytesIO()
    picture.save(stream, "JPEG", progressive=True)
    high_efficiency = BytesIO()
    pillow_heif.from_pillow(picture).save(high_efficiency)
    return found | {"progressive JPEG": stream.getvalue(), "HEIC": high_efficiency.getvalue()}


FORMATS = _in_every_format()


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_photo_is_read_or_refused(name: str, rng: Any) -> None:
    for _ in range(inputs(25)):
        damaged = bytearray(FORMATS[name])
        for at in rng.integers(0, len(damaged), rng.integers(1, 8)):
            damaged[at] = rng.integers(256)
        if rng.random() < 0.3:
            del damaged[rng.integers(len(damaged)) :]
        with suppress(ImageError):
            pixels = open_photo(bytes(damaged)).pixels(100)
            assert pixels.ndim == 3
