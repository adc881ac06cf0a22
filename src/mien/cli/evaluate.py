"""`mien evaluate`: how well the engine tells the people in a folder apart."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import output
from mien.cli.command import Json
from mien.domain.errors import InvalidInput

if TYPE_CHECKING:
    from mien.evaluation.evaluate import EvaluationData
    from mien.evaluation.folder import Folder
    from mien.evaluation.pairs import Pairs

PAIRS_FILES = ("pairs.txt", "pairs.csv")


def evaluate(
    folder: Annotated[Path, typer.Argument(help="One sub-folder with photos per person.")],
    pairs: Annotated[
        Path | None, typer.Option(help="LFW pairs.txt, or CSV left,right,same; else FOLDER/pairs.*, else drawn.")
    ] = None,
    gallery: Annotated[
        list[int] | None, typer.Option(min=2, help="People enrolled for the open-set search; repeatable.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report with curves and errors.")] = None,
    as_json: Json = False,
) -> None:
    """Measure accuracy, match rates and search errors on labelled photos."""
    from mien.evaluation import plots, summary
    from mien.evaluation.evaluate import evaluate as measure
    from mien.evaluation.report import html
    from mien.gallery.scoring import aggregate

    if report:
        plots.check()
        _check_place(report)
    evidence = gather_with_progress(folder)
    chosen = _pairs(evidence.folder, pairs)
    evaluation = measure(evidence, chosen, aggregate, galleries=tuple(gallery) if gallery else None)
    if report:
        report.write_text(html(evidence, evaluation), encoding="utf-8")
    if as_json:
        output.emit(summary.as_json(evidence, evaluation))
    else:
        output.show(output.text("\n".join(summary.as_lines(evidence, evaluation))))


def _check_place(report: Path) -> None:
    if not report.parent.is_dir():
        raise InvalidInput(f"There is no folder {report.parent} for the report.")


def gather_with_progress(folder: Path) -> EvaluationData:
    """The folder's embeddings and comparisons, from the user's cache as far as it has them."""
    from platformdirs import user_cache_path

    from mien.config import open_engine
    from mien.evaluation.embeddings import EmbeddingCache
    from mien.evaluation.evaluate import gather

    engine = open_engine()
    path = user_cache_path("mien", ensure_exists=True) / "embeddings.db"
    with closing(EmbeddingCache(path, engine.model_version)) as cache, _progress() as show:
        return gather(folder, engine, cache, show)


def _pairs(folder: Folder, file: Path | None) -> Pairs:
    from mien.evaluation.pairs import draw_pairs, read_pairs

    file = file or next(filter(Path.is_file, (folder.root / name for name in PAIRS_FILES)), None)
    return read_pairs(file, folder) if file else draw_pairs(folder)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("Reading faces", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
