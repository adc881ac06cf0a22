"""`mien people`: who is enrolled.

`mien faces`: which faces are enrolled, whose they are and from which photo.
"""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli import output
from mien.cli.command import Json
from mien.cli.output import Limit, listing


def people(limit: Limit = 1000, as_json: Json = False) -> None:
    """List the people who are enrolled."""
    from mien.config import open_app

    with open_app() as app:
        found = listing(lambda cursor: app.people(cursor=cursor), limit)
        faces = {person.user_id: len(app.faces(user_id=person.user_id).items) for person in found}
    if as_json:
        output.emit({"people": [{**output.plain(person), "faces": faces[person.user_id]} for person in found]})
    elif not found:
        output.show("Nobody is enrolled yet. Begin with: mien enroll FOLDER")
    else:
        _show(faces)


def _show(faces: dict[str, int]) -> None:
    table = output.table("Person", ">Faces")
    for name in sorted(faces):
        table.add_row(output.text(name), str(faces[name]))
    output.show(table)


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
