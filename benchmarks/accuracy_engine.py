"""The engine's settings, each measured for accuracy and cost in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from benchmarks.accuracy_studies import table
from mien.engine import FaceEngine
from mien.engine.refine import Looks, Refined, Rough
from mien.evaluation.embeddings import EmbeddingCache
from mien.evaluation.evaluate import EvaluationData, evaluate, gather
from mien.evaluation.metrics import separation
from mien.evaluation.pairs import Pairs
from mien.evaluation.summary import accuracy
from mien.gallery.scoring import aggregate


def variants(root: Path, pairs: Callable[[EvaluationData], Pairs]) -> str:
    """Accuracy and processor time of the engine's settings, one after the other in the same run."""
    rows, unit = [], 0.0
    for name, changes, options in SETTINGS:
        with ExitStack() as stack:
            for target, value in changes.items():
                stack.enter_context(patch(target, value))
            engine = FaceEngine(**options)
            begun = time.process_time()
            evidence = gather(root, engine, EmbeddingCache(":memory:", name))
            cost = time.process_time() - begun
        unit = unit or cost
        result = evaluate(evidence, pairs(evidence), aggregate, galleries=(40,))
        rates_shown = [f"{point.tmr.value:.2%}" for point in result.operating_points[1:3] if point.tmr]
        fnir = next((f"{found.fnir:.2%}" for found in result.open_set if found.fpir == 0.01), "too few")
        apart = separation(evidence.comparisons.genuine, evidence.comparisons.impostors)
        rows.append(
            [name, accuracy(result).partition(" ±")[0], *rates_shown, fnir, f"{apart:.2f}", f"{cost / unit:.2f}"]
        )
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


def _first_look(near: object, every_size: object, faces: Sequence[Rough]) -> list[Refined]:
    return [Refined(face.box, face.points[None]) for face in faces]


SETTINGS: tuple[tuple[str, dict[str, object], dict[str, bool]], ...] = (
    ("as shipped", {}, {}),
    ("plus the mirrored crop", {}, {"mirrored": True}),
    ("two looks at every face, doubtful or not", {"mien.engine.refine.DOUBTFUL": 0.0}, {}),
    ("one look at the landmarks instead of two", {"mien.engine.refine.TWO_LOOKS": Looks((248,), 40, (False,))}, {}),
    ("no further look at the landmarks", {"mien.engine.engine.refine": _first_look}, {}),
    ("first detection at 320 pixels", {"mien.engine.multiscale.FIRST": 320}, {}),
)
"""Name, what is changed inside the engine, and the engine's own options."""
