"""Measure accuracy on labelled photos, and calibrate similarities on them: `mien evaluate` and `mien calibrate`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import new_files, output
from mien.cli.command import Context, Json
from mien.config import open_embedded, open_engine
from mien.domain.errors import InvalidInput
from mien.settings import Backend, Settings

if TYPE_CHECKING:
    from mien.evaluation.dataset import Folder, Pairs
    from mien.evaluation.evaluate import EvaluationData
    from mien.gallery.scoring import Calibration

PAIRS_FILES = ("pairs.txt", "pairs.csv")
LISTED_RATES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def evaluate(
    context: Context,
    folder: Annotated[Path, typer.Argument(help="A folder with one sub-folder of photos per person.")],
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="Pairs to compare: LFW's pairs.txt, or CSV with left,right,same. "
            "Default: pairs.txt or pairs.csv in the folder, or else pairs drawn at random."
        ),
    ] = None,
    gallery: Annotated[
        list[int] | None,
        typer.Option(min=2, help="How many people to enrol for the open-set search; may be given several times."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an HTML report with curves and errors to this new file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure 1:1 accuracy and 1:N error rates on labelled photos."""
    from mien.evaluation.evaluate import evaluate as measure
    from mien.evaluation.report import as_json as to_json
    from mien.evaluation.report import as_lines, html, require_matplotlib
    from mien.gallery.scoring import aggregate

    if report:
        require_matplotlib()
        new_files.check_new(report, context.settings)
    data = _read_folder(folder, context.settings)
    chosen_pairs = _pairs(data.folder, pairs)
    evaluation = measure(data, chosen_pairs, aggregate, galleries=tuple(gallery) if gallery else None)
    if report:
        with new_files.writing(report) as stream:
            stream.write(html(data, evaluation).encode(errors="backslashreplace"))
    if as_json:
        output.print_json(to_json(data, evaluation))
    else:
        output.show(output.escape("\n".join(as_lines(data, evaluation))))


def _pairs(folder: Folder, file: Path | None) -> Pairs:
    from mien.evaluation.dataset import draw_pairs, read_pairs

    file = file or next(filter(Path.is_file, (folder.root / name for name in PAIRS_FILES)), None)
    return read_pairs(file, folder) if file else draw_pairs(folder)


def _read_folder(folder: Path, settings: Settings) -> EvaluationData:
    """Read the folder's faces, with a progress bar on a terminal; embeddings are cached for the user."""
    from platformdirs import user_cache_path

    from mien.evaluation.embeddings import EmbeddingCache
    from mien.evaluation.evaluate import gather

    engine = open_engine(settings)
    path = user_cache_path("mien", ensure_exists=True) / "embeddings.db"
    with closing(EmbeddingCache(path, engine.model_version)) as cache, _progress() as show:
        return gather(folder, engine, cache, show)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("Reading faces", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def calibrate(
    context: Context,
    folder: Annotated[
        Path | None,
        typer.Argument(help="A folder with one sub-folder of photos per person. Default: the people enrolled."),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Return to the default calibration.")] = False,
    as_json: Json = False,
) -> None:
    """Fit the similarity scale to your own cameras and people.

    The calibration is stored with the collection and used from the next search on.
    """
    from mien.backends.embedded import maintenance

    settings = context.settings
    if settings.backend is Backend.AWS:
        raise InvalidInput("Amazon Rekognition cannot be calibrated; only the embedded backend can.")
    if reset and folder:
        raise InvalidInput("Name a folder for the calibration, or --reset, but not both.")
    backend = open_embedded(settings)
    with backend.app:
        gallery = backend.app_gallery()
        calibration = None
        if folder:
            calibration = _calibrate_on(folder, settings)
        elif not reset:
            calibration = maintenance.calibrate_on_enrolled(gallery, settings.collection)
        maintenance.set_calibration(gallery, settings.collection, calibration)
    _report_calibration(settings.collection, calibration, as_json=as_json)


def _calibrate_on(folder: Path, settings: Settings) -> Calibration:
    from mien.gallery.scoring import calibrate as fit
    from mien.gallery.scoring import impostor_cosines

    data = _read_folder(folder, settings)
    has_face = data.embedded.vectors.any(axis=1)
    return fit(impostor_cosines(data.embedded.vectors[has_face], data.folder.labels[has_face]))


def _report_calibration(collection: str, calibration: Calibration | None, *, as_json: bool) -> None:
    """Print the collection's own calibration, or the default one when it has none."""
    from mien.domain import thresholds
    from mien.gallery.scoring import SHIPPED, cosine_at, smallest_rate

    used = calibration or SHIPPED
    smallest = smallest_rate(calibration.comparisons) if calibration else None
    if as_json:
        output.print_json({"collection": collection, "calibration": used, "smallest_fmr": smallest})
        return
    source = f"from {calibration.comparisons:,} pairs of different people" if calibration else "default"
    table = output.table("False match rate", ">Similarity", ">Cosine", title=f"Calibration of {collection}: {source}")
    for fmr in LISTED_RATES:
        similarity = thresholds.similarity_of_fmr(fmr)
        table.add_row(f"{fmr:.0e}", f"{similarity:.1f}", f"{cosine_at(similarity, used):.3f}")
    output.show(table)
    if smallest:
        output.note(
            f"There are enough pairs for false match rates down to {smallest:.1e}; "
            "smaller rates are extrapolated along the default curve."
        )
