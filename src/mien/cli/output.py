"""Print. Standard output is for the answer, a table or one JSON object; standard error for everything else."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from unicodedata import category

from mien.domain.errors import StorageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table


TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Format characters that turn the direction of the text after them. Names in any script do without."""
MAX_PATH_WIDTH = 36  # leaves room for the other columns at 80
PIPED_WIDTH = 240  # wide enough that no line breaks in a file
PLURALS = {"person": "people", "entry": "entries"}
HIDDEN_FIELDS = {"embedding", "pending", "merged_into"}  # embeddings never leave engine and gallery
JSON_NAMES = {"box": "bounding_box", "remaining_stores": "traces", "rotation": "turned"}  # as in the REST API


def print_json(value: object) -> None:
    """Print one JSON object on one line."""
    text = json.dumps(jsonable(value), ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:  # a file name that is not Unicode, or a stream that does not take all of it
        text = json.dumps(jsonable(value))
    with _standard_output():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def show(answer: RenderableType) -> None:
    """Print a table, or a sentence with Rich's markup."""
    with _standard_output():
        _console().print(answer, soft_wrap=isinstance(answer, str))
        sys.stdout.flush()


@contextmanager
def _standard_output() -> Iterator[None]:
    """Raise StorageError when the answer cannot be written, but for a pipe that its reader closed."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (or Python flushes again at its end)
        raise StorageError(f"The answer could not be written: {error.strerror}.") from error


def note(sentence: str) -> None:
    """Print a message that is not the answer to standard error."""
    _console(stderr=True).print(printable(sentence), style="yellow", markup=False, highlight=False, soft_wrap=True)


def note_about(photo: Path, problem: str) -> None:
    """Print what is wrong with a photo to standard error, and name the photo once."""
    note(problem if problem.startswith(str(photo)) else f"{photo}: {problem}")


def escape(text: str) -> str:
    """Escape brackets in names, paths and messages, which Rich would read as markup, and what cannot be printed."""
    from rich.markup import escape as escape_markup

    return escape_markup(printable(text))


def printable(text: str) -> str:
    """Write as escape sequences what is not to reach a terminal: control characters, those that turn the direction of
    the text after them, and the bytes of a file name that are not Unicode."""
    return "".join(
        c.encode("unicode_escape").decode() if c != "\n" and (category(c) in {"Cc", "Cs"} or c in TURNING) else c
        for c in text
    )


def table(*headings: str, title: str | None = None, whole: str | None = None) -> Table:
    """Return an empty table. The column of a heading that starts with `>` is aligned to the right, for numbers.

    The lines of the column `whole` do not break, so that they can be copied.
    """
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for heading in headings:
        justify: Literal["left", "right"] = "right" if heading.startswith(">") else "left"
        made.add_column(heading.lstrip(">"), justify=justify, overflow="fold", no_wrap=heading == whole)
    return made


def fits(table: Table) -> bool:
    """Whether standard output is wide enough for a table without a cell that breaks."""
    console = _console()
    return console.measure(table, options=console.options.update(max_width=sys.maxsize)).maximum <= console.width


def photo_cell(photo: Path) -> str:
    """Name a photo in a table. On a terminal, a long path would be broken: it loses its first folders there."""
    text = str(photo)
    if sys.stdout.isatty() and len(text) > MAX_PATH_WIDTH:
        text = without_first_folders(photo, MAX_PATH_WIDTH)
    return escape(text)


def without_first_folders(path: Path, width: int) -> str:
    """Return as many of a path's last parts as fit into so many characters, at least its name."""
    text = path.name
    for folder in reversed(path.parts[:-1]):
        if len(f"…/{folder}/{text}") > width:
            break
        text = f"{folder}/{text}"
    return f"…/{text}"


def count(number: int, noun: str) -> str:
    """Return "1 face" or "2 faces", "1 more person" or "2 more people"."""
    *before, last = noun.split()
    words = noun if number == 1 else " ".join([*before, PLURALS.get(last, f"{last}s")])
    return f"{number:,} {words}"


def threshold(value: float, fmr: float | None, fpir: float | None = None) -> str:
    """Describe a threshold (a similarity) with its error rates (fractions), where they are known."""
    text = f"Threshold: similarity {value:.1f}."
    if fpir:
        return f"{text} About 1 stranger in {1 / fpir:,.0f} would be given a name."
    return text if fmr is None else f"{text} 1 in {1 / fmr:,.0f} pairs of strangers reaches it."


def jsonable(value: Any) -> Any:
    """Convert records and values of the domain to JSON's types, with the field names of the REST API."""
    if is_dataclass(value):
        names = [part.name for part in fields(value) if part.name not in HIDDEN_FIELDS]
        return {JSON_NAMES.get(name, name): jsonable(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): jsonable(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(part) for part in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, (Path, StrEnum)) else value


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # for terminals that are not Unicode
    return Console(file=stream, highlight=False, width=None if stream.isatty() else PIPED_WIDTH)
