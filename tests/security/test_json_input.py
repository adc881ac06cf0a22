"""JSON from strangers: what would make a million objects of a few bytes is refused before it is parsed."""

from __future__ import annotations

import json

import pytest

from mien.domain.errors import InvalidInput
from mien.security import json_input
from mien.security.json_input import parse_object


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": [' + b"[]," * 100_000 + b"1]}",
        b'{"a": [' + b"{}," * 100_000 + b"1]}",
        b'{"a": [' + b"0," * 100_000 + b"1]}",
        b"{" + b'"a":1,' * 100_000 + b'"b":1}',
        b'{"a":' * 100_000,
        b"[" * 1_000_000,
        b'{"a": "' + b"\\n" * 1_000_000 + b'"}',
        b'{"a": "' + b"\\u0041" * 1_000_000 + b'"}',
    ],
)
def test_too_much_structure_is_never_parsed(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("it was parsed"))
    with pytest.raises(InvalidInput, match="too many"):
        parse_object(body, 1000)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"a"', b"null", b"\xff", b"NaN", b'{"a": Infinity}', b'{"a":' * 999]
)
def test_what_is_no_object(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_object(body, 1000)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-32-be"])
def test_half_a_character_is_refused_before_the_text_is_parsed(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's parser takes these bytes one by one, a thousand times as slowly as letters."""
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("it was parsed"))
    with pytest.raises(InvalidInput, match="not JSON"):
        parse_object('{"image": "\ud800"}'.encode(encoding, "surrogatepass"), 32)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_may_be_in_any_encoding_of_unicode(encoding: str) -> None:
    assert parse_object('{"name": "Ådå"}'.encode(encoding), 32) == {"name": "Ådå"}


def test_a_large_photo_in_base64_is_parsed_also_with_escaped_slashes() -> None:
    photo = "/9j/" * 100_000
    assert parse_object(json.dumps({"image": photo, "user_id": "Ada"}).encode(), 32)["image"] == photo
    escaped = json.dumps({"image": "ab/" + "x" * 61}).replace("/", "\\/")
    assert parse_object(escaped.encode(), 32)["image"].startswith("ab/")
    few = '{"image": "' + ("x" * 63 + "\\/") * 10_000 + '"}'
    assert len(parse_object(few.encode(), 32)["image"]) == 640_000


def test_short_texts_may_be_all_escapes() -> None:
    name = "Ådå\n" * 50
    assert parse_object(json.dumps({"name": name}).encode(), 32) == {"name": name}
    assert len(json.dumps(name)) < json_input.SHORT_BYTES
