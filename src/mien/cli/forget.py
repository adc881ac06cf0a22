"""`mien forget`: erase a person, or one face, everywhere.

`mien reject`: this face is not that person.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli import output
from mien.cli.command import Json
from mien.cli.exit_codes import ExitCode
from mien.cli.output import Limit, listing
from mien.cli.photo_sources import read
from mien.domain.errors import InvalidInput


def forget(
    user: Annotated[str | None, typer.Argument(help="The person to forget.")] = None,
    face: Annotated[str | None, typer.Option(help="Forget one face and its photo instead.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase every trace of a person: faces, photos and results."""
    from mien.config import open_app

    if (user is None) is (face is None):
        raise InvalidInput("Name a person, or a face with --face.")
    if not yes:
        typer.confirm(f"Forget {user or face} for good?", abort=True, err=True)
    with open_app() as app:
        if face is not None:
            app.delete_face(face)
            output.emit({"face_id": face}) if as_json else output.show("Forgotten.")
            return
        receipt = app.forget(user or "")
    if as_json:
        output.emit(receipt)
    else:
        parts = {"faces": receipt.faces, "photos": receipt.images, "results": receipt.recognitions}
        output.show(f"Removed: {', '.join(f'{name} {count}' for name, count in parts.items())}.")
    if receipt.remaining_stores:
        output.note(f"Something is left in: {', '.join(receipt.remaining_stores)}. Run the command again.")
        raise typer.Exit(ExitCode.BROKEN)


def reject(
    user: Annotated[str | None, typer.Argument(help="The person whom it is not.")] = None,
    photo: Annotated[Path | None, typer.Argument(help="Without it, the rejections of this person are listed.")] = None,
    undo: Annotated[str | None, typer.Option(help="Take the rejection of this face id back.")] = None,
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """Say that a face is not somebody: the photo's face that is most like them is no longer taken for them."""
    from mien.config import open_app

    if (user is None) is (undo is None):
        raise InvalidInput("Name a person, or a rejection with --undo.")
    with open_app() as app:
        if undo is not None:
            app.undo_rejection(undo)
            found = []
        elif photo is not None:
            found = [app.reject(read(photo, app.policy.max_image_bytes), user or "")]
        else:
            found = listing(lambda cursor: app.rejections(user or "", cursor=cursor), limit)
    if as_json:
        output.emit({"rejections": found})
        return
    for record in found:
        output.show(
            output.text(f"{record.face_id}  is not {record.user_id}  (since {record.timestamp:%Y-%m-%d %H:%M})")
        )
    if not found:
        output.show("Taken back." if undo else "There are no rejections of this person.")
