"""Generate docs/accuracy.md and its curves from your photos: `make accuracy DATA=folder`.

DATA contains one sub-folder per person, as LFW does, and may contain pairs.txt or pairs.csv.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template

from benchmarks import accuracy_studies as studies
from benchmarks.accuracy_engine import variants
from mien.domain import thresholds
from mien.engine import FaceEngine
from mien.evaluation.dataset import Pairs, draw_pairs, read_pairs
from mien.evaluation.degradation import SERIES, DegradationStep, Series, measure_series, prepare_probes
from mien.evaluation.embeddings import EmbeddingCache
from mien.evaluation.evaluate import Evaluation, EvaluationData, evaluate, gather
from mien.evaluation.report import Axes, Curve, accuracy_text, det, roc, svg
from mien.evaluation.verification import rate_name
from mien.gallery.scoring import aggregate

TEMPLATE = Path(__file__).with_name("accuracy.md.template")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("data", type=Path)
    options.add_argument("--out", type=Path, default=Path("docs"))
    options.add_argument("--per-person", type=int, default=2, help="degraded photos of each person")
    given = options.parse_args()
    write(given.data, given.out, per_person=given.per_person)


def write(folder: Path, out: Path, *, per_person: int) -> None:
    """Measure everything and write the page; takes some minutes for a thousand photos."""
    engine = FaceEngine()
    data = gather(folder, engine, EmbeddingCache(":memory:", engine.model_version), _show_progress)
    result = evaluate(data, _pairs(data), aggregate)
    plots = out / "accuracy"
    plots.mkdir(parents=True, exist_ok=True)
    _curves(data, plots)
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        data=folder.name,
        model=engine.model_version,
        photos=f"{len(data.folder.photos):,}",
        people=f"{len(data.folder.people):,}",
        impostors=f"{len(data.comparisons.impostors):,}",
        genuine=f"{len(data.comparisons.genuine):,}",
        summary=_summary(data, result),
        open_set=_open_set(result),
        shipped_rates=studies.shipped_rates(data),
        own_calibration=studies.own_calibration(data),
        gallery_size=studies.gallery_size(data),
        default_thresholds=studies.default_thresholds(data),
        margins=studies.margins(data),
        look_alikes=studies.look_alikes(data),
        aggregation=studies.aggregation(data),
        variants=variants(folder, _pairs),
        degradation="\n\n".join(_degradation(engine, data, plots, per_person)),
    )
    (out / "accuracy.md").write_text(text, encoding="utf-8")


def _pairs(data: EvaluationData) -> Pairs:
    files = [data.folder.root / name for name in ("pairs.txt", "pairs.csv")]
    found = next(filter(Path.is_file, files), None)
    return read_pairs(found, data.folder) if found else draw_pairs(data.folder)


def _summary(data: EvaluationData, result: Evaluation) -> str:
    rows = [
        ["Photos without a face found (FTA)", str(len(data.embedded.failures)), ""],
        [f"Accuracy, {result.pairs:,} pairs, folds", accuracy_text(result), ""],
        ["EER", f"{result.eer:.2%}", f"cosine {result.eer_threshold:.3f}"],
    ]
    for point in result.operating_points:
        if point.tmr:
            interval = f"{point.tmr.low:.2%} to {point.tmr.high:.2%}; cosine {point.threshold:.3f}"
            rows.append([f"TMR at FMR {rate_name(point.fmr)}", f"{point.tmr.value:.2%}", interval])
        else:
            rows.append([f"TMR at FMR {rate_name(point.fmr)}", "too few impostor pairs", ""])
    rows.append(["Right person first among all, one photo each", f"{result.rank_rates[0]:.2%}", ""])
    return studies.table(["", "measured", "95 % interval"], rows)


def _open_set(result: Evaluation) -> str:
    rows = [
        [str(f.gallery), str(f.photos), f"{f.fpir:.1%}", f"{f.fnir:.2%} ± {f.fnir_std:.2%}", f"{f.threshold:.3f}"]
        for f in result.open_set
    ]
    return studies.table(["people", "photos each", "FPIR", "FNIR", "cosine"], rows)


def _curves(data: EvaluationData, plots: Path) -> None:
    genuine, impostors = data.comparisons.genuine, data.comparisons.impostors
    for name, axes, curve in (
        ("roc", Axes("ROC", "FMR", "TMR", log_x=True, y_limits=(0.97, 1.001)), roc(genuine, impostors, "")),
        ("det", Axes("DET", "FMR", "FNMR", log_x=True, log_y=True), det(genuine, impostors, "")),
    ):
        (plots / f"{name}.svg").write_text(svg(axes, [curve]), encoding="utf-8")


def _degradation(engine: FaceEngine, data: EvaluationData, plots: Path, per_person: int) -> Iterator[str]:
    probes = prepare_probes(engine, data.folder, per_person=per_person)
    for place, series in enumerate(SERIES):
        _show_progress(place, len(SERIES))
        steps = list(measure_series(engine, probes, series, thresholds.cosine_of_fmr(1e-4)))
        name = series.name.split()[0].lower()
        (plots / f"{name}.svg").write_text(_degradation_plot(series, steps), encoding="utf-8")
        rows = [[f"{s.value:g}", f"{s.tmr:.1%}", f"{s.fmr:.1e}", f"{s.no_face:.1%}"] for s in steps]
        head = [series.unit, "recognised (TMR)", "FMR", "no face found"]
        yield f"### {series.name}\n\n![{series.name}](accuracy/{name}.svg)\n\n{studies.table(head, rows)}"


def _degradation_plot(series: Series, steps: list[DegradationStep]) -> str:
    axes = Axes(series.name, series.unit, "share of probes", y_limits=(0, 1.02), markers=True)
    values = [step.value for step in steps]
    found = Curve("recognised at FMR 1e-4", values, [step.tmr for step in steps])
    return svg(axes, [found, Curve("no face found", values, [step.no_face for step in steps])])


def _show_progress(done: int, total: int) -> None:
    print(f"{done} of {total}", file=sys.stderr)


if __name__ == "__main__":
    main()
