"""`mien forget`: erase a person, or one face, everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli import output
from mien.cli.failures import ExitCode
from mien.cli.verb import Json
from mien.errors import InvalidInput


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
    if receipt.traces:
        output.note(f"Something is left in: {', '.join(receipt.traces)}. Run the command again.")
        raise typer.Exit(ExitCode.BROKEN)
