"""An evaluation as JSON and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mien.evaluation.evaluate import Evaluation, EvaluationData, counted
from mien.evaluation.metrics import rate_name


def as_json(evidence: EvaluationData, evaluation: Evaluation) -> dict[str, Any]:
    """Plain values; a TMR that the data cannot support is null, and `notes` says why."""
    points = {rate_name(point.fmr): point for point in evaluation.operating_points}
    return {
        "model_version": evidence.model_version,
        "photos": len(evidence.folder.photos),
        "people": len(evidence.folder.people),
        "pairs": evaluation.pairs,
        "accuracy": evaluation.accuracy,
        "accuracy_std": evaluation.accuracy_std,
        "tmr": {name: point.tmr and point.tmr.value for name, point in points.items()},
        "tmr_interval": {name: point.tmr and [point.tmr.low, point.tmr.high] for name, point in points.items()},
        "threshold": {name: point.tmr and point.threshold for name, point in points.items()},
        "impostor_comparisons": len(evidence.comparisons.impostors),
        "genuine_comparisons": len(evidence.comparisons.genuine),
        "eer": evaluation.eer,
        "rank": {str(k): rate for k, rate in enumerate(evaluation.rank_rates, 1)},
        "open_set": [
            {
                "gallery": result.gallery,
                "photos": result.photos,
                "fpir": result.fpir,
                "fnir": result.fnir,
                "fnir_std": result.fnir_std,
                "threshold": result.threshold,
            }
            for result in evaluation.open_set
        ],
        "failures_to_acquire": len(evidence.embedded.failed),
        "partial": evaluation.partial,
        "notes": list(evaluation.notes),
    }


def accuracy(evaluation: Evaluation) -> str:
    """With its deviation over the folds."""
    if evaluation.accuracy is None:
        return "too few pairs"
    return f"{evaluation.accuracy:.2%} ± {evaluation.accuracy_std:.2%}"


def as_lines(evidence: EvaluationData, evaluation: Evaluation) -> Iterator[str]:
    """The same for a person to read."""
    folder = evidence.folder
    yield f"{len(folder.photos):,} photos of {len(folder.people):,} people, {evidence.model_version}"
    yield f"No face found on (failures to acquire)   {len(evidence.embedded.failed)}"
    yield f"Accuracy, {evaluation.pairs:,} pairs in folds      {accuracy(evaluation)}"
    yield f"Equal error rate                         {evaluation.eer:.3%}"
    for point in evaluation.operating_points:
        if point.tmr:
            yield (
                f"TMR at FMR {rate_name(point.fmr)}                       {point.tmr.value:.2%}   "
                f"(95 %: {point.tmr.low:.2%} to {point.tmr.high:.2%}; cosine {point.threshold:.3f})"
            )
    yield f"Right person first, closed set           {evaluation.rank_rates[0]:.2%}"
    for found in evaluation.open_set:
        yield (
            f"FNIR at FPIR {found.fpir:.1%}, {found.gallery} people, {counted(found.photos, 'photo')} each   "
            f"{found.fnir:.2%} ± {found.fnir_std:.2%}"
        )
    if evaluation.partial:
        yield "Partial result:"
    yield from evaluation.notes
