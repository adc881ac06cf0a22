"""Evaluate an engine on labelled photos: accuracy, 1:1 and 1:N error rates, and what limits them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.dataset import Folder, Pairs, read_folder
from mien.evaluation.embeddings import EmbeddedPhotos, EmbeddingCache, EmbeddingEngine, embed_photos
from mien.evaluation.identification import FPIRS, Aggregate, OpenSet, gallery_sizes, open_set, rank_rates
from mien.evaluation.verification import (
    Comparisons,
    Rate,
    compare_all,
    equal_error,
    fold_accuracies,
    rate_name,
    tmr_by_person,
)

FMRS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
PHOTOS_PER_PERSON = (1, 2)
"""Enrolled photos of each person in the open-set searches."""

MAX_LISTED_PHOTOS = 5


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """What the rates are computed from.

    Attributes:
        folder: the labelled photos.
        embedded: their embeddings.
        comparisons: scores of all pairs of photos.
        model_version: the engine's.
    """

    folder: Folder
    embedded: EmbeddedPhotos
    comparisons: Comparisons
    model_version: str


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """TMR at an FMR.

    Attributes:
        fmr: the given rate.
        threshold: cosine at which it is reached.
        tmr: None where the impostor comparisons are too few.
    """

    fmr: float
    threshold: float
    tmr: Rate | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All rates of one evaluation.

    Attributes:
        accuracy: mean over the folds, 0 to 1; None where there are too few pairs for two folds.
        accuracy_std: standard deviation over the folds (n - 1).
        pairs: pairs in the folds.
        operating_points: TMR at each of `FMRS`.
        eer: equal error rate.
        eer_threshold: its cosine.
        rank_rates: closed-set CMC, rank 1 first.
        open_set: FNIR at each FPIR and gallery size that could be measured.
        notes: sentences about photos that could not be used, and about peculiarities of the folder.
        partial: whether a rate could not be measured.
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
    root: Path, engine: EmbeddingEngine, cache: EmbeddingCache, progress: Callable[[int, int], None] = lambda *_: None
) -> EvaluationData:
    """Read, embed and compare the photos in a folder.

    Args:
        root: folder with one sub-folder per person.
        engine: detects and embeds faces.
        cache: holds known embeddings and takes new ones.
        progress: is called with (photos done, photos in all).

    Raises:
        InvalidInput: see `read_folder`.
    """
    folder = read_folder(root)
    paths = [photo.path for photo in folder.photos]
    embedded = embed_photos(engine, paths, cache, lambda done: progress(done, len(paths)))
    return EvaluationData(folder, embedded, compare_all(embedded.vectors, folder.labels), engine.model_version)


def evaluate(
    data: EvaluationData, pairs: Pairs, aggregate: Aggregate, *, galleries: tuple[int, ...] | None = None
) -> Evaluation:
    """Compute all rates.

    Args:
        data: embeddings and comparisons; TMR, FMR and EER are of every pair of photos in the folder.
        pairs: pairs for the accuracy.
        aggregate: combines a person's enrolled embeddings.
        galleries: people enrolled for the open-set searches; None for sizes that suit the folder.
    """
    comparisons = data.comparisons
    folds = _accuracies(data, pairs)
    points = tuple(operating_point(comparisons, fmr) for fmr in FMRS)
    eer, eer_threshold = equal_error(comparisons.genuine, comparisons.impostors)
    searches, search_problems = _open_set(data, aggregate, galleries)
    problems = [*_pair_problems(pairs), *_rate_problems(comparisons, points), *search_problems]
    return Evaluation(
        accuracy=float(folds.mean()) if len(folds) > 1 else None,
        accuracy_std=float(folds.std(ddof=1)) if len(folds) > 1 else 0.0,
        pairs=len(pairs.pairs),
        operating_points=points,
        eer=eer,
        eer_threshold=eer_threshold,
        rank_rates=tuple(rank_rates(data.embedded.vectors, data.folder.labels).tolist()),
        open_set=tuple(searches),
        notes=(*problems, *_fold_notes(pairs), *data.folder.notes, *_photo_notes(data)),
        partial=bool(problems),
    )


def operating_point(comparisons: Comparisons, fmr: float) -> OperatingPoint:
    """Compute threshold and TMR at an FMR."""
    threshold = comparisons.impostors.threshold(fmr)
    if fmr < comparisons.impostors.smallest_rate:
        return OperatingPoint(fmr, threshold, None)
    return OperatingPoint(fmr, threshold, tmr_by_person(comparisons.genuine, comparisons.person, threshold))


def _accuracies(data: EvaluationData, pairs: Pairs) -> NDArray[np.float64]:
    """Accuracy of each fold; empty with one fold, which leaves no other to choose the threshold on."""
    if pairs.folds < 2:
        return np.empty(0)
    vectors = data.embedded.vectors
    left = np.array([pair.left for pair in pairs.pairs])
    right = np.array([pair.right for pair in pairs.pairs])
    scores = np.einsum("ij,ij->i", vectors[left], vectors[right])
    same = np.array([pair.same for pair in pairs.pairs])
    return fold_accuracies(scores, same, np.array([pair.fold for pair in pairs.pairs]))


def _open_set(
    data: EvaluationData, aggregate: Aggregate, galleries: tuple[int, ...] | None
) -> tuple[list[OpenSet], list[str]]:
    """Results, and sentences about the galleries and rates that could not be measured."""
    labels = data.folder.labels
    results: list[OpenSet] = []
    problems: list[str] = []
    galleries_without: dict[float, set[int]] = {}
    for photos in PHOTOS_PER_PERSON:
        sizes = gallery_sizes(labels, photos, galleries)
        for size in sizes:
            measured = open_set(data.embedded.vectors, labels, size, photos, aggregate)
            results += measured
            for fpir in set(FPIRS) - {result.fpir for result in measured}:
                galleries_without.setdefault(fpir, set()).add(size)
        too_large = [size for size in galleries or () if size not in sizes]
        if too_large or not sizes:
            described = " and ".join(map(str, too_large)) or "any size"
            problems.append(
                f"There are too few people with more than {plural(photos, 'photo')} "
                f"for a gallery of {described}, so it was not measured."
            )
    return results, [
        *problems,
        *(_too_few_probes(fpir, galleries_without[fpir]) for fpir in sorted(galleries_without)),
    ]


def plural(number: int, noun: str) -> str:
    """Format a count: "1 photo", "1,200 photos"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _too_few_probes(fpir: float, galleries: set[int]) -> str:
    sizes = " and ".join(map(str, sorted(galleries)))
    return f"FPIR {fpir:.1%} needs {1 / fpir:,.0f} searches of strangers; a gallery of {sizes} leaves too few for it."


