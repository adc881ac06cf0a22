"""Study labelled embeddings; each study returns a Markdown table of docs/accuracy.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from mien.domain import thresholds
from mien.evaluation.evaluate import EvaluationData
from mien.evaluation.identification import Searches, draw_galleries, search
from mien.evaluation.verification import Impostors, Scores, rate_name
from mien.gallery.scoring import aggregate, calibrate, impostor_cosines

REPEATS = 40

Represent = Callable[[Scores], list[Scores]]
"""Turns the embeddings of a person's photos into those that probes are compared with."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def aggregation(data: EvaluationData) -> str:
    """Measure FNIR at FPIR 1 % for different ways to represent a person by several photos, on the same galleries."""
    vectors, labels = data.embedded.vectors, data.folder.labels
    rng = np.random.default_rng(0)
    poor = vectors + rng.normal(0, 0.055, vectors.shape).astype(np.float32)
    poor /= np.maximum(np.linalg.norm(poor, axis=1, keepdims=True), 1e-9)
    methods: dict[str, Represent] = {
        "mean of unit vectors": lambda v: [aggregate(v)],
        "mean without the least central photo": lambda v: [_trimmed(v)],
        "mean weighted by centrality": lambda v: [_central(v)],
        "best single photo": list,
        "the mean or the best photo, whichever is more similar": lambda v: [aggregate(v), *v],
    }
    counts = np.bincount(labels)
    cases = [(photos, int(np.sum(counts > photos) * 3 // 4)) for photos in (2, 3, 4)]
    cases = [(photos, people) for photos, people in cases if people >= 2]
    columns = [f"{photos} photos{kind}" for photos, _ in cases for kind in ("", ", poor probes")]
    rows = []
    for name, represent in methods.items():
        cells = []
        for photos, people in cases:
            enrolled = list(draw_galleries(labels, people, photos, count=REPEATS))
            cells += [f"{_fnir(vectors, probes, labels, enrolled, represent):.2%}" for probes in (vectors, poor)]
        rows.append([name, *cells])
    return table(["a person is represented by", *columns], rows)


def _fnir(
    vectors: Scores,
    probes: Scores,
    labels: Scores,
    enrolled: list[list[Scores]],
    represent: Represent,
) -> float:
    runs = [_search(vectors, probes, labels, split, represent) for split in enrolled]
    return float(np.mean([run.fnir(run.threshold(0.01)) for run in runs]))


def _search(vectors: Scores, probes: Scores, labels: Scores, enrolled: list[Scores], represent: Represent) -> Searches:
    names = np.array([labels[rows[0]] for rows in enrolled])
    rest = np.setdiff1d(np.arange(len(labels)), np.concatenate(enrolled))
    scores = np.stack([(probes[rest] @ np.stack(represent(vectors[rows])).T).max(axis=1) for rows in enrolled], axis=1)
    best, mated = scores.argmax(axis=1), np.isin(labels[rest], names)
    top = scores[np.arange(len(rest)), best]
    return Searches(top[mated], names[best[mated]] == labels[rest][mated], top[~mated])


def _trimmed(vectors: Scores) -> Scores:
    kept = np.argsort(vectors @ aggregate(vectors))[1:] if len(vectors) > 2 else slice(None)
    return aggregate(vectors[kept])


def _central(vectors: Scores) -> Scores:
    weights = np.maximum((vectors @ vectors.T).sum(axis=1) - 1, 0.01)
    return aggregate(vectors * weights[:, None])


def shipped_rates(data: EvaluationData) -> str:
    """Measure the FMR on these people at the thresholds of the shipped table."""
    impostors = data.comparisons.impostors
    rows = [
        [rate_name(fmr), f"{thresholds.similarity_of_fmr(fmr):.1f}", f"{cosine:.3f}", _observed(impostors, fmr, cosine)]
        for fmr, cosine in thresholds.FMR_TO_COSINE
    ]
    return table(["requested FMR", "similarity", "cosine", "FMR on these people"], rows)


def _observed(impostors: Impostors, fmr: float, cosine: float) -> str:
    if fmr < impostors.smallest_rate:
        return "too few pairs"
    return f"{impostors.rates[np.searchsorted(impostors.edges, cosine)]:.1e}"


def own_calibration(data: EvaluationData) -> str:
    """Calibrate on one half of the people, and measure the FMR on the other half."""
    vectors, labels = data.embedded.vectors, data.folder.labels
    rng, ratios = np.random.default_rng(0), {1e-2: [], 1e-3: []}
    for _ in range(REPEATS):
        seen = np.isin(labels, rng.permutation(labels.max() + 1)[: labels.max() // 2])
        own = calibrate(impostor_cosines(vectors[seen], labels[seen]))
        strangers = impostor_cosines(vectors[~seen], labels[~seen])
        for fmr, found in ratios.items():
            cosine = own.offset + own.scale * thresholds.cosine_of_fmr(fmr)
            found.append(np.mean(strangers >= cosine) / fmr)
    rows = [
        [rate_name(fmr), *(f"{np.quantile(found, q):.2f}" for q in (0.05, 0.5, 0.95))] for fmr, found in ratios.items()
    ]
    return table(["requested FMR", "measured / requested: 5 % quantile", "median", "95 % quantile"], rows)


def gallery_size(data: EvaluationData) -> str:
    """Compare FPIR by the formula with the measured one, for galleries of one photo per person."""
    vectors, labels = data.embedded.vectors, data.folder.labels
    fmr = 1e-3
    cosine = data.comparisons.impostors.threshold(fmr)
    rows = []
    for people in (10, 40, 160):
        if people < labels.max():
            rng, shares = np.random.default_rng(0), []
            for _ in range(REPEATS):
                chosen = rng.permutation(labels.max() + 1)[:people]
                enrolled = [np.flatnonzero(labels == person)[:1] for person in chosen]
                shares.append(np.mean(search(vectors, labels, enrolled, aggregate).non_mated_scores >= cosine))
            rows.append([str(people), f"{thresholds.fpir(fmr, people):.2%}", f"{np.mean(shares):.2%}"])
    return table(["people enrolled", "1 - (1 - FMR)^N", "measured FPIR"], rows)


def default_thresholds(data: EvaluationData) -> str:
    """Measure fixed thresholds and those that follow the gallery; up to two photos of each person are enrolled."""
    vectors, labels = data.embedded.vectors, data.folder.labels
    rows = []
    for people in (33, 80, 160, 240):
        if people < labels.max():
            galleries = [_gallery(labels, people, seed) for seed in range(REPEATS)]
            for given in ("80", thresholds.AUTOMATIC, "fpir=0.001"):
                rates = [_open_set_rates(vectors, labels, enrolled, given) for enrolled in galleries]
                similarity, fpir, fnir = np.mean(rates, axis=0)
                rows.append([str(people), f"`{given}`", f"{similarity:.1f}", f"{fpir:.2%}", f"{fnir:.2%}"])
    return table(["people enrolled", "threshold", "similarity", "FPIR", "FNIR"], rows)


def _gallery(labels: Scores, people: int, seed: int) -> Scores:
    """Draw the positions of up to two photos of each of so many people, first of those who have a third."""
    rng, counts = np.random.default_rng(seed), np.bincount(labels)
    order = sorted(rng.permutation(labels.max() + 1), key=lambda person: counts[person] <= 2)
    return np.concatenate([rng.permutation(np.flatnonzero(labels == person))[:2] for person in order[:people]])


def _open_set_rates(vectors: Scores, labels: Scores, enrolled: Scores, given: str) -> tuple[float, float, float]:
    """Return the similarity of a threshold, and FPIR and FNIR of searches among the enrolled faces."""
    similarity = thresholds.parse(given, lambda: len(enrolled))
    cosine = thresholds.cosine_of_fmr(thresholds.fmr_of_similarity(similarity))
    probes = np.setdiff1d(np.arange(len(labels)), enrolled)
    scores = vectors[probes] @ vectors[enrolled].T
    is_mated = np.isin(labels[probes], labels[enrolled])
    is_match = scores.max(axis=1) >= cosine
    is_right = is_match & (labels[enrolled][scores.argmax(axis=1)] == labels[probes])
    return similarity, float(is_match[~is_mated].mean()), float(1 - is_right[is_mated].mean())


def margins(data: EvaluationData) -> str:
    """Measure how many right and wrong matches each margin to the runner-up leaves; one photo per person enrolled."""
    vectors, labels = data.embedded.vectors, data.folder.labels
    first = np.unique(labels, return_index=True)[1]
    rest = np.setdiff1d(np.arange(len(labels)), first)
    scores = np.sort(vectors[rest] @ vectors[first].T, axis=1)
    best = (vectors[rest] @ vectors[first].T).argmax(axis=1) == labels[rest]
    lead, accepted = scores[:, -1] - scores[:, -2], scores[:, -1] >= thresholds.cosine_of_fmr(1e-3)
    rows = []
    for odds in (1, 2, 4, 8, 16):
        clear = lead >= np.log(odds) / thresholds.STEEPNESS
        right, wrong = (np.sum(accepted & clear & kind) for kind in (best, ~best))
        rows.append([str(odds), f"{right / len(rest):.2%}", f"{wrong} of {len(rest)}"])
    return table(["odds between best and runner-up", "right and matched", "wrong and matched"], rows)


def look_alikes(data: EvaluationData, max_cases: int = 60) -> str:
    """Reject one photo of each look-alike; measure the effect on their other photos and on the person's own."""
    vectors, labels = data.embedded.vectors, data.folder.labels
    counts = np.bincount(labels)
    people = np.flatnonzero(counts >= 3)
    rows = []
    for fmr in (1e-2, 1e-3):
        threshold = thresholds.cosine_of_fmr(fmr)
        cases = [case for a in people for x in people if a != x for case in _mistakes(vectors, labels, a, x, threshold)]
        cases = sorted(cases, key=lambda case: -case[0])[:max_cases]
        if cases:
            before, after, own_before, own_after = np.mean([case[1:] for case in cases], axis=0)
            shares = (f"{share:.1%}" for share in (before, after, own_before, own_after))
            rows.append([rate_name(fmr), str(len(cases)), *shares])
    head = ["threshold: FMR", "look-alikes", "their other photos taken for the person", "after one rejection"]
    return table([*head, "the person's own found", "after"], rows)


def _mistakes(
    vectors: Scores, labels: Scores, person: int, other: int, threshold: float
) -> list[tuple[float, float, float, float, float]]:
    """(cosine, share of the other's photos matched before and after, of the person's own before and after)."""
    enrolled, *own = vectors[labels == person]
    theirs = vectors[labels == other]
    similarity = theirs @ enrolled
    worst = int(similarity.argmax())
    if similarity[worst] < threshold:
        return []
    rest = np.delete(theirs, worst, axis=0)

    def taken(probes: Scores) -> tuple[float, float]:
        found = probes @ enrolled >= threshold
        return float(found.mean()), float((found & (probes @ enrolled > probes @ theirs[worst])).mean())

    return [(float(similarity[worst]), *taken(rest), *taken(np.array(own)))]
