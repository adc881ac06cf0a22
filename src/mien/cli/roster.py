"""Who is enrolled from which files: a folder with one sub-folder per person, or photos of one person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.cli.photos import files, is_litter
from mien.errors import InvalidInput


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
