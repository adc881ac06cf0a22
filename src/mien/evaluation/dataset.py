"""Read labelled photos from a folder with one sub-folder per person, and choose the pairs for the accuracy.

Pairs come from LFW's own file, from a CSV, or are drawn from the folder. LFW's format
(http://vis-www.cs.umass.edu/lfw/README.txt): a first line `10 300` (folds, pairs), then per fold `name n1 n2` (same
person) and `name1 n1 name2 n2` (different people). The CSV has the columns `left,right,same`, with paths relative to
the folder, and no folds, so its rows are distributed over ten. Peculiarities of a folder (two spellings of a name,
people with one photo) are returned as notes; only a folder that cannot be measured at all is an error.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.domain.errors import InvalidInput
from mien.domain.image_types import is_ignored

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif"})
FOLDS = 10
CSV_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """An image file and the name of the person in it."""

    person: str
    path: Path


@dataclass(frozen=True, slots=True)
class Folder:
    """Labelled photos.

    Attributes:
        root: the folder.
        photos: ordered by person and file name.
        notes: oddities, one sentence each.
    """

    root: Path
    photos: tuple[LabelledPhoto, ...]
    notes: tuple[str, ...]

    @property
    def people(self) -> tuple[str, ...]:
        """Names, in the order of the photos."""
        return tuple(dict.fromkeys(photo.person for photo in self.photos))

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) for each photo the position of its person in `people`."""
        positions = {person: position for position, person in enumerate(self.people)}
        return np.array([positions[photo.person] for photo in self.photos], dtype=np.int64)


def read_folder(root: Path) -> Folder:
    """List the labelled photos in `root`.

    Raises:
        InvalidInput: no such folder, fewer than two people, or nobody with two photos.
    """
    if not root.is_dir():
        raise InvalidInput(f"There is no folder {root}.")
    passed_over: list[str] = []
    photos = tuple(
        LabelledPhoto(folder.name, path)
        for folder in _entries(root, passed_over)
        if os.path.isdir(folder)
        for path in _entries(folder, passed_over)
        if path.suffix.lower() in SUFFIXES and _is_photo(path, passed_over)
    )
    counts: dict[str, int] = {}
    for photo in photos:
        counts[photo.person] = counts.get(photo.person, 0) + 1
    _check(root, counts)
    notes = _notes(counts)
    if passed_over:
        notes.append(
            f"{len(passed_over)} entries were passed over: hidden, left by a system, unreadable, or links to nowhere."
        )
    return Folder(root, photos, tuple(notes))


def _entries(folder: Path, passed_over: list[str]) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        passed_over.append(folder.name)
        return []
    passed_over += [entry.name for entry in entries if is_ignored(entry.name)]
    return [entry for entry in entries if not is_ignored(entry.name)]


def _is_photo(path: Path, passed_over: list[str]) -> bool:
    if os.path.isfile(path) and os.access(path, os.R_OK):
        return True
    passed_over.append(path.name)
    return False


def _check(root: Path, counts: dict[str, int]) -> None:
    if len(counts) < 2:
        found = "no people" if not counts else f"one person only ({next(iter(counts))})"
        raise InvalidInput(
            f"{root} holds {found}. Evaluation needs one sub-folder per person, and at least two people."
        )
    if max(counts.values()) < 2:
        raise InvalidInput(f"Nobody in {root} has two photos to compare. Add photos of the same people.")


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


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos, as positions in `Folder.photos`, whether they are of one person, and the pair's fold."""

    left: int
    right: int
    same: bool
    fold: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs for the accuracy.

    Attributes:
        pairs: the pairs.
        missing: photos that the pairs file names and the folder does not contain.
        refolded: whether all pairs were in one fold, which allows no cross-validation, and are now in several.
    """

    pairs: tuple[Pair, ...]
    missing: tuple[str, ...] = ()
    refolded: bool = False

    @property
    def folds(self) -> int:
        """Number of folds."""
        return len({pair.fold for pair in self.pairs})


@dataclass(frozen=True, slots=True)
class _NamedPair:
    """A line of a pairs file; photos as paths relative to the folder, without suffix."""

    left: str
    right: str
    same: bool
    fold: int


def read_pairs(file: Path, folder: Folder) -> Pairs:
    """Read the pairs of an LFW file, or of a CSV (suffix .csv).

    Raises:
        InvalidInput: the file cannot be read (the message names the line), or too few of its photos are in the folder.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The pairs file {file} cannot be read.") from error
    named = _parse_csv(lines, file) if file.suffix.lower() == ".csv" else _parse_lfw(lines, file)
    positions = {_without_suffix(str(photo.path.relative_to(folder.root))): i for i, photo in enumerate(folder.photos)}
    present = [pair for pair in named if pair.left in positions and pair.right in positions]
    missing = sorted({name for pair in named for name in (pair.left, pair.right)} - positions.keys())
    if len({pair.same for pair in present}) < 2:
        raise InvalidInput(
            f"Accuracy needs pairs of the same and of different people; of the {len(named)} pairs in {file} "
            f"only {len(present)} have their photos in {folder.root}, and {len(missing)} photos are missing"
            + (f", such as {missing[0]}." if missing else ".")
        )
    return _in_folds((Pair(positions[p.left], positions[p.right], p.same, p.fold) for p in present), tuple(missing))


