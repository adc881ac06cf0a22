"""List and correct who is enrolled: `mien people`, `faces`, `reject`, `forget` and others."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli import output
from mien.cli.backup import note_backups
from mien.cli.command import Context, Json, Limit
from mien.cli.exit_codes import ExitCode
from mien.cli.naming import known_id_of, not_enrolled, user_id_of
from mien.cli.photos import PhotoReader
from mien.cli.retention import day
from mien.config import open_app
from mien.domain.dates import parse_day
from mien.domain.errors import InvalidInput, UserNotFound
from mien.domain.faces import iterate_pages
from mien.security.audit import Action

if TYPE_CHECKING:
    from mien.app.app import FaceApp
    from mien.domain.faces import Page
    from mien.domain.records import FaceRecord
    from mien.domain.results import ErasureReport

PAGE_SIZE = 1000


def people(
    context: Context,
    consent_before: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Only those whose consent ends before this day."),
    ] = None,
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """List the people who are enrolled, with their number of faces and the last day of their consent."""
    before = None if consent_before is None else parse_day(consent_before)
    with open_app(context.settings) as app:
        listing = iterate_pages(lambda token: app.people(token=token, consent_before=before))
        enrolled = list(islice(listing, limit))
        context.activity.counts["listed"] = len(enrolled)
        summaries = app.face_summaries(enrolled)
        faces = dict.fromkeys((person.user_id for person in enrolled), 0)
        faces |= {user_id: summary.count for user_id, summary in summaries.items()}
        consents = app.consents(list(faces))
    if as_json:
        people = [
            {
                **output.jsonable(person),
                "faces": faces[person.user_id],
                "consent_until": day(consents.get(person.user_id)),
            }
            for person in enrolled
        ]
        output.print_json({"people": people})
        return
    table = output.table("Person", ">Faces", *["Consent until"] * bool(consents))
    for person in sorted(enrolled, key=lambda each: each.name):
        last_day = [day(consents.get(person.user_id)) or ""] * bool(consents)
        table.add_row(output.escape(person.name), str(faces[person.user_id]), *last_day)
    nobody = "Nobody is enrolled yet. Begin with: mien enroll FOLDER"
    output.show(table if faces else nobody if before is None else f"No consent ends before {before}.")


def faces(
    context: Context,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Only the faces of this person.")] = None,
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """List the faces that are enrolled, with their ids and photos."""
    with open_app(context.settings) as app:
        user_id = None if user is None else known_id_of(app, user)
        context.activity.concern(user_id)
        enrolled = list(islice(_faces(app, user_id), limit))
    context.activity.counts["listed"] = len(enrolled)
    if as_json:
        output.print_json({"faces": enrolled})
        return
    table = output.table("Face", "Person", "Photo", whole="Face")
    for face in enrolled:
        table.add_row(face.face_id, output.escape(face.name or ""), output.escape(face.image_path))
    nobody = "No faces are enrolled." if user is None else output.escape(f"{user} has no faces.")
    output.show(table if enrolled else nobody)


def reject(
    context: Context,
    user: Annotated[str | None, typer.Argument(metavar="NAME", help="The person with whom it was matched.")] = None,
    photo: Annotated[
        Path | None, typer.Argument(help="A photo of somebody else; without one, list the faces rejected so far.")
    ] = None,
    undo: Annotated[str | None, typer.Option(metavar="FACE", help="Undo the rejection of this face id.")] = None,
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """Tell Mien that a face is not this person.

    Of several faces in the photo, the one that is most similar to the person is rejected.

    From now on, a face at least as similar to the rejected one as to the person does not match the person.
    """
    if (user is None) is (undo is None):
        raise InvalidInput("Name a person, or a rejected face with --undo.")
    activity = context.activity
    with open_app(context.settings) as app:
        user_id = "" if user is None else known_id_of(app, user)
        activity.concern(user and user_id)
        rejections: list[FaceRecord] = []
        if undo is not None:
            activity.action = Action.UNDO_REJECTION
            app.undo_rejection(undo)
        elif user is not None and photo is not None:
            rejections = [app.reject(PhotoReader(app.policy.max_image_bytes)(photo), user_id)]
        elif user is not None:
            activity.action = Action.READ
            rejections = list(islice(iterate_pages(lambda token: app.rejections(user_id, token=token)), limit))
    activity.counts["faces"] = len(rejections)
    if as_json:
        output.print_json({"rejections": rejections})
        return
    for face in rejections:
        undoing = f"To undo it: mien reject --undo {face.face_id}"
        output.show(output.escape(f"A face is not {face.name}'s, since {face.timestamp:%Y-%m-%d %H:%M}. {undoing}"))
    if undo is not None:
        output.show("The rejection is undone.")
    elif not rejections:
        output.show(output.escape(f"No faces are rejected for {user}."))


def forget(
    context: Context,
    user: Annotated[str | None, typer.Argument(metavar="NAME", help="The person to forget.")] = None,
    face: Annotated[
        str | None, typer.Option(metavar="FACE", help="Erase one face, by its id, and its photo instead of a person.")
    ] = None,
    recognition: Annotated[
        str | None, typer.Option(metavar="ID", help="Delete one stored recognition instead of a person.")
    ] = None,
    unnamed_recognitions: Annotated[
        bool,
        typer.Option(
            "--unnamed-recognitions", help="Delete the stored recognitions that name nobody, not even as a candidate."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Erase everything about a person: faces, photos and recognitions."""
    given = [*filter(None, (user, face, recognition)), *["all recognitions that name nobody"] * unnamed_recognitions]
    if len(given) != 1:
        raise InvalidInput("Name a person, or one of --face, --recognition and --unnamed-recognitions.")
    with open_app(context.settings) as app:
        user_id = user_id_of(app, user or "")
        extent = "" if yes or user is None else _extent(app, user_id)
        if not yes and (user is None or extent):
            what = f"{user}, with {extent}," if user else given[0]
            typer.confirm(f"Erase {what} for good?", abort=True, err=True)
        context.activity.concern(user and user_id)
        if recognition is not None or unnamed_recognitions:
            context.activity.action = Action.DELETE
            deleted = _delete_recognitions(app, recognition)
            context.activity.counts["recognitions"] = deleted
            sentence = f"Deleted {output.count(deleted, 'stored recognition')}."
            output.print_json({"recognitions": deleted}) if as_json else output.show(sentence)
            return
        if face is not None:
            context.activity.action = Action.DELETE
            context.activity.counts["faces"] = 1
            app.delete_face(face)
            output.print_json({"face_id": face}) if as_json else output.show(f"Erased the face {face}.")
            return
        try:
            report = app.forget(user_id)
        except UserNotFound:
            raise not_enrolled(app, user or "") from None
    context.activity.note(report)
    if as_json:
        output.print_json(report)
    else:
        output.show(output.escape(_summary(user or "", report)))
        if not report.remaining_stores:
            output.show(output.escape(f"To verify it: mien verify-erased {shlex.quote(report.user_id)}"))
    note_backups(context.settings)
    if report.remaining_stores:
        left = ", ".join(report.remaining_stores)
        output.note(f"Something is left in: {left}. It is tried again; `mien repair` does it at once.")
        raise typer.Exit(ExitCode.ERROR)


