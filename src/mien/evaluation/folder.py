"""Labelled photos: a folder with one sub-folder per person, as in Labeled Faces in the Wild (LFW).

What is odd about a folder (two spellings of a name, people with one photo) comes out as notes, in
sentences; only a folder that cannot be measured at all is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.domain.errors import InvalidInput

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif"})


@dataclass(frozen=True, slots=True)
class Photo:
    person: str
    path: Path


@dataclass(frozen=True, slots=True)
class Folder:
    """The photos of a folder, ordered by person and name, and what was noticed about them."""

    root: Path
    photos: tuple[Photo, ...]
    notes: tuple[str, ...]

    @property
    def people(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(photo.person for photo in self.photos))

    @property
    def labels(self) -> NDArray[np.int64]:
        """For each photo the position of its person in `people`."""
        places = {person: place for place, person in enumerate(self.people)}
        return np.array([places[photo.person] for photo in self.photos], dtype=np.int64)


def read_folder(root: Path) -> Folder:
    """The labelled photos below `root`. InvalidInput unless two people are there, one with two photos."""
    if not root.is_dir():
        raise InvalidInput(f"There is no folder {root}.")
    photos = tuple(
        Photo(folder.name, path)
        for folder in sorted(path for path in root.iterdir() if path.is_dir())
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES
    )
    folder = Folder(root, photos, ())
    counts = dict.fromkeys(folder.people, 0)
    for photo in photos:
        counts[photo.person] += 1
    _check(root, counts)
    return Folder(root, photos, tuple(_notes(counts)))


def _check(root: Path, counts: dict[str, int]) -> None:
    if len(counts) < 2:
        found = "no people" if not counts else f"one person only ({next(iter(counts))})"
        raise InvalidInput(
            f"{root} holds {found}. Evaluation needs one sub-folder per person, and at least two people."
        )
    if max(counts.values()) < 2:
        raise InvalidInput(
            f"Nobody in {root} has two photos, so nobody can be compared with himself. Add photos of the same people."
        )


def _notes(counts: dict[str, int]) -> list[str]:
    notes = []
    single = sum(count == 1 for count in counts.values())
    if single:
        notes.append(f"{single} of {len(counts)} people have one photo; they take part as impostors only.")
    spellings: dict[str, list[str]] = {}
    for person in counts:
        spellings.setdefault(person.casefold().replace("_", " ").strip(), []).append(person)
    notes += [
        f"{' and '.join(names)} look like one name; they are measured as different people."
        for names in spellings.values()
        if len(names) > 1
    ]
    return notes
