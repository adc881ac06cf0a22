"""Find a command's photos, derive the person of each, read them, and run a job on each."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from mien.cli import output
from mien.cli.exit_codes import PHOTO_ERRORS
from mien.domain import image_types
from mien.domain.errors import ImageError, ImageTooLarge, InvalidInput, MienError
from mien.domain.waiting import available_cores
from mien.settings import Backend, Settings

T = TypeVar("T")
R = TypeVar("R")
Identity = tuple[int, int]
"""The device and the inode of a folder."""

AWS_WORKERS = 16
SHOWN_KINDS = 5
STANDARD_INPUT = Path("-")
NO_PHOTOS = "No photos were found."


@dataclass(frozen=True, slots=True)
class PhotoToEnroll:
    """A photo and the name of the person in it; None for a file that is not in a person's folder."""

    path: Path
    person: str | None


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What was found in folders.

    Attributes:
        photos: The photos, files that were named by hand, and what cannot be read; reading it tells why.
        ignored: How many entries were passed over: hidden ones, and what systems leave in folders.
        others: How many files were passed over that are no photos, such as videos, by the ends of their names.
    """

    photos: list[T]
    ignored: int
    others: Mapping[str, int]

    @property
    def skipped(self) -> int:
        """How many entries were passed over, for whatever reason."""
        return self.ignored + sum(self.others.values())

    def note_skipped(self) -> None:
        """Tell on standard error that something was passed over."""
        if self.ignored:
            entries = "1 entry" if self.ignored == 1 else f"{self.ignored:,} entries"
            output.note(f"Passed over {entries}: hidden, or left by a system, such as .DS_Store or @eaDir.")
        if self.others:
            most = sorted(self.others.items(), key=lambda item: (-item[1], item[0]))
            kinds = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in most[:SHOWN_KINDS]]
            kinds += ["…"] * (len(most) > SHOWN_KINDS)
            are = "is no photo" if sum(self.others.values()) == 1 else "are no photos"
            files = output.count(sum(self.others.values()), "file")
            output.note(f"Passed over {files} that {are} ({', '.join(kinds)}).")


class PhotoReader:
    """Reads photos by their paths; `-` is standard input, which is read once."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._lock = max_bytes, threading.Lock()
        self._standard_input: bytes | None = None

    def __call__(self, path: Path) -> bytes:
        """Return the bytes of a photo. Raises ImageError when that fails, or when they are more than a photo has."""
        if path == STANDARD_INPUT:
            return self._read_standard_input()
        try:
            if not path.is_file():
                raise ImageError(_why_no_file(path))
            if path.stat().st_size > self._max_bytes:
                raise ImageTooLarge(f"{path} has more than {self._max_bytes:,} bytes.")
            return path.read_bytes()
        except OSError as error:
            raise ImageError(f"{path} cannot be read: {error.strerror}.") from error

    def _read_standard_input(self) -> bytes:
        with self._lock:
            if self._standard_input is None:
                if sys.stdin.isatty():
                    raise ImageError("Standard input is a terminal, not a photo.")
                self._standard_input = sys.stdin.buffer.read(self._max_bytes + 1)
        if len(self._standard_input) > self._max_bytes:
            raise ImageTooLarge(f"Standard input has more than {self._max_bytes:,} bytes.")
        return self._standard_input


def real_path(path: Path) -> Path:
    """Return where a path leads, behind all links; where they lead in a circle, `Path.resolve` would fail."""
    return Path(os.path.realpath(path))


def photo_files(paths: Iterable[Path]) -> Found[Path]:
    """List the files; a folder stands for all files below it, sorted, and `-` for standard input.

    Raises InvalidInput for a missing path.
    """
    walk = _Walk()
    photos = [file for path in paths for file in walk.files(path)]
    return Found(photos, walk.ignored, walk.others)


