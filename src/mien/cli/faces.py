"""`mien faces`: which faces are enrolled, whose they are and from which photo."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli import output
from mien.cli.listing import Limit, listing
from mien.cli.verb import Json


def faces(
    user: Annotated[str | None, typer.Option(help="Only this person's.")] = None,
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """List the faces that are enrolled."""
    from mien.config import open_app

    with open_app() as app:
        found = listing(lambda cursor: app.faces(user_id=user, cursor=cursor), limit)
    if as_json:
        output.emit({"faces": found})
        return
    table = output.table("Face", "Person", "Photo")
    for face in found:
        table.add_row(face.face_id, output.text(face.user_id or ""), output.text(face.image_path))
    output.show(table if found else "No faces are enrolled.")
