"""Names people type survive every store, and names made to harm are refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.domain import object_keys
from mien.domain.errors import InvalidInput

REAL = ["Alice", "Zoë O'Neill", "A/B 100%", "con", "_", "..", ".hidden", "Anna+Bob", "名前 太郎", "😀", "nul.txt"]


def _is_user_id(text: str) -> bool:
    try:
        return object_keys.parse_user_id(text) == text
    except InvalidInput:
        return False


user_ids = st.one_of(st.sampled_from(REAL), st.text(min_size=1, max_size=30)).filter(_is_user_id)


@given(user_ids)
def test_the_owner_of_a_photo_is_read_from_its_path(user: str) -> None:
    path = object_keys.image_path(user, "0" * 32, "jpg")
    assert object_keys.user_id_of(path) == user
    assert path.count("/") == 2


@given(user_ids)
def test_a_recognizer_name_is_legal_and_reversible(user: str) -> None:
    name = object_keys.to_recognizer_id(user)
    assert re.fullmatch(r"[a-zA-Z0-9_.\-:]{1,128}", name)
    assert object_keys.from_recognizer_id(name) == user


def test_two_people_never_share_a_name() -> None:
    assert len({object_keys.folder(user) for user in [*REAL, None]}) == len(REAL) + 1
    assert len({object_keys.to_recognizer_id(user) for user in [*REAL, None]}) == len(REAL) + 1


def test_a_name_is_composed_and_trimmed() -> None:
    assert object_keys.parse_user_id("  Zoe\u0308 ") == "Zo\u00eb"


@pytest.mark.parametrize("text", ["", "   ", "a\x00b", "a\nb", "\ud800", "x" * 81])
def test_a_user_id_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        object_keys.parse_user_id(text)


@pytest.mark.parametrize(
    "path",
    [
        "uploaded/../secret",
        "uploaded/a/../../x.jpg",
        "/etc/passwd",
        "uploaded//x.jpg",
        "uploaded/a/./x.jpg",
        "uploaded/a\\..\\x.jpg",
        "uploaded/a/x\x00.jpg",
        "uploaded/con/x.jpg",
        "uploaded/a/LPT1.jpg",
        "uploaded/a/.hidden",
        "uploaded/a/",
        "other/a/x.jpg",
        "uploaded/a/" + "x" * 256,
        "uploaded/" + "a/" * 600 + "x.jpg",
        "",
    ],
)
def test_an_image_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        object_keys.parse_image_path(path)


def test_a_photo_without_a_person() -> None:
    assert object_keys.user_id_of("uploaded/_/x.jpg") is None
    assert object_keys.user_id_of("uploaded/x.jpg") is None
    assert object_keys.user_id_of("uploaded/Alice/2024/x.v2_final.jpg") == "Alice"
