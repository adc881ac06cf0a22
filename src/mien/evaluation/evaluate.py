"""One evaluation: labelled embeddings and a list of pairs in, every error rate out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.evaluation.embeddings import Embedded, EmbeddingCache, Engine, embed
from mien.evaluation.folder import Folder, read_folder
from mien.evaluation.identification import FPIRS, Aggregate, OpenSet, gallery_sizes, open_set, rank_rates
from mien.evaluation.metrics import Rate, equal_error, fold_accuracies, rate_name, tmr_by_person
from mien.evaluation.pairs import Pairs
from mien.evaluation.verification import Comparisons, compare_all

FMRS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
PHOTOS_PER_PERSON = (1, 2)


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """What the rates are computed from."""

    folder: Folder
    embedded: Embedded
    comparisons: Comparisons
    model_version: str


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """TMR at an FMR, and the cosine that gives it; `tmr` is None where the impostors are too few."""

    fmr: float
    threshold: float
    tmr: Rate | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`accuracy_std` is the deviation of the folds (n - 1); `partial`: some rate could not be measured.

    `accuracy` is None where there are too few pairs for two folds.
    """

    accuracy: float | None
    accuracy_std: float
    pairs: int
    operating_points: tuple[OperatingPoint, ...]
    eer: float
    eer_threshold: float
    rank_rates: tuple[float, ...]
    open_set: tuple[OpenSet, ...]
    notes: tuple[str, ...]
    partial: bool


def gather(
    root: Path, engine: Engine, cache: EmbeddingCache, progress: Callable[[int, int], None] = lambda *_: None
) -> EvaluationData:
    """Reads, embeds and compares the photos below `root`. `progress` is told (done, of how many)."""
    folder = read_folder(root)
    paths = [photo.path for photo in folder.photos]
    embedded = embed(engine, paths, cache, lambda done: progress(done, len(paths)))
    return EvaluationData(folder, embedded, compare_all(embedded.vectors, folder.labels), engine.model_version)


def evaluate(
    evidence: EvaluationData, pairs: Pairs, aggregate: Aggregate, *, galleries: tuple[int, ...] | None = None
) -> Evaluation:
    """All rates. Accuracy is of `pairs`; TMR, FMR and EER are of every pair of photos in the folder."""
    comparisons = evidence.comparisons
    folds = _accuracies(evidence, pairs)
    points = tuple(operating_point(comparisons, fmr) for fmr in FMRS)
    eer, eer_threshold = equal_error(comparisons.genuine, comparisons.impostors)
    searches, unmeasured = _open_set(evidence, aggregate, galleries)
    problems = [*_pair_problems(pairs), *_rate_problems(comparisons, points), *unmeasured]
    return Evaluation(
        accuracy=float(folds.mean()) if len(folds) > 1 else None,
        accuracy_std=float(folds.std(ddof=1)) if len(folds) > 1 else 0.0,
        pairs=len(pairs.pairs),
        operating_points=points,
        eer=eer,
        eer_threshold=eer_threshold,
        rank_rates=tuple(rank_rates(evidence.embedded.vectors, evidence.folder.labels).tolist()),
        open_set=tuple(searches),
        notes=(*problems, *_fold_notes(pairs), *evidence.folder.notes, *_photo_notes(evidence)),
        partial=bool(problems),
    )


def operating_point(comparisons: Comparisons, fmr: float) -> OperatingPoint:
    threshold = comparisons.impostors.threshold(fmr)
    if fmr < comparisons.impostors.smallest_rate:
        return OperatingPoint(fmr, threshold, None)
    return OperatingPoint(fmr, threshold, tmr_by_person(comparisons.genuine, comparisons.person, threshold))


def _accuracies(evidence: EvaluationData, pairs: Pairs) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Of each fold; empty when all pairs are in one, which leaves nothing to find a threshold on."""
    if pairs.folds < 2:
        return np.empty(0)
    vectors = evidence.embedded.vectors
    left = np.array([pair.left for pair in pairs.pairs])
    right = np.array([pair.right for pair in pairs.pairs])
    scores = np.einsum("ij,ij->i", vectors[left], vectors[right])
    same = np.array([pair.same for pair in pairs.pairs])
    return fold_accuracies(scores, same, np.array([pair.fold for pair in pairs.pairs]))


def _open_set(
    evidence: EvaluationData, aggregate: Aggregate, galleries: tuple[int, ...] | None
) -> tuple[list[OpenSet], list[str]]:
    labels = evidence.folder.labels
    results: list[OpenSet] = []
    notes: list[str] = []
    unshown: dict[float, set[int]] = {}
    for photos in PHOTOS_PER_PERSON:
        possible = gallery_sizes(labels, photos, galleries)
        for size in possible:
            found = open_set(evidence.embedded.vectors, labels, size, photos, aggregate)
            results += found
            for fpir in set(FPIRS) - {result.fpir for result in found}:
                unshown.setdefault(fpir, set()).add(size)
        too_large = [size for size in galleries or () if size not in possible]
        if too_large or not possible:
            sizes = " and ".join(map(str, too_large)) or "any size"
            notes.append(
                f"There are too few people with more than {counted(photos, 'photo')} "
                f"for a gallery of {sizes}, so it was not measured."
            )
    return results, [*notes, *(_too_few_searches(fpir, unshown[fpir]) for fpir in sorted(unshown))]


def counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _too_few_searches(fpir: float, galleries: set[int]) -> str:
    sizes = " and ".join(map(str, sorted(galleries)))
    return f"FPIR {fpir:.1%} needs {1 / fpir:,.0f} searches of strangers; a gallery of {sizes} leaves too few for it."


def _pair_problems(pairs: Pairs) -> Iterator[str]:
    if pairs.missing:
        yield (
            f"{counted(len(pairs.missing), 'photo')} of the pairs file not found in the folder, such as "
            f"{pairs.missing[0]}; what can be measured is of the other {counted(len(pairs.pairs), 'pair')}."
        )
    if pairs.folds < 2:
        yield "Accuracy was not measured: it needs two pairs of the same person and two of different people."


def _fold_notes(pairs: Pairs) -> Iterator[str]:
    if pairs.dealt:
        yield f"The pairs lay in one fold and were dealt out to {pairs.folds}, which therefore share people."


def _rate_problems(comparisons: Comparisons, points: tuple[OperatingPoint, ...]) -> list[str]:
    missing = [rate_name(point.fmr) for point in points if point.tmr is None]
    if not missing:
        return []
    few = f"{counted(len(comparisons.impostors), 'impostor comparison')} are too few for FMR {', '.join(missing)}; "
    return [f"{few}{_supported(comparisons.impostors.smallest_rate)}."]


def _supported(smallest: float) -> str:
    return f"the smallest rate that they support is {smallest:.1e}" if smallest < 1 else "they support no rate at all"


def _photo_notes(evidence: EvaluationData) -> list[str]:
    notes = []
    failed = [evidence.folder.photos[position].path for position in evidence.embedded.failed]
    if failed:
        names = ", ".join(str(path.relative_to(evidence.folder.root)) for path in failed[:5])
        notes.append(f"No face was found on {len(failed)} photos, which count as never matching: {names}.")
    shared: dict[bytes, set[str]] = {}
    for key, photo in zip(evidence.embedded.keys, evidence.folder.photos, strict=True):
        shared.setdefault(key, set()).add(photo.person)
    notes += [
        f"One and the same photo is filed under {' and '.join(sorted(names))}."
        for names in shared.values()
        if len(names) > 1
    ]
    return notes
