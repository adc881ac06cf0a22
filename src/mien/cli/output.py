"""Standard output is for the answer, a table or one JSON object; standard error for everything else.

Every item of a paged listing, up to a limit.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from mien.domain.faces import Page, iterate_pages

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table


PIPED_WIDTH = 240  # nothing is folded in a file
INSIDE = {"embedding"}  # embeddings never leave engine and gallery
RENAMED = {"box": "bounding_box", "remaining_stores": "traces"}  # as the REST API says it


def emit(value: object) -> None:
    """One JSON object on one line of standard output."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")


def show(answer: RenderableType) -> None:
    """Anything that Rich prints."""
    _console().print(answer, soft_wrap=isinstance(answer, str))


def note(sentence: str) -> None:
    """A message that is not the answer."""
    _console(stderr=True).print(sentence, style="yellow", markup=False, highlight=False, soft_wrap=True)


def text(words: str) -> str:
    """Words of others, such as names, for a table's cell: brackets in them mean nothing."""
    from rich.markup import escape

    return escape(words)


def table(*headings: str, title: str | None = None) -> Table:
    """A heading that starts with `>` belongs to numbers; they go to the right."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for heading in headings:
        made.add_column(heading.lstrip(">"), justify="right" if heading.startswith(">") else "left", overflow="fold")
    return made


def percent(similarity: float) -> str:
    """A similarity, rounded down: only what cannot be told from 100 reads 100.00."""
    return f"{floor(similarity * 100) / 100:.2f}"


def threshold(similarity: float, fmr: float | None, fpir: float | None = None) -> str:
    """A threshold in words, with the error rates that it stands for where they are known."""
    words = f"Threshold: similarity {similarity:.1f}"
    if fmr is None:
        return f"{words}."
    words += f", reached in 1 of {1 / fmr:,.0f} comparisons of strangers (FMR {fmr:.2g})"
    if fpir:
        words += f"; among all who are enrolled, {fpir:.2%} of strangers would be named (FPIR)"
    return f"{words}."


def plain(value: Any) -> Any:
    """Domain values as what JSON knows; names are those of the REST API."""
    if is_dataclass(value):
        names = [part.name for part in fields(value) if part.name not in INSIDE]
        return {RENAMED.get(name, name): plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, (Path, StrEnum)) else value


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, width=None if stream.isatty() else PIPED_WIDTH)


T = TypeVar("T")
Limit = Annotated[int, typer.Option(min=1, help="Show at most this many.")]


def listing(fetch: Callable[[str | None], Page[T]], limit: int) -> list[T]:
    """Return the first `limit` items of a paged listing."""
    return list(islice(iterate_pages(fetch), limit))
