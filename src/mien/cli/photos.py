"""Find a command's photos, derive the person of each, read them, and run a job on each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mien.cli.exit_codes import PHOTO_ERRORS
from mien.config import Backend, Settings
from mien.domain.errors import ImageError, ImageTooLarge, InvalidInput, MienError

T = TypeVar("T")
R = TypeVar("R")
AWS_WORKERS = 16
IGNORED_FILES = {"thumbs.db", "desktop.ini"}  # Windows writes them into folders of photos


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """A photo and the name of the person in it; None for a file that is not in a person's folder."""

    path: Path
    person: str | None


def photo_files(paths: Iterable[Path]) -> list[Path]:
    """List the files; a folder stands for all files below it, sorted. Raises InvalidInput for a missing path."""
    return [file for path in paths for file in _files(path)]


def labelled_photos(paths: Sequence[Path], person: str | None) -> list[LabelledPhoto]:
    """List the photos to enrol: all `paths` for `person`, or the sub-folders of `paths` for the people they name.

    Raises InvalidInput when it is not clear whose photos they are.
    """
    if person is not None:
        return [LabelledPhoto(photo, person) for photo in photo_files(paths)]
    if any(not path.is_dir() for path in paths):
        photo_files(paths)
        raise InvalidInput("Whose photos are these? Add --user NAME, or name a folder with one sub-folder per person.")
    photos = [photo for path in paths for photo in _by_folder(path)]
    if not any(photo.person for photo in photos):
        raise InvalidInput(
            f"{paths[0]} has no sub-folders with photos; each person needs one. "
            "To enrol all its photos for one person, add --user NAME."
        )
    return photos


def read_photo(path: Path, max_bytes: int) -> bytes:
    """Read a file. Raises ImageError when that fails, or when the file is larger than a photo may be."""
    try:
        if not path.is_file():
            raise ImageError(f"{path} is not a file." if path.exists() else f"There is no file {path}.")
        if path.stat().st_size > max_bytes:
            raise ImageTooLarge(f"{path} has more than {max_bytes:,} bytes.")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from error


def _by_folder(folder: Path) -> Iterator[LabelledPhoto]:
    for entry in _entries(folder):
        if entry.is_dir():
            yield from (LabelledPhoto(photo, entry.name) for photo in _files(entry))
        else:
            yield LabelledPhoto(entry, None)


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for entry in _entries(path):
            yield from _files(entry)
    elif path.exists():
        yield path
    else:
        raise InvalidInput(f"There is no file or folder {path}.")


def _entries(folder: Path) -> list[Path]:
    return [
        entry
        for entry in sorted(folder.iterdir())
        if not entry.name.startswith(".") and entry.name.lower() not in IGNORED_FILES
    ]


def map_photos(
    settings: Settings, photos: Sequence[T], job: Callable[[T], R], label: str
) -> Iterator[tuple[T, R | MienError]]:
    """Yield each photo with the result of `job`, in the order in which the jobs end.

    An error about one photo is its result; any other error ends the work. Jobs that run when the work ends, by an
    error or by Ctrl-C, are completed, and no other job is started. `label` stands beside the progress bar.
    """
    with _progress(label, len(photos)) as advance, ThreadPoolExecutor(_workers(settings)) as pool:
        pending = {pool.submit(job, photo): photo for photo in photos}
        try:
            for future in as_completed(pending):
                result = _result(future.result)
                advance()
                yield pending[future], result
        finally:
            pool.shutdown(cancel_futures=True)


def _workers(settings: Settings) -> int:
    """One more than cores, so that no core waits for a disk; more on AWS, where jobs only wait for answers."""
    return AWS_WORKERS if settings.backend is Backend.AWS else (os.cpu_count() or 1) + 1


def _result(wait: Callable[[], R]) -> R | MienError:
    try:
        return wait()
    except PHOTO_ERRORS as error:
        return error


@contextmanager
def _progress(label: str, total: int) -> Iterator[Callable[[], None]]:
    if total < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda: progress.advance(task)
