"""Enrol people from photos: `mien enroll`. Safe to repeat and to interrupt."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import output
from mien.cli.command import Context, Json
from mien.cli.exit_codes import ExitCode, error_json, fail
from mien.cli.photos import Found, PhotoReader, PhotoToEnroll, map_photos, photos_to_enroll
from mien.cli.retention import expire
from mien.config import open_app
from mien.domain.errors import FaceNotFound, InvalidInput, MienError, UserNotFound
from mien.domain.records import Upload, UploadNotice, UploadStatus
from mien.domain.thresholds import format_similarity
from mien.settings import Backend

if TYPE_CHECKING:
    from mien.app.app import FaceApp


SHOWN_ROWS = 20


class Outcome(StrEnum):
    ENROLLED = "enrolled"
    ALREADY_ENROLLED = "already enrolled"
    REJECTED = "refused"  # the word of the JSON, which does not change

    @property
    def label(self) -> str:
        """The word for people."""
        return "rejected" if self is Outcome.REJECTED else self.value


@dataclass(frozen=True, slots=True)
class Result:
    photo: Path
    user_id: str | None
    name: str | None
    outcome: Outcome
    image_path: str | None = None
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def enroll(
    context: Context,
    paths: Annotated[
        list[Path], typer.Argument(help="A folder with one sub-folder per person, or photos; - is standard input.")
    ],
    user: Annotated[str | None, typer.Option(metavar="NAME", help="The person in all these photos.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help=f"List all people and remarks, not {SHOWN_ROWS}.")] = False,
    as_json: Json = False,
) -> None:
    """Enrol people from photos.

    Exit code 0 when all photos are enrolled, 3 when some are rejected. Repeat an interrupted command to continue it.
    """
    found = photos_to_enroll(paths, user)
    photos = found.photos
    if context.settings.backend is Backend.AWS:
        _show_cost(len(photos))
    results: list[Result] = []
    failure: BaseException | None = None
    with open_app(context.settings) as app:
        expire(context.settings, app)
        read = PhotoReader(app.policy.max_image_bytes)
        try:
            for photo, enrolment in map_photos(
                context.settings, photos, lambda photo: _enroll(app, read, photo), "Enrolling"
            ):
                results.append(_result(photo, enrolment))
                context.activity.note(enrolment if isinstance(enrolment, MienError) else enrolment.upload)
        except (MienError, KeyboardInterrupt) as error:
            failure = error
    results.sort(key=lambda result: (result.photo, result.name or ""))
    _report(results, found, failure, sys.maxsize if verbose else SHOWN_ROWS, as_json=as_json)
    if failure:
        fail(failure)
    if any(result.outcome is Outcome.REJECTED for result in results):
        raise typer.Exit(ExitCode.REJECTED)


def _show_cost(photos: int) -> None:
    from mien.backends.aws.prices import forecast_enrolment

    forecast = forecast_enrolment(photos)
    output.note(
        f"About {output.count(forecast.calls, 'Rekognition call')}: at most {forecast.dollars:.2f} USD, and "
        f"{forecast.dollars_per_month:.4f} USD a month to keep the faces (prices of {forecast.as_of})."
    )


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What became of a photo, and whether it was enrolled before."""

    upload: Upload
    is_repeated: bool


def _enroll(app: FaceApp, read: PhotoReader, photo: PhotoToEnroll) -> Enrolment:
    if photo.person is None:
        raise InvalidInput("The photo is not in a person's folder, as in FOLDER/NAME/photo.jpg.")
    stored = _store(app, read(photo.path), photo.person)
    indexed = app.index_upload(stored.image_path)
    warnings = tuple(_naming_the_other(app, warning) for warning in indexed.warnings)
    upload = replace(indexed, user_id=stored.user_id, name=stored.name, warnings=warnings)
    return Enrolment(upload, is_repeated=stored.status is UploadStatus.INDEXED)


def _naming_the_other(app: FaceApp, warning: UploadNotice) -> UploadNotice:
    """Say whom a face resembles and how much: whoever enrols here may see all who are enrolled."""
    if warning.code != "looks_like_another" or warning.face_id is None:
        return warning
    with suppress(FaceNotFound):
        other = app.face(warning.face_id)
        similarity = f"similarity {format_similarity(warning.similarity or 0.0)}"
        return replace(warning, message=f"The face looks like {other.name or 'another'}'s ({similarity}).")
    return warning


def _store(app: FaceApp, image: bytes, person: str) -> Upload:
    with suppress(UserNotFound):  # the folder's name is an id, or the name of somebody enrolled
        return app.upload(image, app.find_person(person).user_id)
    return app.upload(image, name=person)


def _result(photo: PhotoToEnroll, enrolment: Enrolment | MienError) -> Result:
    if isinstance(enrolment, MienError):
        return Result(photo.path, None, photo.person, Outcome.REJECTED, reasons=(str(enrolment),))
    upload = enrolment.upload
    enrolled = Outcome.ALREADY_ENROLLED if enrolment.is_repeated else Outcome.ENROLLED
    return Result(
        photo.path,
        upload.user_id,
        upload.name,
        Outcome.REJECTED if upload.reasons else enrolled,
        upload.image_path,
        tuple(reason.message for reason in upload.reasons),
        tuple(warning.message for warning in upload.warnings),
    )


def _report(
    results: Sequence[Result],
    found: Found[PhotoToEnroll],
    failure: BaseException | None,
    rows: int,
    *,
    as_json: bool,
) -> None:
    counts = Counter(result.outcome for result in results)
    not_reached = len(found.photos) - len(results)
    if as_json:
        output.print_json(
            {
                "enrolled": counts[Outcome.ENROLLED],
                "already_enrolled": counts[Outcome.ALREADY_ENROLLED],
                "refused": counts[Outcome.REJECTED],
                "not_reached": not_reached,
                "skipped": found.skipped,
                "photos": results,
                "error": failure and error_json(failure),
            }
        )
        return
    _show_people(results, rows)
    _show_notes(results, rows)
    parts = [f"{counts[outcome]} {outcome.label}" for outcome in Outcome]
    parts += [f"{not_reached} not reached"] * bool(failure)
    output.show(f"{', '.join(parts)}.")
    found.note_skipped()


def _show_people(results: Sequence[Result], rows: int) -> None:
    people: dict[str, Counter[Outcome]] = {}
    for result in results:
        if result.name is not None:
            people.setdefault(result.name, Counter())[result.outcome] += 1
    table = output.table("Person", *(f">{outcome.label.capitalize()}" for outcome in Outcome))
    for name, counts in sorted(people.items())[:rows]:
        table.add_row(output.escape(name), *(str(counts[outcome] or "") for outcome in Outcome))
    if people:
        output.show(table)
    _show_left_out(len(people) - rows, "more person")


def _show_notes(results: Sequence[Result], rows: int) -> None:
    table = output.table("Photo", "Outcome", "Note")
    remarkable = sorted((each for each in results if each.reasons or each.warnings), key=lambda each: not each.reasons)
    for result in remarkable[:rows]:
        notes = " ".join([*result.reasons, *result.warnings])
        table.add_row(output.photo_cell(result.photo), result.outcome.label, output.escape(notes))
    if table.row_count:
        output.show(table)
    _show_left_out(len(remarkable) - rows, "more remark")


def _show_left_out(rows: int, what: str) -> None:
    if rows > 0:
        output.show(f"… and {output.count(rows, what)}: --verbose lists all.")