def _delete_recognitions(app: FaceApp, recognition_id: str | None) -> int:
    """Delete one recognition, or, for None, all that name nobody; return how many those were."""
    if recognition_id is not None:
        app.delete_recognition(recognition_id)
        return 1
    deleted, token = app.delete_unnamed_recognitions()
    while token is not None:
        count, token = app.delete_unnamed_recognitions(token)
        deleted += count
    return deleted


def _extent(app: FaceApp, user_id: str) -> str:
    """Count what an erasure would remove; nothing for somebody of whom nothing is stored."""
    kinds: tuple[tuple[str, Callable[[str | None], Page[Any]]], ...] = (
        ("face", lambda token: app.faces(user_id, limit=PAGE_SIZE, token=token)),
        ("photo", lambda token: app.uploads(user_id, limit=PAGE_SIZE, token=token)),
        ("stored recognition", lambda token: app.recognitions(user_id, limit=PAGE_SIZE, token=token)),
    )
    counts = {noun: sum(1 for _ in iterate_pages(listing)) for noun, listing in kinds}
    face, photo, recognition = (output.count(count, noun) for noun, count in counts.items())
    return f"{face}, {photo} and {recognition}" if any(counts.values()) else ""


def _summary(user: str, report: ErasureReport) -> str:
    parts = (
        output.count(report.faces, "face"),
        output.count(report.images, "photo"),
        output.count(report.recognitions, "recognition"),
    )
    beginning = f"The erasure of {user} is not finished. Removed" if report.remaining_stores else f"Erased {user}"
    return f"{beginning}: {', '.join(parts)}."


def _faces(app: FaceApp, user_id: str | None) -> Iterator[FaceRecord]:
    return iterate_pages(lambda token: app.faces(user_id=user_id, limit=PAGE_SIZE, token=token))
