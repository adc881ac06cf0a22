"""Which photos are compared for the accuracy: LFW's own pairs file, a CSV, or pairs drawn from the folder.

LFW (http://vis-www.cs.umass.edu/lfw/README.txt): a first line `10 300` (folds, pairs), then per fold
`name n1 n2` (same person) and `name1 n1 name2 n2` (different people). The CSV has the columns
`left,right,same`, with paths below the folder; it has no folds, so its rows are dealt out to ten.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mien.domain.errors import InvalidInput
from mien.evaluation.folder import SUFFIXES, Folder

FOLDS = 10
SAME = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos, as positions in the folder's list."""

    left: int
    right: int
    same: bool
    fold: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """`missing` names the photos that the file asks for and the folder does not hold.

    `dealt`: the pairs all lay in one fold, by which nothing can be cross-validated, and were dealt out anew.
    """

    pairs: tuple[Pair, ...]
    missing: tuple[str, ...] = ()
    dealt: bool = False

    @property
    def folds(self) -> int:
        return len({pair.fold for pair in self.pairs})


@dataclass(frozen=True, slots=True)
class _Row:
    left: str
    right: str
    same: bool
    fold: int


def read_pairs(file: Path, folder: Folder) -> Pairs:
    """The pairs of an LFW file or a CSV, found in `folder`. InvalidInput names a line that cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The pairs file {file} cannot be read.") from error
    rows = _read_csv(lines, file) if file.suffix.lower() == ".csv" else _read_lfw(lines, file)
    places = {_stem(str(photo.path.relative_to(folder.root))): i for i, photo in enumerate(folder.photos)}
    found = [row for row in rows if row.left in places and row.right in places]
    missing = sorted({name for row in rows for name in (row.left, row.right)} - places.keys())
    if len({row.same for row in found}) < 2:
        raise InvalidInput(
            f"Accuracy needs pairs of the same and of different people; of the {len(rows)} pairs in {file} "
            f"only {len(found)} have their photos in {folder.root}, and {len(missing)} photos are missing"
            + (f", such as {missing[0]}." if missing else ".")
        )
    return _in_folds((Pair(places[r.left], places[r.right], r.same, r.fold) for r in found), tuple(missing))


def _in_folds(pairs: Iterable[Pair], missing: tuple[str, ...] = ()) -> Pairs:
    """Pairs that lie in several folds, if need be dealt out to ten in turn, as far as there are two of either kind."""
    given = Pairs(tuple(pairs), missing)
    kinds = [[pair for pair in given.pairs if pair.same == kind] for kind in (True, False)]
    fewest = min(map(len, kinds))
    if given.folds > 1 or fewest < 2:
        return given
    folds = min(FOLDS, fewest)
    dealt = (replace(pair, fold=turn % folds) for kind in kinds for turn, pair in enumerate(kind))
    return Pairs(tuple(dealt), missing, dealt=True)


def _read_lfw(lines: list[str], file: Path) -> list[_Row]:
    numbered = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    fold_size = 0
    if numbered and len(numbered[0][1]) <= 2:
        header = numbered.pop(0)[1]
        if not all(word.isdigit() for word in header):
            raise InvalidInput(f"Line 1 of {file} must be `folds pairs`, as in `10 300`, or a pair.")
        fold_size = 2 * int(header[1]) if len(header) == 2 else 0
    rows = []
    for place, (number, words) in enumerate(numbered):
        fold = place // fold_size if fold_size else place % FOLDS
        rows.append(_lfw_row(words, fold, f"Line {number} of {file}"))
    return rows


def _lfw_row(words: list[str], fold: int, where: str) -> _Row:
    match words:
        case [name, first, second] if first.isdigit() and second.isdigit():
            return _Row(_lfw_photo(name, first), _lfw_photo(name, second), True, fold)
        case [left, first, right, second] if first.isdigit() and second.isdigit():
            return _Row(_lfw_photo(left, first), _lfw_photo(right, second), False, fold)
    raise InvalidInput(f"{where} must be `name n1 n2` or `name1 n1 name2 n2`.")


def _lfw_photo(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}"


def _read_csv(lines: list[str], file: Path) -> list[_Row]:
    reader = csv.DictReader(lines)
    if not {"left", "right", "same"} <= set(reader.fieldnames or ()):
        raise InvalidInput(f"{file} must begin with the header `left,right,same`.")
    rows: list[_Row] = []
    dealt = {True: 0, False: 0}
    for number, record in enumerate(reader, 2):
        same = SAME.get((record["same"] or "").strip().lower())
        if same is None or not record["left"] or not record["right"]:
            raise InvalidInput(f"Line {number} of {file} must be two photos and 1 or 0.")
        rows.append(_Row(_stem(record["left"]), _stem(record["right"]), same, dealt[same] % FOLDS))
        dealt[same] += 1
    return rows


def _stem(name: str) -> str:
    path = Path(name.strip())
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path)


def draw_pairs(folder: Folder, *, per_fold: int = 300, seed: int = 0) -> Pairs:
    """Pairs in LFW's way: ten sets of people without overlap, in each as many same as different pairs.

    At most `per_fold` of either kind; fewer where a set of people has fewer pairs. With too few people for
    several sets, the folds share people. Always the same for the same folder.
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
