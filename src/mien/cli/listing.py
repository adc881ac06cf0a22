"""Every item of a paged listing, up to a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Annotated, TypeVar

import typer

from mien.model import Page

T = TypeVar("T")
Limit = Annotated[int, typer.Option(min=1, help="Show at most this many.")]


def listing(page: Callable[[str | None], Page[T]], limit: int) -> list[T]:
    return list(islice(_items(page), limit))


def _items(page: Callable[[str | None], Page[T]]) -> Iterator[T]:
    cursor = None
    while True:
        found = page(cursor)
        yield from found.items
        cursor = found.next_token
        if cursor is None:
            return
