"""`mien people`: who is enrolled."""

from __future__ import annotations

from mien.cli import output
from mien.cli.listing import Limit, listing
from mien.cli.verb import Json


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
