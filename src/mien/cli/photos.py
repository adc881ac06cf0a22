"""What a person names on the command line -> photo files, and their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mien.errors import ImageError, ImageTooLarge, InvalidInput

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