def _in_folds(pairs: Iterable[Pair], missing: tuple[str, ...] = ()) -> Pairs:
    """Distribute pairs of one fold over up to ten, each with pairs of both kinds, if there are two of each kind."""
    given = Pairs(tuple(pairs), missing)
    kinds = [[pair for pair in given.pairs if pair.same == kind] for kind in (True, False)]
    fewest = min(map(len, kinds))
    if given.folds > 1 or fewest < 2:
        return given
    folds = min(FOLDS, fewest)
    refolded = (replace(pair, fold=number % folds) for kind in kinds for number, pair in enumerate(kind))
    return Pairs(tuple(refolded), missing, refolded=True)


def _parse_lfw(lines: list[str], file: Path) -> list[_NamedPair]:
    numbered = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    fold_size = 0
    if numbered and len(numbered[0][1]) <= 2:
        header = numbered.pop(0)[1]
        if not all(word.isdigit() for word in header):
            raise InvalidInput(f"Line 1 of {file} must be `folds pairs`, as in `10 300`, or a pair.")
        fold_size = 2 * int(header[1]) if len(header) == 2 else 0
    pairs = []
    for position, (number, words) in enumerate(numbered):
        fold = position // fold_size if fold_size else position % FOLDS
        pairs.append(_parse_lfw_pair(words, fold, f"Line {number} of {file}"))
    return pairs


def _parse_lfw_pair(words: list[str], fold: int, where: str) -> _NamedPair:
    match words:
        case [name, first, second] if first.isdigit() and second.isdigit():
            return _NamedPair(_lfw_photo(name, first), _lfw_photo(name, second), True, fold)
        case [left, first, right, second] if first.isdigit() and second.isdigit():
            return _NamedPair(_lfw_photo(left, first), _lfw_photo(right, second), False, fold)
    raise InvalidInput(f"{where} must be `name n1 n2` or `name1 n1 name2 n2`.")


def _lfw_photo(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}"


def _parse_csv(lines: list[str], file: Path) -> list[_NamedPair]:
    reader = csv.DictReader(lines)
    if not {"left", "right", "same"} <= set(reader.fieldnames or ()):
        raise InvalidInput(f"{file} must begin with the header `left,right,same`.")
    pairs: list[_NamedPair] = []
    counts = {True: 0, False: 0}
    for number, row in enumerate(reader, 2):
        same = CSV_BOOLEANS.get((row["same"] or "").strip().lower())
        if same is None or not row["left"] or not row["right"]:
            raise InvalidInput(f"Line {number} of {file} must be two photos and 1 or 0.")
        pairs.append(
            _NamedPair(_without_suffix(row["left"]), _without_suffix(row["right"]), same, counts[same] % FOLDS)
        )
        counts[same] += 1
    return pairs


def _without_suffix(name: str) -> str:
    path = Path(name.strip())
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path)


def draw_pairs(folder: Folder, *, per_fold: int = 300, seed: int = 0) -> Pairs:
    """Draw pairs as LFW did: ten disjoint sets of people, with as many genuine as impostor pairs in each.

    The same folder always gets the same pairs. With too few people for several sets, the folds share people.

    Args:
        folder: the photos.
        per_fold: pairs of either kind in a fold; fewer where its people have fewer.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    people = folder.labels
    sets = np.array_split(rng.permutation(len(folder.people)), min(FOLDS, len(folder.people) // 2))
    pairs: list[Pair] = []
    for fold, members in enumerate(sets):
        photos = np.flatnonzero(np.isin(people, members))
        left, right = (photos[side] for side in np.triu_indices(len(photos), 1))
        same = people[left] == people[right]
        count = min(per_fold, int(same.sum()), int((~same).sum()))
        for kind in (True, False):
            chosen = rng.choice(np.flatnonzero(same == kind), count, replace=False)
            pairs += [Pair(int(left[i]), int(right[i]), kind, fold) for i in chosen]
    return _in_folds(pairs)