def _pair_problems(pairs: Pairs) -> Iterator[str]:
    if pairs.missing:
        yield (
            f"{plural(len(pairs.missing), 'photo')} of the pairs file not found in the folder, such as "
            f"{pairs.missing[0]}; the accuracy is of the other {plural(len(pairs.pairs), 'pair')}."
        )
    if pairs.folds < 2:
        yield "Accuracy was not measured: it needs two pairs of the same person and two of different people."


def _fold_notes(pairs: Pairs) -> Iterator[str]:
    if pairs.refolded:
        yield f"The pairs were in one fold and were distributed over {pairs.folds}, which therefore share people."


def _rate_problems(comparisons: Comparisons, points: tuple[OperatingPoint, ...]) -> list[str]:
    missing = [rate_name(point.fmr) for point in points if point.tmr is None]
    if not missing:
        return []
    few = f"{plural(len(comparisons.impostors), 'impostor comparison')} are too few for FMR {', '.join(missing)}; "
    return [f"{few}{_supported(comparisons.impostors.smallest_rate)}."]


def _supported(smallest: float) -> str:
    return f"the smallest rate that they support is {smallest:.1e}" if smallest < 1 else "they support no rate at all"


def _photo_notes(data: EvaluationData) -> list[str]:
    notes = []
    failed = [data.folder.photos[position].path for position in data.embedded.failures]
    if failed:
        names = ", ".join(str(path.relative_to(data.folder.root)) for path in failed[:MAX_LISTED_PHOTOS])
        notes.append(f"No face was found in {len(failed)} photos, which count as never matching: {names}.")
    people: dict[bytes, set[str]] = {}
    for digest, photo in zip(data.embedded.digests, data.folder.photos, strict=True):
        people.setdefault(digest, set()).add(photo.person)
    notes += [
        f"The same photo is filed under {' and '.join(sorted(names))}." for names in people.values() if len(names) > 1
    ]
    return notes
