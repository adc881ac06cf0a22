"""Say who is in photos, in a table, as JSON or as annotated images: `mien recognize`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from mien.cli import new_files, output
from mien.cli.command import Context, Json
from mien.cli.exit_codes import ExitCode, error_json
from mien.cli.photos import NO_PHOTOS, PhotoReader, map_photos, photo_files
from mien.cli.retention import expire
from mien.config import open_app
from mien.domain.errors import InvalidInput, MienError
from mien.domain.thresholds import format_similarity

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.table import Table

    from mien.domain.faces import Detection
    from mien.domain.records import Recognition, RecognizedFace
    from mien.settings import Settings

Located = TypeVar("Located", "RecognizedFace", "Detection")
Result = tuple[Path, "Recognition | MienError"]

MAX_CONTACT_SHEET_PHOTOS = 200
CONTACT_SHEET_PHOTO_SIDE = 1200  # pixels
IMAGE_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


def recognize(
    context: Context,
    paths: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos; - is standard input.")],
    threshold: Annotated[
        str | None,
        typer.Option(help="Minimum similarity to count as a match: 0 to 100, or by error rate: fmr=1e-4 or fpir=0.01."),
    ] = None,
    annotate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw boxes and names on the photo, or on a contact sheet of several, and write it to this new file.",
        ),
    ] = None,
    store: Annotated[bool, typer.Option(help="Store the recognitions.")] = True,
    as_json: Json = False,
) -> None:
    """Say who is in photos.

    Exit code 0 when somebody is recognised, 1 when nobody is, 3 when a photo cannot be used.
    """
    found = photo_files(paths)
    photos = found.photos
    if annotate:
        check_image_file(annotate, context.settings, len(photos))
    with open_app(context.settings) as app:
        expire(context.settings, app)
        app.threshold(threshold)  # an impossible one is refused once, not with each photo
        read = PhotoReader(app.policy.max_image_bytes)
        recognitions = dict(
            map_photos(
                context.settings,
                photos,
                lambda photo: app.recognize(read(photo), threshold, store=store),
                "Recognising",
            )
        )
    context.activity.note(list(recognitions.values()))
    results = [(photo, recognitions[photo]) for photo in dict.fromkeys(photos)]
    annotated = annotate if annotate and _annotate(annotate, results, read) else None
    _report(results, annotated, found.skipped, as_json=as_json)
    found.note_skipped()
    raise typer.Exit(_exit_code(results))


def _report(results: Sequence[Result], annotated: Path | None, skipped: int, *, as_json: bool) -> None:
    if as_json:
        output.print_json(
            {"photos": [photo_json(*result) for result in results], "skipped": skipped, "annotated": annotated}
        )
        return
    output.show(faces_table(results) if results else NO_PHOTOS)
    if last := next((found for _, found in reversed(results) if not isinstance(found, MienError)), None):
        output.note(output.threshold(last.threshold, last.threshold_fmr, last.threshold_fpir))
    if left_out := sum(found.faces_left_out for _, found in results if not isinstance(found, MienError)):
        output.note(f"{left_out} more faces were seen but not looked at; MIEN_MAX_FACES limits them.")
    if annotated:
        output.note(f"Written: {annotated}")


def _exit_code(results: Sequence[Result]) -> ExitCode:
    recognitions = [recognition for _, recognition in results if not isinstance(recognition, MienError)]
    if len(recognitions) < len(results):
        return ExitCode.REJECTED
    recognized = any(face.similarity is not None for recognition in recognitions for face in recognition.faces)
    return ExitCode.SUCCESS if recognized else ExitCode.NO


def photo_json(photo: Path, recognition: Recognition | MienError) -> dict[str, object]:
    """Describe a photo's result for programs."""
    if isinstance(recognition, MienError):
        return {"photo": photo, "error": error_json(recognition)}
    return {"photo": photo, **output.jsonable(recognition)}


def faces_table(results: Sequence[Result]) -> Table:
    """Make a table with a row for each face, and for each photo without a face."""
    table = output.table("Photo", ">Face", "Who", "How likely", ">Similarity")
    for path, recognition in results:
        photo = output.photo_cell(path)
        if isinstance(recognition, MienError):
            table.add_row(photo, "", f"[red]{output.escape(str(recognition))}[/red]", "", "")
        elif not recognition.faces:
            table.add_row(photo, "", "[dim]no face[/dim]", "", "")
        else:
            for number, face in enumerate(left_to_right(recognition.faces), 1):
                table.add_row(photo if number == 1 else "", str(number), *_who(face))
    return table


def left_to_right(faces: Iterable[Located]) -> list[Located]:
    """Order faces as they are numbered in tables, on pictures and on the page."""
    return sorted(faces, key=lambda face: (face.box.left + face.box.width / 2, face.box.top))


def _who(face: RecognizedFace) -> tuple[str, str, str]:
    """Name the person, or the people between whom the face is ambiguous, with the likelihood and the similarity."""
    if face.similarity is None:
        return "[dim]unknown[/dim]", "", ""
    similarity, likelihood = format_similarity(face.similarity), face.likelihood.words if face.likelihood else ""
    if face.user_id is not None:
        return f"[bold]{output.escape(face.name or face.user_id)}[/bold]", likelihood, similarity
    candidates = [
        f"{output.escape(candidate.name or candidate.user_id)} {format_similarity(candidate.similarity)}"
        for candidate in face.candidates
        if candidate.user_id is not None
    ]
    return f"[yellow]{' or '.join(candidates[:2])}[/yellow]", likelihood, similarity


def check_image_file(file: Path, settings: Settings, photos: int = 1) -> None:
    """Check that so many photos can be drawn on a new image at `file`. Raises InvalidInput."""
    if photos > MAX_CONTACT_SHEET_PHOTOS:
        raise InvalidInput(f"A contact sheet holds at most {MAX_CONTACT_SHEET_PHOTOS} photos, not {photos}.")
    if file.suffix.lower() not in IMAGE_FORMATS:
        raise InvalidInput(f"The annotated image's file name must end in one of {', '.join(IMAGE_FORMATS)}.")
    new_files.check_new(file, settings)


def write_image(file: Path, image: Image) -> None:
    """Write a new image in the format that its file name says. Raises InvalidInput when it cannot be written."""
    with new_files.writing(file) as stream:
        image.save(stream, IMAGE_FORMATS[file.suffix.lower()], quality=92)


def _annotate(file: Path, results: Sequence[Result], read: PhotoReader) -> bool:
    """Write the annotated photo, or a contact sheet of several; False when no photo could be read."""
    from mien.annotate import Tile, annotate, contact_sheet, label, open_upright

    labels = {
        path: tuple(map(label, left_to_right(found.faces)))
        for path, found in results
        if not isinstance(found, MienError)
    }
    _note_missing_letters(each.text for shown in labels.values() for each in shown)
    if len(labels) == 1:
        ((path, names),) = labels.items()
        write_image(file, annotate(open_upright(read(path)), list(names)))
    elif labels:
        tiles = [
            Tile(open_upright(read(path), CONTACT_SHEET_PHOTO_SIDE), names, output.printable(path.name))
            for path, names in labels.items()
        ]
        write_image(file, contact_sheet(f"{len(tiles)} photos", tiles, columns=4))
    return bool(labels)


def _note_missing_letters(names: Iterable[str]) -> None:
    from mien.annotate import can_write

    if missing := [name for name in dict.fromkeys(names) if not can_write(name)]:
        output.note(
            f"No installed font has the letters of {', '.join(missing)}, so the picture shows the face's number "
            "instead. Install one, such as Debian's fonts-noto or fonts-noto-cjk."
        )
