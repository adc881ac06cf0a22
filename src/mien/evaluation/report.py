"""An evaluation as one HTML file: rates, curves, and the worst errors as pictures, so that wrong labels show.

The file holds the photos of those errors; treat it like the photos themselves.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from html import escape

import numpy as np
from PIL import Image

from mien.domain.errors import ImageError
from mien.engine.decode import open_photo
from mien.evaluation.evaluate import Evaluation, EvaluationData
from mien.evaluation.plots import Axes, Curve, det, roc, svg
from mien.evaluation.summary import as_lines
from mien.evaluation.verification import most_alike_strangers

WORST = 12
THUMBNAIL = 160
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
pre { background: #f4f4f2; padding: 1rem; overflow-x: auto }
.plots, .pairs { display: flex; flex-wrap: wrap; gap: 1rem }
.plots svg { max-width: 30rem; height: auto }
figure { margin: 0; width: 21rem } figcaption { font-size: 13px } img { width: 160px; height: 160px; object-fit: cover }
"""


def html(evidence: EvaluationData, evaluation: Evaluation) -> str:
    """The whole page, without references to other files. Raises SetupError without matplotlib."""
    title = f"Accuracy on {evidence.folder.root.name}"
    return "".join(
        (
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>",
            f"<pre>{escape(chr(10).join(as_lines(evidence, evaluation)))}</pre>",
            "<h2>Curves</h2><div class='plots'>",
            *_curves(evidence, evaluation),
            "</div><h2>The same person, least alike</h2>",
            "<p>Faces that the model does not recognise, or photos under the wrong name.</p>",
            *_pairs(evidence, _least_alike(evidence)),
            "<h2>Different people, most alike</h2>",
            "<p>Look-alikes, or one person under two names.</p>",
            *_pairs(evidence, most_alike_strangers(evidence.embedded.vectors, evidence.folder.labels, WORST)),
            "</body></html>",
        )
    )


def _curves(evidence: EvaluationData, evaluation: Evaluation) -> Iterator[str]:
    genuine, impostors = evidence.comparisons.genuine, evidence.comparisons.impostors
    yield _inline(svg(Axes("ROC", "FMR", "TMR", log_x=True), [roc(genuine, impostors, "")]))
    yield _inline(svg(Axes("DET", "FMR", "FNMR", log_x=True), [det(genuine, impostors, "")]))
    ranks = range(1, len(evaluation.rank_rates) + 1)
    yield _inline(svg(Axes("CMC", "rank", "found", markers=True), [Curve("", ranks, evaluation.rank_rates)]))


def _inline(drawing: str) -> str:
    return drawing[drawing.index("<svg") :]


def _least_alike(evidence: EvaluationData) -> list[tuple[int, int, float]]:
    comparisons = evidence.comparisons
    worst = np.argsort(comparisons.genuine)[:WORST]
    return [(int(comparisons.left[i]), int(comparisons.right[i]), float(comparisons.genuine[i])) for i in worst]


def _pairs(evidence: EvaluationData, pairs: Iterable[tuple[int, int, float]]) -> Iterator[str]:
    yield "<div class='pairs'>"
    for left, right, cosine in pairs:
        photos = [evidence.folder.photos[place].path for place in (left, right)]
        pictures = "".join(f"<img alt='' src='{_thumbnail(path.read_bytes())}'>" for path in photos)
        names = "<br>".join(escape(str(path.relative_to(evidence.folder.root))) for path in photos)
        yield f"<figure>{pictures}<figcaption>cosine {cosine:.3f}<br>{names}</figcaption></figure>"
    yield "</div>"


def _thumbnail(photo: bytes) -> str:
    """A data URL; grey where the photo cannot be shown, which may be why it counts as an error."""
    out = io.BytesIO()
    try:
        small = Image.fromarray(open_photo(photo).pixels(THUMBNAIL))
    except ImageError:
        small = Image.new("RGB", (THUMBNAIL, THUMBNAIL), "grey")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    small.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
