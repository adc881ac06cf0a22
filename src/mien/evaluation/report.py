"""Present an evaluation: as JSON, as lines for a terminal, as curves in SVG, and as one HTML file.

The HTML file shows the worst errors as photos, so that wrong labels are seen; treat it like the photos themselves.
Matplotlib comes with `pip install '.[evaluate]'`, and is loaded when something is drawn.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.domain.errors import ImageError, SetupError
from mien.engine.decode import admitted_photo
from mien.evaluation.evaluate import Evaluation, EvaluationData, plural
from mien.evaluation.verification import Impostors, Scores, hardest_impostors, rate_name

PLOT_SIZE = (5.6, 3.6)
PLOT_COLOURS = ("#2457a6", "#c1440e", "#2e7d4f", "#8a4fa3", "#8c6d1f")
MAX_PAIRS = 12
"""Worst genuine pairs, and worst impostor pairs, in the HTML file."""

THUMBNAIL_SIDE = 160
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
pre { background: #f4f4f2; padding: 1rem; overflow-x: auto }
.plots, .pairs { display: flex; flex-wrap: wrap; gap: 1rem }
.plots svg { max-width: 30rem; height: auto }
figure { margin: 0; width: 21rem } figcaption { font-size: 13px } img { width: 160px; height: 160px; object-fit: cover }
"""


def as_json(data: EvaluationData, evaluation: Evaluation) -> dict[str, Any]:
    """Return plain values for JSON; a TMR that the data cannot support is None, and `notes` says why."""
    points = {rate_name(point.fmr): point for point in evaluation.operating_points}
    return {
        "model_version": data.model_version,
        "photos": len(data.folder.photos),
        "people": len(data.folder.people),
        "pairs": evaluation.pairs,
        "accuracy": evaluation.accuracy,
        "accuracy_std": evaluation.accuracy_std,
        "tmr": {name: point.tmr and point.tmr.value for name, point in points.items()},
        "tmr_interval": {name: point.tmr and [point.tmr.low, point.tmr.high] for name, point in points.items()},
        "threshold": {name: point.tmr and point.threshold for name, point in points.items()},
        "impostor_comparisons": len(data.comparisons.impostors),
        "genuine_comparisons": len(data.comparisons.genuine),
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
        "failures_to_acquire": len(data.embedded.failures),
        "partial": evaluation.partial,
        "notes": list(evaluation.notes),
    }


def accuracy_text(evaluation: Evaluation) -> str:
    """Format the accuracy with its standard deviation over the folds."""
    if evaluation.accuracy is None:
        return "too few pairs"
    return f"{evaluation.accuracy:.2%} ± {evaluation.accuracy_std:.2%}"


def as_lines(data: EvaluationData, evaluation: Evaluation) -> Iterator[str]:
    """Yield lines for a terminal."""
    folder = data.folder
    yield f"{len(folder.photos):,} photos of {len(folder.people):,} people, {data.model_version}"
    yield from _in_words(evaluation)
    yield f"No face found in (failures to acquire)   {len(data.embedded.failures)}"
    yield f"Accuracy, {evaluation.pairs:,} pairs in folds      {accuracy_text(evaluation)}"
    yield f"Equal error rate                         {evaluation.eer:.3%}"
    for point in evaluation.operating_points:
        if point.tmr:
            yield (
                f"TMR at FMR {rate_name(point.fmr)}                       {point.tmr.value:.2%}   "
                f"(95 %: {point.tmr.low:.2%} to {point.tmr.high:.2%}; cosine {point.threshold:.3f})"
            )
    yield f"Right person first, closed set           {evaluation.rank_rates[0]:.2%}"
    for result in evaluation.open_set:
        yield (
            f"FNIR at FPIR {result.fpir:.1%}, {result.gallery} people, {plural(result.photos, 'photo')} each   "
            f"{result.fnir:.2%} ± {result.fnir_std:.2%}"
        )
    if evaluation.partial:
        yield "Partial result:"
    yield from evaluation.notes


USUAL_FPIR = 0.01


