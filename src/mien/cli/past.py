"""Show and correct what was stored: `mien photos`, `history` and `move`."""

from __future__ import annotations

from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import output
from mien.cli.command import Context, Json, Limit
from mien.cli.exit_codes import ExitCode
from mien.cli.naming import PersonArgument, known_id_of, suggesting
from mien.config import open_app
from mien.domain import object_keys
from mien.domain.dates import parse_moment
from mien.domain.errors import UserNotFound
from mien.domain.faces import iterate_pages
from mien.domain.records import RecognitionStatus, Upload, UploadStatus
from mien.settings import Backend, Settings

if TYPE_CHECKING:
    from mien.app.app import FaceApp
    from mien.domain.records import Recognition, RecognizedFace

PAGE_SIZE = 1000
TIME_FORMAT = "%Y-%m-%d %H:%M"


def photos(context: Context, person: PersonArgument, limit: Limit = 1000, as_json: Json = False) -> None:
    """List a person's photos, newest first: where each lies, and what became of it."""
    with open_app(context.settings) as app:
        user_id = known_id_of(app, person)
        context.activity.concern(user_id)
        listing = iterate_pages(lambda token: app.uploads(user_id, limit=PAGE_SIZE, token=token))
        found = list(islice(listing, limit))
    context.activity.counts["listed"] = len(found)
    if as_json:
        output.print_json(
            {
                "photos": [
                    output.jsonable(each) | {"file": photo_file(context.settings, each.image_path)} for each in found
                ]
            }
        )
        return
    for upload in found:  # no table, whose cells would break a path that `mien move` takes
        notes = " ".join(notice.message for notice in (*upload.reasons, *upload.warnings))
        output.show(output.escape(str(photo_file(context.settings, upload.image_path) or upload.image_path)))
        added = f"{upload.timestamp.astimezone(UTC):{TIME_FORMAT}} UTC"
        output.show(output.escape(f"  added {added}, {upload.status}. {notes}".rstrip()))
    if not found:
        output.show(output.escape(f"{person} has no photos."))


def history(
    context: Context,
    person: Annotated[
        str | None, typer.Argument(metavar="PERSON", help="Only recognitions that name this person.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only recognitions from this time on, in UTC.")
    ] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List the stored recognitions, newest first: who was recognised when."""
    moment = None if since is None else parse_moment(since)
    with open_app(context.settings) as app:
        user_id = None if person is None else known_id_of(app, person)
        context.activity.concern(user_id)
        listing = iterate_pages(
            lambda token: app.recognitions(user_id, since=moment, limit=min(limit, PAGE_SIZE), token=token)
        )
        found = list(islice(listing, limit))
    context.activity.note(found)
    if as_json:
        output.print_json({"recognitions": found})
        return
    table = output.table("Time (UTC)", "Who", "Recognition", whole="Recognition")
    for recognition in found:
        table.add_row(
            f"{recognition.timestamp.astimezone(UTC):{TIME_FORMAT}}",
            output.escape(_names(recognition)),
            recognition.recognition_id,
        )
    output.show(table if found else "No recognitions are stored.")


def move(
    context: Context,
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="A photo as `mien photos` lists it.")],
    person: Annotated[str, typer.Argument(metavar="PERSON", help="Who it shows, by user id or name.")],
    as_json: Json = False,
) -> None:
    """Give an enrolled photo to another person, who is enrolled by it if they were not yet.

    Exit code 0 when the photo was moved, 3 when it cannot be enrolled for that person and stays where it is.
    """
    path = _image_path(context.settings, photo)
    with open_app(context.settings) as app:
        moved = _move(app, path, person)
    context.activity.note(moved)
    is_moved = moved.status is UploadStatus.INDEXED
    if as_json:
        output.print_json(moved)
    elif is_moved:
        output.show(output.escape(f"The photo is {moved.name or person}'s now: {moved.image_path}"))
    else:
        reasons = " ".join(reason.message for reason in moved.reasons)
        output.show(output.escape(f"The photo stays where it is. {reasons}"))
    if not is_moved:
        raise typer.Exit(ExitCode.REJECTED)


def _move(app: FaceApp, path: str, person: str) -> Upload:
    try:
        user_id = app.find_person(person).user_id
    except UserNotFound:
        with suggesting(app, person):
            return app.move(path, name=person)
    return app.move(path, user_id)


def photo_file(settings: Settings, image_path: str) -> Path | None:
    """Return where a photo lies on this machine; None on AWS."""
    return settings.data_dir / "bucket" / image_path if settings.backend is Backend.EMBEDDED else None


def _image_path(settings: Settings, photo: str) -> str:
    """Return the image path of a photo that is given by it or by its file in the data folder."""
    folder = (settings.data_dir / "bucket").absolute()
    file = Path(photo).absolute()
    if settings.backend is Backend.EMBEDDED and file.is_relative_to(folder):
        return file.relative_to(folder).as_posix()
    return object_keys.parse_image_path(photo)


def _names(recognition: Recognition) -> str:
    return ", ".join(map(_name, recognition.faces)) or "no face"


def _name(face: RecognizedFace) -> str:
    if face.status is RecognitionStatus.AMBIGUOUS:
        return " or ".join(each.name or each.user_id or "" for each in face.candidates[:2]) + "?"
    return face.name or face.user_id or "unknown"
