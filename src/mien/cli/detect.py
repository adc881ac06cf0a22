"""Show and compare the faces in photos alone, whoever is enrolled: `mien detect` and `mien compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import output
from mien.cli.command import Context, Json
from mien.cli.exit_codes import ExitCode, error_json
from mien.cli.photos import NO_PHOTOS, STANDARD_INPUT, PhotoReader, map_photos, photo_files
from mien.cli.recognize import left_to_right
from mien.config import open_app
from mien.domain.errors import InvalidInput, MienError
from mien.domain.policy import MATCH_THRESHOLD
from mien.domain.thresholds import format_similarity, is_automatic

if TYPE_CHECKING:
    from rich.table import Table

    from mien.domain.faces import Detection
    from mien.domain.results import Comparison

MEASUREMENTS = (">Left, top", ">Size", ">Confidence", ">Sharpness", ">Brightness", ">Roll, yaw, pitch")
FIRST_MEASUREMENTS = 3
"""As many as a terminal of 80 columns has room for."""


def detect(
    context: Context,
    paths: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos; - is standard input.")],
    as_json: Json = False,
) -> None:
    """Find the faces in photos.

    Exit code 0 when there is a face, 1 when there is none, 3 when a photo cannot be used.
    """
    found = photo_files(paths)
    photos = found.photos
    with open_app(context.settings) as app:
        read = PhotoReader(app.policy.max_image_bytes)
        detections = dict(map_photos(context.settings, photos, lambda photo: app.detect(read(photo)), "Detecting"))
    context.activity.note(list(detections.values()))
    context.activity.counts["photos"] = len(detections)
    results = {photo: detections[photo] for photo in photos}
    if as_json:
        output.print_json(
            {"photos": [_photo_json(photo, faces) for photo, faces in results.items()], "skipped": found.skipped}
        )
    else:
        _show_faces(results)
    found.note_skipped()
    if any(isinstance(faces, MienError) for faces in results.values()):
        raise typer.Exit(ExitCode.REJECTED)
    raise typer.Exit(ExitCode.SUCCESS if any(results.values()) else ExitCode.NO)


def _photo_json(photo: Path, faces: list[Detection] | MienError) -> dict[str, object]:
    if isinstance(faces, MienError):
        return {"photo": photo, "error": error_json(faces)}
    return {"photo": photo, "faces": faces}


def _show_faces(results: dict[Path, list[Detection] | MienError]) -> None:
    found = {path: faces for path, faces in results.items() if not isinstance(faces, MienError)}
    if not found:
        if not results:
            output.show(NO_PHOTOS)
    elif output.fits(table := _table(found, MEASUREMENTS)):
        output.show(table)
    else:
        output.show(_table(found, MEASUREMENTS[:FIRST_MEASUREMENTS]))
        output.note("A wider window shows sharpness, brightness and pose, too, and so does --json.")
    for path, error in results.items():
        if isinstance(error, MienError):
            output.note_about(path, str(error))


def _table(found: dict[Path, list[Detection]], headings: Sequence[str]) -> Table:
    """Return a table of the faces in photos, with the measurements of these headings, the first of `MEASUREMENTS`."""
    table = output.table("Photo", ">Face", *headings)
    for path, faces in found.items():
        photo = output.photo_cell(path)
        if not faces:
            table.add_row(photo, "[dim]no face[/dim]")
        for number, face in enumerate(left_to_right(faces), 1):
            table.add_row(photo if number == 1 else "", str(number), *_measurements(face)[: len(headings)])
    return table


def _measurements(face: Detection) -> tuple[str, ...]:
    box, pose, quality = face.box, face.pose, face.quality
    return (
        f"{round(100 * box.left)}%, {round(100 * box.top)}%",
        f"{quality.size:.0f} px",
        f"{face.confidence:.0f} %",
        f"{quality.sharpness:.0f}",
        f"{quality.brightness:.0f}",
        f"{round(pose.roll)}°, {round(pose.yaw)}°, {round(pose.pitch)}°",
    )


def compare(
    context: Context,
    source: Annotated[Path, typer.Argument(help="A photo, or - for standard input; its largest face is compared.")],
    target: Annotated[Path, typer.Argument(help="Another photo; all of its faces are compared.")],
    threshold: Annotated[
        str | None,
        typer.Option(help="Lowest similarity of the same person: 0 to 100, or by false match rate: fmr=1e-4."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two photos: do they show the same person?

    Exit code 0 when they do, 1 when they do not.
    """
    if source == target == STANDARD_INPUT:
        raise InvalidInput("Only one of the two photos can be read from standard input.")
    with open_app(context.settings) as app:
        read = PhotoReader(app.policy.max_image_bytes)
        if threshold is None and is_automatic(app.policy.threshold):
            threshold = str(MATCH_THRESHOLD)  # two photos are compared, and no gallery is searched
        limit = app.threshold(threshold)
        comparisons = app.compare(read(source), read(target))
    context.activity.note(comparisons)
    context.activity.counts["photos"] = 2
    context.activity.threshold = limit.similarity
    same = any(comparison.similarity >= limit.similarity for comparison in comparisons)
    if as_json:
        output.print_json(
            {
                "same_person": same,
                "threshold": limit.similarity,
                "threshold_fmr": limit.fmr,
                "faces": comparisons,
            }
        )
    else:
        _show_comparisons(comparisons, limit.similarity)
        output.note(output.threshold(limit.similarity, limit.fmr))
    raise typer.Exit(ExitCode.SUCCESS if same else ExitCode.NO)


def _show_comparisons(comparisons: list[Comparison], threshold: float) -> None:
    table = output.table(">Face", ">Similarity", "")
    for number, comparison in enumerate(comparisons, 1):
        verdict = "same person" if comparison.similarity >= threshold else "another person"
        table.add_row(str(number), format_similarity(comparison.similarity), verdict)
    output.show(table if comparisons else "The second photo shows no face.")
