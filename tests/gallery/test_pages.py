"""Pages hold every item once, in order; a token belongs to the listing that made it."""

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
    gallery.faces.add_embeddings("people", embeddings(10), ["a", "b"] * 5)
    for number in range(10):
        gallery.users.create("people", f"user{number}")
        gallery.collections.create(f"collection{number}")
    return gallery


@pytest.mark.parametrize("size", [1, 3, 5, 10, 11])
def test_pages_hold_every_item_once_in_order(full: Gallery, size: int) -> None:
    for listing in (
        lambda **terms: full.faces.list("people", **terms),
        lambda **terms: full.faces.list("people", external_image_id="a", **terms),
        lambda **terms: full.users.list("people", **terms),
        full.collections.list,
    ):
        pages = _pages(listing, size)
        assert [item for page in pages for item in page.items] == list(listing().items)
        assert all(len(page.items) == size for page in pages[:-1])
        tokens = [page.next_token for page in pages]
        assert len(set(tokens)) == len(tokens)
        assert all(len(token) <= 255 for token in tokens if token)


def test_the_next_page_is_right_after_a_deletion(full: Gallery) -> None:
    first = full.faces.list("people", limit=4)
    rest = full.faces.list("people", token=first.next_token).items
    full.faces.delete("people", [first.items[-1].face_id, rest[0].face_id])
    assert full.faces.list("people", token=first.next_token).items == rest[1:]


def test_a_token_of_another_listing_is_refused(full: Gallery) -> None:
    full.faces.add_embeddings("collection1", embeddings(3))
    faces = full.faces.list("people", limit=1).next_token
    users = full.users.list("people", limit=1).next_token
    for call in (
        lambda: full.users.list("people", token=faces),
        lambda: full.faces.list("people", token=users),
        lambda: full.faces.list("collection1", token=faces),
        lambda: full.faces.list("people", external_image_id="a", token=faces),
        lambda: full.collections.list(token=faces),
        lambda: full.faces.list("people", token=""),
        lambda: full.faces.list("people", token="Ω"),
        lambda: full.faces.list("people", token="!" * 300),
    ):
        with pytest.raises(InvalidInput, match="token"):
            call()


def test_a_token_of_a_deleted_collection_is_refused(full: Gallery) -> None:
    token = full.faces.list("people", limit=1).next_token
    full.collections.delete("people")
    full.collections.create("people")
    with pytest.raises(InvalidInput, match="token"):
        full.faces.list("people", token=token)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_has_at_least_one_item(full: Gallery, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        full.faces.list("people", limit=limit)