def _in_words(evaluation: Evaluation) -> Iterator[str]:
    """Say the main results in plain words."""
    if evaluation.accuracy is not None:
        yield f"Whether two photos show one person: right in {evaluation.accuracy:.1%} of the cases."
    if evaluation.open_set:
        result = min(evaluation.open_set, key=lambda each: (abs(each.fpir - USUAL_FPIR), -each.gallery, -each.photos))
        yield (
            f"With {result.gallery} people enrolled, {plural(result.photos, 'photo')} each: {1 - result.fnir:.1%} of "
            f"their other photos are recognised, if 1 in {1 / result.fpir:,.0f} strangers may get a name."
        )
    yield ""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one curve; `label` goes into the legend, if a plot has several."""

    label: str
    x: Sequence[float] | NDArray[Any]
    y: Sequence[float] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Axes:
    """Titles and scales of a plot; limits are None for what the curves need."""

    title: str
    x: str
    y: str
    log_x: bool = False
    log_y: bool = False
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    markers: bool = False


def require_matplotlib() -> None:
    """Raise SetupError without matplotlib; called before a long measurement, which would otherwise end with it."""
    if find_spec("matplotlib") is None:
        raise SetupError("Plots need matplotlib: pip install '.[evaluate]' in Mien's folder.")


def svg(axes: Axes, curves: Sequence[Curve]) -> str:
    """Draw curves as SVG; equal curves give equal bytes.

    Raises:
        SetupError: matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": axes.title, "font.size": 9}):
        figure = Figure(figsize=PLOT_SIZE, layout="constrained")
        _draw(figure.add_subplot(), axes, curves)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _draw(plot: Any, axes: Axes, curves: Sequence[Curve]) -> None:
    marker = "o" if axes.markers else None
    for curve, colour in zip(curves, PLOT_COLOURS, strict=False):
        plot.plot(curve.x, curve.y, label=curve.label, color=colour, marker=marker, markersize=3)
    plot.set(title=axes.title, xlabel=axes.x, ylabel=axes.y)
    plot.set_xscale("log" if axes.log_x else "linear")
    plot.set_yscale("log" if axes.log_y else "linear")
    if axes.x_limits:
        plot.set_xlim(axes.x_limits)
    if axes.y_limits:
        plot.set_ylim(axes.y_limits)
    plot.grid(visible=True, alpha=0.3)
    if len(curves) > 1:
        plot.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=len(curves), frameon=False)


def roc(genuine: Scores, impostors: Impostors, label: str) -> Curve:
    """Compute TMR over FMR, from a tenth of the smallest rate that the impostors support."""
    rates = np.geomspace(max(impostors.smallest_rate / 10, 1e-7), 0.1, 60)
    ascending = np.sort(genuine)
    thresholds = [impostors.threshold(rate) for rate in rates]
    return Curve(label, rates, 1 - np.searchsorted(ascending, thresholds) / len(ascending))


def det(genuine: Scores, impostors: Impostors, label: str) -> Curve:
    """Compute FNMR over FMR, the detection error trade-off."""
    curve = roc(genuine, impostors, label)
    return Curve(label, curve.x, 1 - np.asarray(curve.y))


def html(data: EvaluationData, evaluation: Evaluation) -> str:
    """Build the whole page, without references to other files.

    Raises:
        SetupError: matplotlib is not installed.
    """
    title = f"Accuracy on {data.folder.root.name}"
    strangers = hardest_impostors(data.embedded.vectors, data.folder.labels, MAX_PAIRS)
    return "".join(
        (
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>",
            f"<pre>{escape(chr(10).join(as_lines(data, evaluation)))}</pre>",
            "<h2>Curves</h2><div class='plots'>",
            *_curves(data, evaluation),
            "</div><h2>Least similar photos of one person</h2>",
            "<p>Faces that the model does not recognise, or photos under the wrong name.</p>",
            *_pairs(data, _hardest_genuine(data)),
            "<h2>Most similar photos of different people</h2>",
            "<p>Look-alikes, or one person under two names.</p>",
            *_pairs(data, strangers),
            "</body></html>",
        )
    )


def _curves(data: EvaluationData, evaluation: Evaluation) -> Iterator[str]:
    genuine, impostors = data.comparisons.genuine, data.comparisons.impostors
    yield _inline(svg(Axes("ROC", "FMR", "TMR", log_x=True), [roc(genuine, impostors, "")]))
    yield _inline(svg(Axes("DET", "FMR", "FNMR", log_x=True), [det(genuine, impostors, "")]))
    ranks = range(1, len(evaluation.rank_rates) + 1)
    yield _inline(svg(Axes("CMC", "rank", "found", markers=True), [Curve("", ranks, evaluation.rank_rates)]))


def _inline(drawing: str) -> str:
    return drawing[drawing.index("<svg") :]


def _hardest_genuine(data: EvaluationData) -> list[tuple[int, int, float]]:
    comparisons = data.comparisons
    lowest = np.argsort(comparisons.genuine)[:MAX_PAIRS]
    return [(int(comparisons.left[i]), int(comparisons.right[i]), float(comparisons.genuine[i])) for i in lowest]


def _pairs(data: EvaluationData, pairs: Iterable[tuple[int, int, float]]) -> Iterator[str]:
    yield "<div class='pairs'>"
    for left, right, cosine in pairs:
        paths = [data.folder.photos[position].path for position in (left, right)]
        images = "".join(f"<img alt='' src='{_thumbnail(path.read_bytes())}'>" for path in paths)
        names = "<br>".join(escape(str(path.relative_to(data.folder.root))) for path in paths)
        yield f"<figure>{images}<figcaption>cosine {cosine:.3f}<br>{names}</figcaption></figure>"
    yield "</div>"


def _thumbnail(photo: bytes) -> str:
    """A data URL of the photo; plain grey for a damaged one, whose damage may be why it is listed."""
    out = io.BytesIO()
    try:
        with admitted_photo(photo) as opened:
            small = Image.fromarray(opened.pixels(THUMBNAIL_SIDE))
    except ImageError:
        small = Image.new("RGB", (THUMBNAIL_SIDE, THUMBNAIL_SIDE), "grey")
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    small.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
