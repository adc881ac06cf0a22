"""Measure accuracy and cost of the engine's settings, all in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from benchmarks.accuracy_studies import table
from mien.engine import FaceEngine
from mien.engine.refine import DetectedFace, RefinedLandmarks, RefinementScales
from mien.evaluation.dataset import Pairs
from mien.evaluation.embeddings import EmbeddingCache
from mien.evaluation.evaluate import EvaluationData, evaluate, gather
from mien.evaluation.report import accuracy_text
from mien.evaluation.verification import d_prime
from mien.gallery.scoring import aggregate


def variants(root: Path, pairs: Callable[[EvaluationData], Pairs]) -> str:
    """Measure accuracy and processor time of each setting; returns a Markdown table."""
    rows, first_cost = [], 0.0
    for name, patches, options in SETTINGS:
        with ExitStack() as stack:
            for target, value in patches.items():
                stack.enter_context(patch(target, value))
            engine = FaceEngine(**options)
            begun = time.process_time()
            data = gather(root, engine, EmbeddingCache(":memory:", name))
            cost = time.process_time() - begun
        first_cost = first_cost or cost
        result = evaluate(data, pairs(data), aggregate, galleries=(40,))
        tmrs = [f"{point.tmr.value:.2%}" for point in result.operating_points[1:3] if point.tmr]
        fnir = next((f"{measured.fnir:.2%}" for measured in result.open_set if measured.fpir == 0.01), "too few")
        separation = f"{d_prime(data.comparisons.genuine, data.comparisons.impostors):.2f}"
        accuracy = accuracy_text(result).partition(" ±")[0]
        rows.append([name, accuracy, *tmrs, fnir, separation, f"{cost / first_cost:.2f}"])
    head = [
        "setting",
        "accuracy",
        "TMR at FMR 1e-3",
        "at 1e-4",
        "FNIR at FPIR 1 %, 40 people",
        "d'",
        "processor time",
    ]
    return table(head, rows)


def _without_refinement(large_faces: object, any_size: object, faces: Sequence[DetectedFace]) -> list[RefinedLandmarks]:
    return [RefinedLandmarks(face.box, face.points[None]) for face in faces]


ONE_SCALE = RefinementScales((248,), 40, (False,))

SETTINGS: tuple[tuple[str, dict[str, object], dict[str, bool]], ...] = (
    ("as shipped", {}, {}),
    ("plus the mirrored crop", {}, {"mirrored": True}),
    ("two refinement passes for every face, uncertain or not", {"mien.engine.refine.UNCERTAIN_SCORE": 0.0}, {}),
    ("one refinement pass instead of two", {"mien.engine.refine.TWO_SCALES": ONE_SCALE}, {}),
    ("no refinement of the landmarks", {"mien.engine.engine.refine": _without_refinement}, {}),
    ("first detection pass at 320 pixels", {"mien.engine.multiscale.FIRST_SIDE": 320}, {}),
)
"""Name, patches of the engine's internals, and arguments of `FaceEngine`."""
