"""What a person names on the command line -> photo files, and their bytes.

Who is enrolled from which files: a folder with one sub-folder per person, or photos of one person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.domain.errors import ImageError, ImageTooLarge, InvalidInput

LITTER = {"thumbs.db", "desktop.ini"}  # what systems leave in folders of photos


def files(paths: Iterable[Path]) -> list[Path]:
    """Files as they are named, folders as all they hold in sorted order. Raises InvalidInput for what is not there."""
    return [file for path in paths for file in _below(path)]


def read(path: Path, max_bytes: int) -> bytes:
    """Raises ImageError when the file cannot be read or is larger than a photo may be."""
    try:
        if not path.is_file():
            raise ImageError("It is not a file.")
        if path.stat().st_size > max_bytes:
            raise ImageTooLarge(f"The photo has more than {max_bytes:,} bytes.")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"The file cannot be read: {error.strerror}.") from error


def is_litter(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in LITTER


def _below(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            if not is_litter(entry):
                yield from _below(entry)
    elif path.exists():
        yield path
    else:
        raise InvalidInput(f"There is no file or folder {path}.")


@dataclass(frozen=True, slots=True)
class Entry:
    """A photo and whose it is; `user` is None for a file that lies in no person's folder."""

    photo: Path
    user: str | None


def roster(paths: Sequence[Path], user: str | None) -> list[Entry]:
    """Raises InvalidInput when nothing can be enrolled in this way."""
    if user is not None:
        return [Entry(photo, user) for photo in files(paths)]
    if any(not path.is_dir() for path in paths):
        files(paths)
        raise InvalidInput("Whose photos are these? Add --user NAME, or name a folder with one sub-folder per person.")
    entries = [entry for path in paths for entry in _people(path)]
    if not any(entry.user for entry in entries):
        raise InvalidInput(
            f"{paths[0]} has no sub-folders with photos; each person needs one. "
            "To enrol a folder for one person, add --user NAME."
        )
    return entries


def _people(folder: Path) -> Iterator[Entry]:
    for entry in sorted(folder.iterdir()):
        if is_litter(entry):
            continue
        if entry.is_dir():
            yield from (Entry(photo, entry.name) for photo in files([entry]))
        else:
            yield Entry(entry, None)