def photos_to_enroll(paths: Sequence[Path], person: str | None) -> Found[PhotoToEnroll]:
    """List the photos to enrol: all `paths` for `person`, or the sub-folders of `paths` for the people they name.

    Raises InvalidInput when it is not clear whose photos they are.
    """
    if person is not None:
        found = photo_files(paths)
        return Found([PhotoToEnroll(photo, person) for photo in found.photos], found.ignored, found.others)
    if any(not path.is_dir() for path in paths):
        photo_files(paths)
        raise InvalidInput("Whose photos are these? Add --user NAME, or name a folder with one sub-folder per person.")
    walk = _Walk()
    photos = [photo for path in paths for photo in walk.labelled(path)]
    if not any(photo.person for photo in photos):
        raise InvalidInput(
            f"{paths[0]} has no sub-folders with photos; each person needs one. "
            "To enrol all its photos for one person, add --user NAME."
        )
    return Found(photos, walk.ignored, walk.others)


class _Walk:
    """Lists files below folders. Links are followed; what cannot be followed or read is listed in its own place."""

    def __init__(self) -> None:
        self.ignored, self.others = 0, Counter[str]()

    def files(self, path: Path) -> Iterator[Path]:
        if os.path.isdir(path):
            yield from self._below(path, ())
        elif path == STANDARD_INPUT or path.exists():
            yield path
        else:
            raise InvalidInput(_why_missing(path))

    def labelled(self, folder: Path) -> Iterator[PhotoToEnroll]:
        try:
            entries = self._entries(folder)
        except OSError as error:
            raise InvalidInput(f"{folder} cannot be read: {error.strerror}.") from error
        for entry in entries:
            if os.path.isdir(entry):
                yield from (PhotoToEnroll(photo, entry.name) for photo in self._below(entry, (_identity(folder),)))
            else:
                yield PhotoToEnroll(entry, None)

    def _below(self, folder: Path, above: tuple[Identity, ...]) -> Iterator[Path]:
        pending = [(folder, above)]  # without a call for each level: there may be thousands
        while pending:
            place, above = pending.pop()
            entries: list[Path] | None = None
            with suppress(OSError):
                here = _identity(place)
                entries = self._entries(place) if os.path.isdir(place) and here not in above else None
            if entries is None:
                yield place
            else:
                pending += [(entry, (*above, here)) for entry in reversed(entries)]

    def _entries(self, folder: Path) -> list[Path]:
        entries = sorted(folder.iterdir())
        kept = [entry for entry in entries if not image_types.is_ignored(entry.name)]
        self.ignored += len(entries) - len(kept)
        return [entry for entry in kept if self._is_wanted(entry)]

    def _is_wanted(self, entry: Path) -> bool:
        """Whether it is a folder, a photo, or something of which has to be told why it is none."""
        try:
            if not stat.S_ISREG(entry.stat().st_mode):
                return True
            with entry.open("rb") as file:
                is_photo = image_types.is_photo(entry.name, file.read(image_types.SIGNATURE_BYTES))
        except OSError:
            return True
        if not is_photo:
            self.others[entry.suffix.lower()] += 1
        return is_photo


def _identity(folder: Path) -> Identity:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _why_missing(path: Path) -> str:
    if path.parts[0] in {"http:", "https:"}:
        return (
            f"Mien reads files: download {path.parts[0]}//{'/'.join(path.parts[1:])} first, or pipe it in and name -."
        )
    return f"There is no file or folder {path}."


def _why_no_file(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder that leads back to one above it, or that cannot be read."
    if path.exists():
        return f"{path} is not a file."
    return f"{path} is a link that leads nowhere." if path.is_symlink() else f"There is no file {path}."


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


def map_together(
    photos: Sequence[Path],
    read: Callable[[Path], bytes],
    job: Callable[[Iterator[bytes]], Iterator[R | ImageError]],
    label: str,
) -> Iterator[tuple[Path, R | MienError]]:
    """Yield each photo with its result, as `map_photos` does, of a job that works on many photos at once, in order."""
    waiting: deque[Path] = deque()
    unreadable: deque[tuple[Path, MienError]] = deque()

    def images() -> Iterator[bytes]:
        for photo in photos:
            image = _result(partial(read, photo))
            if isinstance(image, bytes):
                waiting.append(photo)
                yield image
            else:
                unreadable.append((photo, image))

    with _progress(label, len(photos)) as advance:
        for result in job(images()):
            advance()
            yield waiting.popleft(), result
        for photo, error in unreadable:
            advance()
            yield photo, error


def _workers(settings: Settings) -> int:
    """One more than cores, so that no core waits for a disk; more on AWS, where jobs only wait for answers."""
    return AWS_WORKERS if settings.backend is Backend.AWS else available_cores() + 1


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
