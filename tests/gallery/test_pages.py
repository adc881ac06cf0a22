"""Pages: whole, in order, without repeats; and tokens that fit only the listing that made them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mien.domain.errors import InvalidInput
from mien.domain.faces import Page
from mien.gallery import Gallery
from tests.gallery.faces import embeddings


def _pages(listing: Callable[..., Page[Any]], size: int) -> list[Page[Any]]:
    pages = [listing(limit=size)]
    while token := pages[-1].next_token:
        pages.append(listing(limit=size, token=token))
    return pages


@pytest.fixture
def full(gallery: Gallery) -> Gallery:
    gallery.bulk_add("people", embeddings(10), ["a", "b"] * 5)
    for number in range(10):
        gallery.create_user("people", f"user{number}")
        gallery.create_collection(f"collection{number}")
    return gallery


@pytest.mark.parametrize("size", [1, 3, 5, 10, 11])
def test_pages_hold_everything_once_in_order(full: Gallery, size: int) -> None:
    for listing in (
        lambda **terms: full.list_faces("people", **terms),
        lambda **terms: full.list_faces("people", external_image_id="a", **terms),
        lambda **terms: full.list_users("people", **terms),
        full.list_collections,
    ):
        pages = _pages(listing, size)
        assert [item for page in pages for item in page.items] == list(listing().items)
        assert all(len(page.items) == size for page in pages[:-1])
        tokens = [page.next_token for page in pages]
        assert len(set(tokens)) == len(tokens)
        assert all(len(token) <= 255 for token in tokens if token)


def test_pages_go_on_where_a_face_was_deleted(full: Gallery) -> None:
    first = full.list_faces("people", limit=4)
    rest = full.list_faces("people", token=first.next_token).items
    full.delete_faces("people", [first.items[-1].face_id, rest[0].face_id])
    assert full.list_faces("people", token=first.next_token).items == rest[1:]


def test_tokens_fit_no_other_listing(full: Gallery) -> None:
    full.bulk_add("collection1", embeddings(3))
    faces = full.list_faces("people", limit=1).next_token
    users = full.list_users("people", limit=1).next_token
    for call in (
        lambda: full.list_users("people", token=faces),
        lambda: full.list_faces("people", token=users),
        lambda: full.list_faces("collection1", token=faces),
        lambda: full.list_faces("people", external_image_id="a", token=faces),
        lambda: full.list_collections(token=faces),
        lambda: full.list_faces("people", token=""),
        lambda: full.list_faces("people", token="Ω"),
        lambda: full.list_faces("people", token="!" * 300),
    ):
        with pytest.raises(InvalidInput, match="token"):
            call()


def test_a_token_dies_with_its_collection(full: Gallery) -> None:
    token = full.list_faces("people", limit=1).next_token
    full.delete_collection("people")
    full.create_collection("people")
    with pytest.raises(InvalidInput, match="token"):
        full.list_faces("people", token=token)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_has_at_least_one_item(full: Gallery, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        full.list_faces("people", limit=limit)
